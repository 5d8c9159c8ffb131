"""The store: operations in, tickets out; questions answered from what is committed."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from pushcli.errors import StoreError
from pushcli_server.store import blobs, database
from pushcli_server.store.errors import StoreUnavailable
from pushcli_server.store.operations import Operation
from pushcli_server.store.writer import Writer

READERS = 2
R = TypeVar("R")
P = ParamSpec("P")


class Store:
    """One database, and a directory for large output.

    Reads see everything that was submitted before them: they wait for its commit.

    Args:
        root: the directory, for questions that need what lies there.
    """

    def __init__(self, engine: Engine, root: Path) -> None:
        self.committed = 0
        self.healthy = True
        self.root = root
        self._engine = engine
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
        # Imported here: only `server init` migrates, and alembic is slow to import.
        from pushcli_server.store.migrate import migrate  # noqa: PLC0415

        _prepare(root)
        migrate(url, root)

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
            self.root,
            loop,
            on_commit=self._committed,
            on_failure=on_failure,
            on_health=self._health,
        )

    def incoming(self, name: str) -> Path:
        """Where chunks of output are gathered until `StoreOutput` takes the file."""
        return self.root / "incoming" / name

    # --- writing

    def submit(self, *operations: Operation) -> int:
        """Write, in order, with whatever else is queued; returns a rising ticket."""
        return self._started.submit(operations)

    async def write(self, *operations: Operation) -> None:
        """Write all of these or none, and wait for the commit.

        Raises:
            CannotApply: one cannot be applied.
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
        """The answer to a question of `reads`, `identity_reads` or the like.

        Raises:
            StoreUnavailable: the database is away.
        """
        await self.barrier()
        bound = partial(self._query, query, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._readers, bound)

    def _query(
        self, query: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        try:
            with self._engine.connect() as connection:
                return query(connection, *args, **kwargs)
        except (DBAPIError, OSError) as error:
            raise StoreUnavailable(database.one_line(error)) from error


def _prepare(root: Path) -> None:
    try:
        blobs.prepare(root)
    except OSError as error:
        raise StoreError(f"cannot use {root}: {error.strerror}", "check its owner") from error


def _ignore(ticket: int) -> None:
    """Nobody listens yet."""
