"""The store: operations in, tickets out; questions answered from what is committed."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from pushcli.errors import StoreError
from pushcli_server.store import blobs, database, identity_reads, reads, whitelists
from pushcli_server.store.errors import StoreUnavailable
from pushcli_server.store.operations import Operation
from pushcli_server.store.records import (
    AuditRecord,
    JobNodeRecord,
    JobRecord,
    NodeRecord,
    Principal,
)
from pushcli_server.store.whitelists import NodeWhitelist
from pushcli_server.store.writer import Writer

READERS = 2
R = TypeVar("R")
P = ParamSpec("P")


class Store:
    """One database, and a directory for large output.

    Reads see everything that was submitted before them: they wait for its commit.
    """

    def __init__(self, engine: Engine, root: Path) -> None:
        self.committed = 0
        self.healthy = True
        self._engine = engine
        self._root = root
        self._writer: Writer | None = None
        self._on_commit: Callable[[int], None] = _ignore
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._writes: set[asyncio.Future[None]] = set()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    @classmethod
    def create(cls, url: str, root: Path) -> None:
        """Make the database, or bring it to this program's version.

        Raises:
            StoreError: it cannot be reached, or is of a newer version.
        """
        _prepare(root)
        database.migrate(url)

    @classmethod
    def open(cls, url: str, root: Path) -> "Store":
        """Open an existing database.

        Raises:
            StoreError: missing, unreadable, or of another version.
        """
        engine = database.make_engine(url)
        try:
            database.check(engine)
            _prepare(root)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine, root)

    def start(
        self,
        loop: asyncio.AbstractEventLoop,
        on_commit: Callable[[int], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Begin to write. The callbacks run on the loop."""
        self._on_commit = on_commit
        self._writer = Writer(
            self._engine,
            self._root,
            loop,
            on_commit=self._committed,
            on_failure=on_failure,
            on_health=self._health,
        )

    def incoming(self, name: str) -> Path:
        """Where chunks of output are gathered until `StoreOutput` takes the file."""
        return self._root / "incoming" / name

    # --- writing

    def submit(self, *operations: Operation) -> int:
        """Write, in order, with whatever else is queued; returns a rising ticket."""
        return self._started.submit(operations)

    async def write(self, *operations: Operation) -> None:
        """Write all of these or none, and wait for the commit.

        Raises:
            Conflict: one cannot be applied.
            StoreUnavailable: the database is away.
        """
        self._require_health()
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._started.submit(operations, answer)
        self._writes.add(answer)
        answer.add_done_callback(self._writes.discard)
        await answer

    async def barrier(self) -> None:
        """Wait until everything submitted so far is committed.

        Raises:
            StoreUnavailable: the database is away.
        """
        if self._writer is None or self._writer.ticket <= self.committed:
            return
        self._require_health()
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._writer.ticket, answer))
        await answer

    async def close(self) -> None:
        """Commit what is queued and close the database."""
        if self._writer is not None:
            await asyncio.to_thread(self._writer.close)
        self.dispose()

    def dispose(self) -> None:
        """Close the database of a store that was never started."""
        self._readers.shutdown()
        self._engine.dispose()

    @property
    def _started(self) -> Writer:
        if self._writer is None:
            raise RuntimeError("the store was not started")
        return self._writer

    def _committed(self, ticket: int) -> None:
        self.committed = ticket
        self._on_commit(ticket)
        for due, answer in self._waiting:
            if due <= ticket and not answer.done():
                answer.set_result(None)
        self._waiting = [entry for entry in self._waiting if not entry[1].done()]

    def _health(self, healthy: bool) -> None:
        self.healthy = healthy
        if not healthy:
            for answer in [*(answer for _, answer in self._waiting), *self._writes]:
                if not answer.done():
                    answer.set_exception(StoreUnavailable("the database is away"))
            self._waiting.clear()

    def _require_health(self) -> None:
        if not self.healthy:
            raise StoreUnavailable("the database is away")

    # --- reading

    async def ask(
        self, query: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Put a question of `identity_reads` or the like."""
        return await self._read(partial(query, **kwargs), *args)

    async def organizations(self) -> list[str]:
        """All organizations."""
        return await self._read(identity_reads.organizations)

    async def organization_exists(self, org: str) -> bool:
        """Whether there is one of this name."""
        return await self._read(identity_reads.organization_exists, org)

    async def principals(self, org: str, name: str) -> list[Principal]:
        """The user and the client of this name."""
        return await self._read(identity_reads.principals, org, name)

    async def group_exists(self, org: str, group: str) -> bool:
        """Whether the organization has this group."""
        return await self._read(identity_reads.group_exists, org, group)

    async def is_member(self, org: str, kind: str, name: str, group: str) -> bool:
        """Whether a `user` or `client` is in the group, nested ones included."""
        return await self._read(identity_reads.is_member, org, kind, name, group)

    async def job(self, org: str, job_id: str) -> JobRecord | None:
        """A job of this organization."""
        return await self._read(reads.job, org, job_id)

    async def jobs(self, org: str) -> list[JobRecord]:
        """All jobs of this organization, oldest first."""
        return await self._read(reads.jobs, org)

    async def job_by_request(self, org: str, requestor: str, request_id: str) -> str | None:
        """The job that this request started."""
        return await self._read(reads.job_by_request, org, requestor, request_id)

    async def job_nodes(self, job_id: str) -> list[JobNodeRecord]:
        """The nodes of a job, in the order of the request."""
        return await self._read(reads.job_nodes, job_id)

    async def job_node(self, job_id: str, node: str) -> JobNodeRecord | None:
        """One node of a job."""
        return await self._read(reads.job_node, job_id, node)

    async def live_jobs(self) -> list[tuple[JobRecord, list[JobNodeRecord]]]:
        """All jobs that are not over, with their nodes."""
        return await self._read(reads.live_jobs)

    async def nodes(self, org: str | None = None) -> list[NodeRecord]:
        """All nodes, of one organization or of all."""
        return await self._read(reads.nodes, org)

    async def whitelists(self, org: str, names: Sequence[str]) -> list[NodeWhitelist]:
        """The whitelists of those nodes that there are, and what their agents reported."""
        return await self._read(whitelists.of_nodes, org, names)

    async def whitelist_messages(
        self, org: str, names: Sequence[str]
    ) -> list[tuple[str, dict[str, Any]]]:
        """For each of those nodes that there are, the fields of its `whitelist` message."""
        return await self._read(whitelists.messages_to, org, names)

    async def whitelist_reports(self, org: str, names: Sequence[str]) -> list[tuple[str, str]]:
        """What the agents of these nodes reported last (JSON text), where they did."""
        return await self._read(whitelists.reports, org, names)

    async def whitelist_editors(self, org: str) -> list[Any]:
        """The newest signed statement about each editor's key, older versions first."""
        return await self._read(whitelists.editors, org)

    async def feed_events(self) -> list[tuple[str, int, int, bytes]]:
        """All stored events: feed, number, microseconds, data; each feed's in order."""
        return await self._read(reads.feed_events)

    async def audit(self, org: str) -> list[AuditRecord]:
        """The audit trail, oldest first."""
        return await self._read(reads.audit, org)

    async def output(self, job_id: str, node: str, channel: str) -> bytes | None:
        """What the node's command wrote to `stdout` or `stderr`; None: not captured."""
        return await self._read(self._output, job_id, node, channel)

    def _output(self, connection: Connection, job_id: str, node: str, channel: str) -> bytes | None:
        found = reads.blob(connection, job_id, node, channel)
        if found is None:
            return None
        digest, data = found
        return bytes(data) if data is not None else blobs.path_of(self._root, digest).read_bytes()

    async def _read(self, query: Callable[..., R], *args: object) -> R:
        await self.barrier()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._query, query, args)

    def _query(self, query: Callable[..., R], args: tuple[object, ...]) -> R:
        try:
            with self._engine.connect() as connection:
                return query(connection, *args)
        except (DBAPIError, OSError) as error:
            raise StoreUnavailable(database.one_line(error)) from error


def _prepare(root: Path) -> None:
    try:
        blobs.prepare(root)
    except OSError as error:
        raise StoreError(f"cannot use {root}: {error.strerror}", "check its owner") from error


def _ignore(ticket: int) -> None:
    """Nobody listens yet."""
