"""The one writer: a thread that commits everything that came while it committed before.

Nothing ends it. While the database is away it tries again, and what nobody waits for stays in
its order; what somebody waits for is taken back, so that he can be told that it was not done.
If nothing is left then, it tries with a write of its own: nobody is told that the database can be
written before that was seen.
An operation that the database cannot ever hold is left out by itself.
"""

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Engine

from pushcli_server.store.database import writing
from pushcli_server.store.errors import CannotApply, CannotStore, StoreUnavailable, Superseded
from pushcli_server.store.faults import cause, one_line, reason
from pushcli_server.store.group import Group, Item, Refusals
from pushcli_server.store.holding import Hold
from pushcli_server.store.operations import Operation
from pushcli_server.store.weights import weight_of

_log = logging.getLogger(__name__)
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_LAST_TRIES = 5.0
"""Seconds in which a commit is tried again at the end: each try may wait for some, too."""
_BUSY = 20
"""So many items in a group are a fleet that answers: more are on their way."""
_GATHER = 0.01
"""Seconds to gather them; one statement for many rows costs a fraction of many statements."""
_LARGEST = 20_000
"""Items of one transaction: after a long time away there are many."""


class Writer:
    """Takes operations on the event loop's thread, commits them on its own.

    Args:
        on_commit: called on the loop with the highest ticket that is done with.
        on_refused: called on the loop with the ticket of what cannot ever be stored.
        on_health: called on the loop with why the database cannot be written; None: it can.
        on_written: called on the loop with the seconds that a commit took; None: it failed.
        on_superseded: called on the loop, once, with who has taken our place: nothing is written
            any more.
        hold: our right to write; None: nobody else can.
    """

    def __init__(
        self,
        engine: Engine,
        root: Path,
        loop: asyncio.AbstractEventLoop,
        *,
        on_commit: Callable[[int], None],
        on_refused: Callable[[int], None],
        on_health: Callable[[str | None], None],
        on_written: Callable[[float | None], None],
        on_superseded: Callable[[str], None],
        hold: Hold | None,
    ) -> None:
        self.ticket = 0
        self.bytes = 0
        """Of what waits to be written, about."""
        self._engine = writing(engine)
        self._root = root
        self._loop = loop
        self._on_commit = on_commit
        self._on_refused = on_refused
        self._on_health = on_health
        self._on_written = on_written
        self._on_superseded = on_superseded
        self._hold = hold
        self._queue: deque[Item] = deque()
        self._in_hand = 0
        self._withdrawn = 0
        self._wake = threading.Condition()
        self._closing = threading.Event()
        self._given_up_at = math.inf
        self._superseded_by: str | None = None
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many items are not written yet."""
        return len(self._queue) + self._in_hand

    def submit(
        self,
        operations: tuple[Operation, ...],
        answer: "asyncio.Future[None] | None" = None,
        *,
        apart: bool = False,
    ) -> int:
        """Queue operations; returns their ticket.

        Args:
            answer: told what became of them. It is a `StoreUnavailable` if they are taken back.
            apart: the database may well refuse them.
        """
        self.ticket += 1
        if self._superseded_by is not None:
            if answer is not None:
                answer.set_exception(StoreUnavailable(self._superseded_by))
            return self.ticket
        self.bytes += weight_of(operations)
        with self._wake:
            self._queue.append(Item(self.ticket, operations, answer, apart))
            self._wake.notify()
        return self.ticket

    def probe(self) -> None:
        """Find out whether the database is away, and when it is back; from any thread."""
        self._notify(self._probe)

    def _probe(self) -> None:
        if not self.waiting:
            self.submit(())

    def close(self) -> None:
        """Commit what is queued, as far as the database lets us, and end."""
        self._given_up_at = time.monotonic() + _LAST_TRIES
        self._closing.set()
        with self._wake:
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while items := self._next():
            if not self._commit_patiently(items):
                return
            if len(items) >= _BUSY:
                self._closing.wait(_GATHER)

    def _next(self) -> list[Item]:
        with self._wake:
            self._in_hand = 0
            while not self._queue and not self._closing.is_set():
                self._wake.wait()
            items = [self._queue.popleft() for _ in range(min(len(self._queue), _LARGEST))]
            self._in_hand = len(items)
            return items

    def _commit_patiently(self, items: list[Item]) -> bool:
        """Commit, trying again for as long as it takes; False if the end does not wait for it."""
        group = Group(items, self._root, self._hold)
        pause = _FIRST_PAUSE
        while True:
            began = time.perf_counter()
            try:
                refusals = group.commit(self._engine)
            except Superseded as error:
                _log.error("nothing is written from now on: %s", error)
                self._notify(self._supersede, group, str(error))
                return False
            except Exception as error:
                self._notify(self._on_written, None)
                self._give_back(group, error)
                if self._closing.wait(pause) and (
                    pause > _LONGEST_PAUSE / 2 or time.monotonic() >= self._given_up_at
                ):
                    if left := len(self._queue) + (0 if group.is_empty else len(group.items)):
                        _log.error("%d changes were not written", left)
                    return False
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                break
        self._notify(self._on_written, time.perf_counter() - began)
        if pause > _FIRST_PAUSE:
            _log.info("the database can be written again")
            self._notify(self._on_health, None)
        self._notify(self._answer, items, group, refusals, self._done_up_to(group.last))
        return True

    def _done_up_to(self, committed: int) -> int:
        """The highest ticket below which nothing is to be done any more.

        What was withdrawn counts as done, too: who waits for all that came before would else wait
        until somebody writes again.
        """
        with self._wake:
            before = self._queue[0].ticket - 1 if self._queue else math.inf
            return max(committed, int(min(self._withdrawn, before)))

    def _give_back(self, group: Group, error: Exception) -> None:
        """The database is away: what somebody waits for is not done, unless that is in doubt."""
        _log.error("cannot write to the database, trying again: %s", one_line(cause(error)))
        why = reason(error)
        self._notify(self._on_health, why)
        with self._wake:
            withdrawn = [item for item in self._queue if item.answer is not None]
            if withdrawn:
                self._queue = deque(item for item in self._queue if item.answer is None)
                self._withdrawn = withdrawn[-1].ticket
        if not group.in_doubt:
            withdrawn += group.withdraw()
            self._in_hand = len(group.items)
        self._notify(self._withdraw, withdrawn, why)
        if group.is_empty and not group.in_doubt:
            # Nothing of it is to come: who reads need not wait until the database is back.
            self._notify(self._on_commit, self._done_up_to(group.last))

    def _supersede(self, group: Group, why: str) -> None:
        self._superseded_by = why
        self._on_health(why)
        with self._wake:
            left, self._queue = [*group.items, *self._queue], deque()
            self._in_hand = 0
        self._withdraw(left, why)
        self._on_superseded(why)

    def _withdraw(self, items: list[Item], why: str) -> None:
        self.bytes -= sum(weight_of(item.operations) for item in items)
        for item in items:
            if item.answer is not None and not item.answer.done():
                item.answer.set_exception(StoreUnavailable(why))

    def _answer(self, items: list[Item], group: Group, refusals: Refusals, last: int) -> None:
        self.bytes -= sum(weight_of(item.operations) for item in group.items)
        for item in items:
            # Whoever expects a refusal looks at his answer.
            if item.ticket in refusals and not item.apart:
                self._on_refused(item.ticket)
        self._on_commit(last)
        for item in items:
            if item.answer is None:
                if item.ticket in refusals:
                    _complain(item, refusals[item.ticket])
            elif not item.answer.done():
                if item.ticket in refusals:
                    item.answer.set_exception(_as_answer(refusals[item.ticket]))
                else:
                    item.answer.set_result(None)

    def _notify(self, call: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            # The loop is closed: nobody waits for the answer any more.
            _log.debug("the event loop ended before the writer")


def _complain(item: Item, error: Exception) -> None:
    # Not what was to be written: it may be anything that anybody sent.
    kinds = ", ".join(dict.fromkeys(type(operation).__name__ for operation in item.operations))
    _log.error("%s cannot be stored and is left out: %s", kinds, one_line(error))


def _as_answer(error: Exception) -> Exception:
    if isinstance(error, CannotApply):
        return error
    refused = CannotStore(one_line(error))
    refused.__cause__ = error
    return refused
