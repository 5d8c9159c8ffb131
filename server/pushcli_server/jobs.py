"""What REST asks about jobs.

Every answer waits for the commit that it rests on: nobody is told what a power cut could
still undo.
"""

import asyncio
import contextlib
import math
import uuid
from collections.abc import AsyncIterator
from functools import partial
from itertools import islice
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import msgspec

from pushcli_server import persistence
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.identity import JobKey, NodeKey, Requestor
from pushcli_server.core.job_state import JobSpec
from pushcli_server.core.replays import Signature
from pushcli_server.core.states import ENDED_FROM_HERE, TROUBLED
from pushcli_server.engine import Engine
from pushcli_server.identities import Identities
from pushcli_server.store import (
    Store,
    StoreUnavailable,
    job_pages,
    operations,
    output_reads,
    reads,
)
from pushcli_server.store.contents import Content
from pushcli_server.store.errors import Delayed
from pushcli_server.store.records import JobNodeRecord, JobRecord
from pushcli_server.store.store import note_written
from pushcli_server.views import (
    deleted_output,
    is_partial,
    job_summary,
    job_with_nodes,
    listed_job,
    node_part,
    our_options,
    out_of_contact,
    output_cut_at,
    output_dropped,
    without_output,
)

VOTE_HOLD = 0.2
"""Seconds for which a POST waits for the vote: what can be over at once, is."""
_MOST_LOST = 500
"""Nodes out of contact that one question names: a statement has not room for any number."""
_LONGEST = 255
"""Characters of a requestor that the store takes."""


class NoSuchNode(Exception):
    """The job has no node of this name."""


class Output(NamedTuple):
    """What a command wrote, how much is missing from where on, and whether it was cut short."""

    content: Content
    dropped: int
    cut_at: int | None
    partial: bool


class JobService:
    """Starts, shows and ends jobs."""

    def __init__(self, engine: Engine, store: Store, identities: Identities) -> None:
        self._engine = engine
        self._store = store
        self._identities = identities
        self._asking: WeakValueDictionary[tuple[str, str, str], asyncio.Lock] = (
            WeakValueDictionary()
        )

    async def start(
        self,
        org: str,
        spec: JobSpec,
        *,
        by: Requestor,
        origin: str,
        request_id: str | None,
        signature: Signature,
    ) -> str:
        """Start a job; the same request of the same requestor gives the first one's id.

        Args:
            request_id: what says that two requests are the same, however they are signed.
            signature: of this one; stored together with what it does.

        Returns:
            The job's id, once the job is stored; held for up to 200 ms while votes are out.
        """
        requestor = await self.requestor(by)
        event = on_fleet.JobRequested(
            job=JobKey(org, uuid.uuid4().hex),
            spec=spec,
            requestor=requestor,
            by=by,
            origin=origin,
            request_id=request_id,
            signature=signature,
        )
        if request_id is None:
            await self._engine.start(event)
        else:
            lock = self._asking.setdefault((org, requestor, request_id), asyncio.Lock())
            # A repeat that comes while the first is being asked about must find it submitted.
            async with lock:
                known = await self._store.ask(reads.job_by_request, org, requestor, request_id)
                if known is not None:
                    remembered = operations.RememberSignature(
                        signature, self._engine.clock.date(), known
                    )
                    await self._store.write(remembered)
                    return known
                await self._engine.start(event)
        await self._vote_over(event.job)
        return event.job.id

    async def requestor(self, by: Requestor) -> str:
        """What agents and feeds are told of who asks: the name, unless it is a user's."""
        if by.kind == "client" and await self._identities.user_exists(by.org, by.name):
            # With a blank it is nobody's name: no entry has it among its `operators`.
            return f"client {by.name}"[:_LONGEST]
        return by.name

    async def abort(self, key: JobKey, *, by: Requestor, origin: str) -> str | None:
        """End a job and reset its nodes.

        Returns:
            The job's status afterwards: one that was over stays what it was. None: no such job.

        Raises:
            Delayed: the database went away meanwhile; the job ends when it is back.
            ResultUnknown: it went away when the job had ended.
            StoreUnavailable: it is away; nothing was done.
        """
        event = on_fleet.AbortRequested(job=key, requestor=by.name, by=by, origin=origin)
        self._store.require_health()
        is_live = key in self._engine.fleet.jobs
        self._engine.handle(event)
        try:
            await self._store.barrier()
        except StoreUnavailable as error:
            if not is_live:
                raise
            raise Delayed(str(error)) from None
        if is_live:
            note_written()
        stored = await self._store.ask(reads.job, *key)
        return None if stored is None else stored.status

    async def show(
        self, key: JobKey, *, include_file: bool = False, ours: bool = False
    ) -> dict[str, Any] | None:
        """The body of `GET jobs/ID`, or None.

        Args:
            ours: with what old clients know nothing of.
        """
        job = self._engine.fleet.job(key)
        if job is not None:
            view = job_with_nodes(job, job.nodes, include_file=include_file)
            more = our_options(job, include_file=include_file) if ours else {}
            if await self._store.is_caught_up():
                return view | more
        record = await self._store.ask(reads.job, *key)
        if record is None:
            return None
        file = stdin = None
        if include_file:
            ask = self._store.lists.ask_of_files
            file = await ask(reads.job_file, self._store.root, *key)
            stdin = await ask(reads.job_stdin, self._store.root, *key)
        nodes = await self._store.lists.ask(reads.job_nodes, *key)
        states = {node.node: node.state for node in nodes}
        stored = persistence.stored(record, file, stdin)
        view = job_with_nodes(stored, states, include_file=include_file)
        return view | our_options(stored, include_file=include_file) if ours else view

    async def index(self, org: str, owner: Requestor | None = None) -> AsyncIterator[bytes]:
        """The body of `GET jobs`: all of them, oldest first, without their nodes.

        Page by page, as JSON without the brackets.

        Args:
            owner: who must have started them; None: anybody.
        """
        of = None if owner is None else (owner.kind, owner.name)
        after: tuple[float, str] | None = None
        while True:
            page, after = await self._store.lists.ask(_page, org, after, of)
            if page:
                yield page
            if after is None:
                return

    async def page(
        self, org: str, wanted: job_pages.Wanted
    ) -> tuple[list[dict[str, Any]], job_pages.Place | None]:
        """Some of an organization's jobs, the newest first, and the last one's place if there
        are more.
        """
        found = await self._store.lists.ask(job_pages.page, org, wanted)
        return [
            listed_job(persistence.stored(one.job), one.job, one.states) for one in found.jobs
        ], found.last

    async def nodes(
        self,
        key: JobKey,
        after: str = "",
        limit: int | None = None,
        *,
        troubled: bool = False,
        with_output: bool = True,
    ) -> list[dict[str, Any]] | None:
        """Each node's part in a job, in the order of the request; None: no such job.

        Args:
            after: the node before the first of them; "": there is none.
            limit: as many at most.
            troubled: only those that need a look: they took no part, did not end well, or are
                out of contact.
            with_output: with what is known of their output.

        Raises:
            NoSuchNode: the job has no node `after`.
        """
        record = await self._store.ask(reads.job, *key)
        if record is None:
            return None
        if after and await self._store.ask(reads.job_node, *key, after) is None:
            raise NoSuchNode
        if troubled:
            live = self._engine.fleet.jobs.get(key)
            lost = () if live is None else tuple(islice(live.lost, _MOST_LOST))
            look = partial(reads.job_nodes, states=TROUBLED, or_names=lost)
        else:
            look = partial(reads.job_nodes)
        endings = self._engine.fleet.endings
        before = frozenset(endings.nodes(key))
        nodes = await self._store.lists.ask(look, *key, after, limit)
        # What was stored while we read is not in what we read.
        missed = before.difference(endings.nodes(key))
        views = [self._node_view(key, record, node, missed) for node in nodes]
        return views if with_output else [without_output(view) for view in views]

    def _node_view(
        self, key: JobKey, record: JobRecord, part: JobNodeRecord, missed: frozenset[str]
    ) -> dict[str, Any]:
        view, fleet = node_part(part) | deleted_output(record, part), self._engine.fleet
        live = fleet.jobs.get(key)
        if live is not None and out_of_contact(live, part.node):
            view["out_of_contact"] = True
            node = fleet.nodes.get(NodeKey(key.org, part.node))
            if node is not None and math.isfinite(node.heard_at):
                view["last_contact"] = node.heard_at + fleet.offset
        unreported = part.partial is None and part.state in ENDED_FROM_HERE
        now = self._engine.clock.now()
        if unreported and (part.node in missed or fleet.is_ending(key, part.node, now)):
            view["ending"] = True
            if record.capture or record.default_capture:
                view["output_pending"] = True
        return view

    async def output(self, key: JobKey, node: str, channel: str) -> Output | None:
        """What a node's command wrote; None: nothing was captured, or no such job."""
        part = await self._store.ask(reads.job_node, *key, node)
        ask, root = self._store.lists.ask_of_files, self._store.root
        content = await ask(output_reads.output, root, *key, node, channel)
        if part is None or content is None:
            return None
        cut_at = output_cut_at(part, channel)
        return Output(content, output_dropped(part, channel), cut_at, is_partial(part))

    async def why_no_output(self, key: JobKey) -> str:
        """Why there is none of a node, for whoever may read the job."""
        record = await self._store.ask(reads.job, *key)
        if record is None or record.output_deleted_at is None:
            return "no output was captured"
        return f"the output of this job was deleted ({record.output_deleted_by})"

    async def output_of(self, key: JobKey, digest: str) -> Content | None:
        """The output with this digest (SHA-256, hex) that nodes of this job wrote, if any did."""
        ask = self._store.lists.ask_of_files
        return await ask(output_reads.output_of, self._store.root, *key, digest)

    async def _vote_over(self, key: JobKey) -> None:
        """Wait a little for the vote: what can be over at once is over for the next GET too."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(VOTE_HOLD):
                await self._engine.vote_over(key)
        # The job is stored: that is what the answer says, and it stays true.
        with contextlib.suppress(StoreUnavailable):
            await self._store.barrier()


def _page(
    connection: Any, org: str, after: tuple[float, str] | None, owner: tuple[str, str] | None
) -> tuple[bytes, tuple[float, str] | None]:
    """Some jobs as JSON, made beside the event loop; and what comes before the next ones."""
    records, are_more = reads.jobs(connection, org, after, owner=owner)
    jobs = [persistence.stored(record) for record in records]
    views = [job_summary(job) | (our_options(job) if owner else {}) for job in jobs]
    last = (records[-1].created_at, records[-1].id) if are_more and records else None
    return msgspec.json.encode(views)[1:-1], last
