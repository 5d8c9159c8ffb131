"""What `GET jobs` and `GET own_jobs` may be asked for: a page of the jobs that one looks for."""

import math
import re

from starlette.datastructures import QueryParams

from pushcli.protocol import limits
from pushcli.protocol.names import is_job_id, is_job_id_prefix, is_node_name
from pushcli_server.core.identity import Requestor
from pushcli_server.core.states import JobStatus
from pushcli_server.rest.errors import Refused
from pushcli_server.store.job_pages import OUTCOMES, Place, Wanted

KEYS = frozenset({
    "limit", "after", "status", "requestor", "requestor_kind", "command", "node", "since",
    "id_prefix", "batch",
})  # fmt: skip
_STATUSES = frozenset(map(str, JobStatus)) | OUTCOMES
_KINDS = frozenset({"user", "client"})
_PLACE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,20})?),([0-9a-f]{32})")


def wanted(query: QueryParams, owner: Requestor | None) -> Wanted | None:
    """The jobs that are asked for; None: all of them, as old clients ask.

    Raises:
        Refused: 400, something in the query is unknown, or out of its bounds.
    """
    if KEYS.isdisjoint(query):
        return None
    if unknown := sorted(set(query) - KEYS):
        raise Refused(400, [f"unknown in the query: {', '.join(unknown)}"[:200]])
    if twice := sorted(key for key in query if key != "status" and len(query.getlist(key)) > 1):
        raise Refused(400, [f"more than once in the query: {', '.join(twice)}"])
    return Wanted(
        limit=_limit(query.get("limit")),
        after=_after(query.get("after")),
        owner=None if owner is None else (owner.kind, owner.name),
        statuses=_statuses(query.getlist("status")),
        requestor=_named(query, "requestor"),
        requestor_kind=_kind(query.get("requestor_kind")),
        command=_glob(query.get("command")),
        node=_named(query, "node"),
        since=_since(query.get("since")),
        id_prefix=_prefix(query.get("id_prefix")),
        batch=_batch(query.get("batch")),
    )


def place_text(place: Place) -> str:
    """A job's place as `next` tells it and `after` takes it."""
    return f"{place[0]:.9f},{place[1]}"


def _after(text: str | None) -> Place | None:
    if text is None:
        return None
    found = _PLACE.fullmatch(text)
    if found is None:
        raise Refused(400, ["after must be what `next` of a page said"])
    return float(found[1]), found[2]


def _limit(text: str | None) -> int:
    if text is None:
        return limits.MAX_JOBS
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    if not 1 <= limit <= limits.MAX_JOBS:
        raise Refused(400, [f"limit must be 1 to {limits.MAX_JOBS}"])
    return limit


def _statuses(texts: list[str]) -> tuple[str, ...]:
    statuses = {part for text in texts for part in text.split(",")}
    if not statuses <= _STATUSES:
        raise Refused(400, [f"status must be of {', '.join(sorted(_STATUSES))}"])
    return tuple(sorted(statuses))


def _named(query: QueryParams, key: str) -> str | None:
    name: str | None = query.get(key)
    if name is not None and not is_node_name(name):
        raise Refused(400, [f"{key} must be a name"])
    return name


def _kind(text: str | None) -> str | None:
    if text is not None and text not in _KINDS:
        raise Refused(400, [f"requestor_kind must be one of {', '.join(sorted(_KINDS))}"])
    return text


def _glob(text: str | None) -> str | None:
    if text is not None and (not 1 <= len(text) <= limits.MAX_GLOB or "\0" in text):
        raise Refused(400, [f"command must be a glob of 1 to {limits.MAX_GLOB} characters"])
    return text


def _since(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        since = float(text) if len(text) < 40 else math.nan
    except ValueError:
        since = math.nan
    if not math.isfinite(since):
        raise Refused(400, ["since must be a number of seconds since the epoch"])
    return since


def _prefix(text: str | None) -> str:
    if text is None or is_job_id(text) or is_job_id_prefix(text):
        return text or ""
    raise Refused(400, ["id_prefix must be 4 to 32 lower-case hex digits"])


def _batch(text: str | None) -> str | None:
    if text is None or is_job_id(text):
        return text
    raise Refused(400, ["batch must be 32 lower-case hex digits"])
