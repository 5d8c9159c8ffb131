"""`jobs` and what lies below: starting, reading, aborting."""

import re

import msgspec
from starlette.responses import Response

from pushcli.protocol import headers, limits
from pushcli_server.core.identity import JobKey, Requestor
from pushcli_server.jobs import JobService, NoSuchNode
from pushcli_server.rest import job_pages, stored
from pushcli_server.rest.errors import Refused, answer, not_found
from pushcli_server.rest.job_request import InvalidJob, parse
from pushcli_server.rest.pieces import array, listed
from pushcli_server.rest.request import Asked, Call
from pushcli_server.rest.rights import Rights
from pushcli_server.settings import Settings

_HOST = re.compile(r"[A-Za-z0-9._-]{1,255}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,64}\](:[0-9]{1,5})?")
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,255}")


class JobHandlers:
    """Handlers for jobs."""

    def __init__(self, jobs: JobService, rights: Rights, settings: Settings) -> None:
        self._jobs = jobs
        self._rights = rights
        self._settings = settings

    async def index(self, call: Call) -> Response:
        """`GET jobs`: all, or a page of those that are asked for (an extension)."""
        return await self._list(call, None)

    async def own(self, call: Call) -> Response:
        """`GET own_jobs` (an extension): those that the signer started."""
        return await self._list(call, call.by)

    async def _list(self, call: Call, owner: Requestor | None) -> Response:
        wanted = job_pages.wanted(call.http.query_params, owner)
        if wanted is None:
            return await listed(self._jobs.index(call.org, owner))
        jobs, last = await self._jobs.page(call.org, wanted)
        place = msgspec.json.encode(None if last is None else job_pages.place_text(last))
        return await array(jobs, b'{"jobs":[', b'],"next":%b}' % place)

    async def start(self, call: Call) -> Response:
        """`POST jobs`."""
        call.require_json()
        request_id = _request_id(call)
        try:
            spec = parse(call.body, default_capture=self._settings.default_capture)
        except InvalidJob as error:
            raise Refused(400, str(error)) from error
        job_id = await self._jobs.start(
            call.org,
            spec,
            by=call.by,
            origin=call.origin,
            request_id=request_id,
            signature=call.writing.signature,
        )
        call.writing.stored(job_id)
        return started(call, self._settings, job_id)

    async def show(self, call: Call) -> Response:
        """`GET jobs/ID`."""
        return await self._show(call, ours=False)

    async def show_own(self, call: Call) -> Response:
        """`GET own_jobs/ID` (an extension)."""
        return await self._show(call, ours=True)

    async def _show(self, call: Call, *, ours: bool) -> Response:
        include_file = call.http.query_params.get("include_file") == "true"
        job = await self._jobs.show(_key(call), include_file=include_file, ours=ours)
        if job is None:
            raise not_found("no such job")
        return answer(200, job)

    async def nodes(self, call: Call) -> Response:
        """`GET jobs/ID/nodes` (an extension)."""
        query = call.http.query_params
        limit = _limit(query.get("limit", ""))
        troubled = query.get("troubled", "false")
        if troubled not in {"true", "false"}:
            raise Refused(400, ["troubled must be true or false"])
        key = _key(call)
        may = await self._rights.default_output(call.org, call.principal, key.id)
        try:
            nodes = await self._jobs.nodes(
                key, query.get("after", ""), limit, troubled=troubled == "true",
                with_output=may is not False,
            )  # fmt: skip
        except NoSuchNode:
            # An empty page would look like the end.
            raise Refused(400, ["after must be a node of the job"]) from None
        if nodes is None:
            raise not_found("no such job")
        return await array(nodes)

    async def abort(self, call: Call) -> Response:
        """`POST jobs/ID/abort` (an extension)."""
        status = await self._jobs.abort(_key(call), by=call.by, origin=call.origin)
        if status is None:
            raise not_found("no such job")
        return answer(200, {"status": status})

    async def output(self, call: Call) -> Response:
        """`GET jobs/ID/output/NODE/CHANNEL`, raw bytes."""
        output = await self._jobs.output(_key(call), call.path["node"], call.path["channel"])
        if output is None:
            raise not_found(await self._jobs.why_no_output(_key(call)))
        marks = {}
        if output.dropped:
            marks[headers.OUTPUT_DROPPED] = str(output.dropped)
        if output.cut_at is not None:
            marks[headers.OUTPUT_CUT_AT] = str(output.cut_at)
        if output.partial:
            marks[headers.OUTPUT_PARTIAL] = "1"
        return await stored.answer(output.content, marks)

    async def output_of(self, call: Call) -> Response:
        """`GET jobs/ID/output/DIGEST`, raw bytes (an extension)."""
        content = await self._jobs.output_of(_key(call), call.path["digest"])
        if content is None:
            # Whether another job has it is nobody's business.
            raise not_found("no node of this job wrote this")
        return await stored.part(content, call.http.headers.get("range"))


def _limit(text: str) -> int | None:
    if not text:
        return None
    limit = int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0
    if not 1 <= limit <= limits.MAX_RECORDS:
        raise Refused(400, [f"limit must be 1 to {limits.MAX_RECORDS}"])
    return limit


def _key(call: Call) -> JobKey:
    return JobKey(call.org, call.path["job"])


def started(call: Call, settings: Settings, job_id: str) -> Response:
    """The answer to a start, also to one that is repeated."""
    uri = f"{base_url(call, settings)}/organizations/{call.org}/pushy/jobs/{job_id}"
    return answer(201, {"uri": uri}, {"Location": uri})


def base_url(call: Asked, settings: Settings) -> str:
    """Scheme and host as the client named them."""
    host = call.http.headers.get("host", "")
    if not _HOST.fullmatch(host):
        host = settings.api_url.partition("://")[2]
    return f"{call.scheme}://{host.removesuffix(':80').removesuffix(':443')}"


def _request_id(call: Call) -> str | None:
    request_id = call.http.headers.get(headers.REQUEST_ID)
    if request_id is not None and not _REQUEST_ID.fullmatch(request_id):
        raise Refused(400, [f"{headers.REQUEST_ID} must be 1 to 255 printable characters"])
    return request_id
