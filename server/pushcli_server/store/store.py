"""The store: operations in, tickets out; questions answered from what is committed."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine

from pushcli.errors import StoreError
from pushcli_server.askers import Askers
from pushcli_server.core.leases import RENEWALS
from pushcli_server.store import blobs, database, holding, tails
from pushcli_server.store.errors import (
    OutcomeUnknown,
    ResultUnknown,
    StoreUnavailable,
    Superseded,
)
from pushcli_server.store.faults import one_line
from pushcli_server.store.operations import ClearLeftovers, Operation
from pushcli_server.store.readers import PATIENCE, SLOW, Door, Readers
from pushcli_server.store.writer import Writer

_log = logging.getLogger(__name__)
READERS = 2
"""Threads of each kind."""
LIST_TIME = 10.0
SEARCH_TIME = 5.0
"""Seconds that a statement may take."""
MOST_WAITING = 200_000
"""Items that may wait for the database: beyond it new work is refused."""
MOST_BYTES = 64 * 1024 * 1024
"""Of what is long in them."""
_ALONE = 10.0
"""Seconds of silence after which whoever writes in place of a server counts as gone."""
_WARNED = 2
"""Renewals that failed in a row, of those that there are in a lease."""
_LAST_WAIT = 5.0
"""Seconds in which the end of a server is told to the database."""
_LOOK_AGAIN = 1.0
"""Seconds for which nobody tries to read after it could not be reached."""
_FILES_AT_ONCE = 500
"""Of what an earlier run left."""
_REMEMBERED = 4096
_written: ContextVar[bool] = ContextVar("written", default=False)
"""Whether this request has written anything: it is not to be told then that it failed."""
_old_will_do: ContextVar[bool] = ContextVar("old_will_do", default=False)
"""Whether this request is answered from what is committed, while nothing can be written."""
R = TypeVar("R")
P = ParamSpec("P")


class Store:
    """One database, and a directory for large output.

    Reads see everything that was submitted before them: they wait for its commit. While the
    database cannot be written, those of a request for which old answers will do see what is
    committed.

    Args:
        root: the directory, for questions that need what lies there.
    """

    def __init__(self, engine: Engine, root: Path) -> None:
        self.committed = 0
        self.trouble: str | None = None
        """Why the database cannot be written, if it cannot."""
        self.root = root
        self._engine = engine
        self._writer: Writer | None = None
        self._on_commit: Callable[[int], None] = _ignore
        self._hold: holding.Hold | None = None
        self._superseded_by: asyncio.Future[str] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._is_reached = True
        """Whether the lease was renewed within its time, also over a failure of who renews it."""
        self._leasing = Askers(1)
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self.refused: deque[int] = deque(maxlen=_REMEMBERED)
        """Tickets of what the database could never hold, the newest."""
        self._unreadable_until = 0.0
        door = Door(self._may_be_asked, _away, self._is_unreachable)
        self._questions = Readers(engine, "questions", READERS, None, door)
        self.lists = Readers(engine, "lists", READERS, LIST_TIME, door)
        """For answers that grow with what is stored."""
        self.searches = Readers(engine, "searches", READERS, SEARCH_TIME, door)

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

    async def acquire(self, lease: float, stand_by: holding.Hooks | None = None) -> None:
        """Have this server be the one that works with the database; before it is started.

        Args:
            lease: seconds of silence after which another may take its place.
            stand_by: stand ready while another one works, but with a file.

        Raises:
            StartError: another one works with it.
            StoreError: it cannot be used.
        """
        self._hold = await holding.acquire(self._engine, lease, stand_by)
        if stand_by is not None:
            # It may be of another version by now.
            await asyncio.to_thread(database.check, self._engine)

    @property
    def incarnation_id(self) -> str:
        """Of this run of the server."""
        if self._hold is None:
            raise RuntimeError("the store was not acquired")
        return self._hold.incarnation_id

    async def renew(self, on_reach: Callable[[bool], None] = lambda is_reached: None) -> None:
        """Say again and again that this server is there, for as long as it is the one.

        Args:
            on_reach: told when it could not be said for as long as the lease lasts, and when it is
                said again.
        """
        hold = self._hold
        if hold is None or hold.pause is None:
            return
        failures, said_at = 0, time.monotonic()
        while True:
            await asyncio.sleep(hold.pause)
            try:
                await self._apart(hold.renew)
                failures, said_at = 0, time.monotonic()
            except Superseded as error:
                self._supersede(str(error))
                return
            except Exception as error:
                failures += 1
                if failures == _WARNED:
                    _log.warning("the lease is not renewed: %s", one_line(error))
            was = self._is_reached
            self._is_reached = time.monotonic() - said_at < hold.pause * RENEWALS
            if self._is_reached != was:
                on_reach(self._is_reached)

    def _apart(self, call: Callable[[], None]) -> "asyncio.Future[None]":
        """In a thread that nobody else has, and whose end nobody need wait for."""
        return asyncio.get_running_loop().run_in_executor(self._leasing, call)

    def recover(self) -> None:
        """Clear what the previous run of the server had half done; for whom no other one writes.

        Raises:
            StoreError: the directory cannot be used.
        """
        with _usable(self.root):
            tails.begin_again(self.root / "incoming")

    async def clear_leftovers(self) -> None:
        """What a run before this one left, where other machines may read what is stored; at a
        pace that keeps nobody waiting.

        Raises:
            StoreUnavailable: the database is away.
        """
        if self._engine.dialect.name != "postgresql":
            return
        files = await asyncio.to_thread(blobs.lying, self.root)
        for start in range(0, max(len(files), 1), _FILES_AT_ONCE):
            some = files[start : start + _FILES_AT_ONCE]
            await self.write(ClearLeftovers(some))

    def start(
        self,
        loop: asyncio.AbstractEventLoop,
        on_commit: Callable[[int], None],
        on_written: Callable[[float | None], None] = lambda seconds: None,
    ) -> None:
        """Begin to write.

        Args:
            on_commit: called on the loop with the highest ticket that is done with.
            on_written: called on the loop with the seconds that a commit took; None: it failed.
        """
        self._on_commit = on_commit
        self._superseded_by = loop.create_future()
        self._writer = Writer(
            self._engine,
            self.root,
            loop,
            on_commit=self._committed,
            on_refused=self.refused.append,
            on_health=self._health,
            on_written=on_written,
            on_superseded=self._supersede,
            hold=self._hold,
        )

    async def start_alone(self) -> None:
        """Begin to write in place of a server, so that none begins meanwhile.

        Raises:
            StartError: one works with this database.
            StoreError: it cannot be used.
        """
        await self.acquire(_ALONE)
        self.recover()
        self.start(asyncio.get_running_loop(), _ignore)
        self._renewing = asyncio.create_task(self.renew())

    @property
    def superseded_by(self) -> "asyncio.Future[str]":
        """Done when another server has taken this one's place, with who it is."""
        if self._superseded_by is None:
            raise RuntimeError("the store was not started")
        return self._superseded_by

    def incoming(self, name: str) -> Path:
        """Where chunks of output are gathered until `StoreOutput` takes the file."""
        return self.root / "incoming" / name

    # --- writing

    @property
    def healthy(self) -> bool:
        """Whether the database can be written, as far as we know."""
        return self.trouble is None

    @property
    def waiting(self) -> tuple[int, int]:
        """How many changes wait to be written, and of how many bytes, about."""
        writer = self._started
        return writer.waiting, writer.bytes

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be written that nothing more may be added."""
        writer = self._started
        return writer.waiting > MOST_WAITING or writer.bytes > MOST_BYTES

    @property
    def is_half_full(self) -> bool:
        """Whether what can wait, such as output, is to leave the room to what cannot."""
        return self._started.bytes > MOST_BYTES // 2

    @property
    def ticket(self) -> int:
        """Of what was submitted last."""
        return self._started.ticket

    def submit(self, *operations: Operation) -> int:
        """Write, in order, with whatever else is queued; returns a rising ticket."""
        return self._started.submit(operations)

    async def write(self, *operations: Operation) -> None:
        """Write all of these or none, and wait for the commit.

        Raises:
            CannotApply: one cannot be applied.
            CannotStore: the database cannot hold one.
            StoreUnavailable: the database is away, and nothing was written; or, as
                `OutcomeUnknown`, that is not known, or not all of what this request writes is.
        """
        self.require_health()
        await self.answered(self.begin(*operations, apart=True))

    def begin(self, *operations: Operation, apart: bool = False) -> "asyncio.Future[None]":
        """Write all of these or none; `answered` tells what became of them.

        Args:
            apart: the database may well refuse them.
        """
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._started.submit(operations, answer, apart=apart)
        return answer

    async def barrier(self) -> None:
        """Wait until everything submitted so far is committed.

        Raises:
            StoreUnavailable: the database is away.
        """
        if self._writer is None or self._writer.ticket <= self.committed:
            return
        if self.trouble is not None:
            raise _away(self.trouble)
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._writer.ticket, answer))
        try:
            async with asyncio.timeout(PATIENCE):
                await answer
        except TimeoutError:
            raise _away(SLOW) from None
        except StoreUnavailable as error:
            raise _away(str(error)) from None

    @property
    def behind(self) -> str | None:
        """Why what this request is told may be out of date, if it may."""
        return self.trouble if _old_will_do.get() else None

    async def is_caught_up(self) -> bool:
        """Wait as `barrier` does; False: nothing can be written, and an old answer will do.

        Raises:
            StoreUnavailable: the database is away, and it will not.
        """
        try:
            await self.barrier()
        except StoreUnavailable:
            if self.trouble is None or not _old_will_do.get():
                raise
            return False
        return True

    def was_refused(self, first: int, last: int) -> bool:
        """Whether any of what was submitted under these tickets cannot ever be stored."""
        return any(first <= ticket <= last for ticket in self.refused)

    def require_health(self) -> None:
        """New work may be taken in.

        Raises:
            StoreUnavailable: the database is away, or too much waits for it.
        """
        if self.trouble is not None:
            raise _unwritten(self.trouble)
        if self._writer is not None and self.is_full:
            raise _unwritten("too much waits to be written")

    async def answered(self, answer: "asyncio.Future[None]") -> None:
        """What became of what `begin` began.

        Raises:
            CannotApply, CannotStore, StoreUnavailable: as `write`.
        """
        # Not cancelled when the time is over: it is being written, and others may listen too.
        await asyncio.wait([answer], timeout=PATIENCE)
        if not answer.done():
            answer.add_done_callback(asyncio.Future.exception)
            raise OutcomeUnknown(SLOW)
        try:
            answer.result()
        except StoreUnavailable as error:
            raise _unwritten(str(error)) from None
        note_written()

    async def close(self) -> None:
        """Commit what is queued and close the database."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        if self._writer is not None:
            await asyncio.to_thread(self._writer.close)
        if self._hold is not None:
            try:
                async with asyncio.timeout(_LAST_WAIT):
                    await self._apart(self._hold.release)
            except TimeoutError:
                _log.warning("the database does not answer: its next server waits for our lease")
        self.dispose()

    def dispose(self) -> None:
        """Close the database of a store that was never started."""
        for readers in (self._questions, self.lists, self.searches):
            readers.close()
        self._leasing.shutdown()
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

    def _supersede(self, by: str) -> None:
        if not self.superseded_by.done():
            self.superseded_by.set_result(by)

    def _health(self, trouble: str | None) -> None:
        self.trouble = trouble
        if trouble is not None:
            for _, answer in self._waiting:
                if not answer.done():
                    answer.set_exception(StoreUnavailable(trouble))
            self._waiting.clear()

    # --- reading

    async def ask(
        self, query: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """The answer to a question of `reads`, `identity_reads` or the like.

        It must not grow with what is stored: others wait behind it. For what does there are
        `lists` and `searches`.

        Raises:
            StoreUnavailable: the database is away.
            CannotStore: the question holds what the database cannot.
        """
        return await self._questions.ask(query, *args, **kwargs)

    async def _may_be_asked(self) -> None:
        await self.is_caught_up()
        if time.monotonic() < self._unreadable_until:
            raise _away("it cannot be reached")

    def _is_unreachable(self) -> None:
        self._unreadable_until = time.monotonic() + _LOOK_AGAIN
        if self._writer is not None:
            self._writer.probe()


def begin_request(*, old_will_do: bool) -> None:
    """Nothing was written yet by what runs in this context.

    Args:
        old_will_do: it only looks, and is told what is committed while nothing can be written.
    """
    _written.set(False)
    _old_will_do.set(old_will_do)


def note_written() -> None:
    """What this request asked for is done, or a part: what fails now is no reason to repeat it."""
    _written.set(True)


def _away(why: str) -> StoreUnavailable:
    """Of a question."""
    return ResultUnknown(why) if _written.get() else StoreUnavailable(why)


def _unwritten(why: str) -> StoreUnavailable:
    """Of a change, which is surely not made; but others of the same request may be."""
    return OutcomeUnknown(why) if _written.get() else StoreUnavailable(why)


def _prepare(root: Path) -> None:
    with _usable(root):
        blobs.prepare(root)


@contextmanager
def _usable(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot use {root}: {error.strerror}", "check its owner") from error


def _ignore(ticket: int) -> None:
    """Nobody listens yet."""
