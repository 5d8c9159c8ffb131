"""The one writer: a thread that commits everything that came while it committed before."""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine

from pushcli_server.store.apply import apply_all, apply_one
from pushcli_server.store.database import is_away, one_line, writing
from pushcli_server.store.files import Files
from pushcli_server.store.operations import Operation

_log = logging.getLogger(__name__)
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_BUSY = 20
"""So many items in a group are a fleet that answers: more are on their way."""
_GATHER = 0.01
"""Seconds to gather them; one statement for many rows costs a fraction of many statements."""


class _Item(NamedTuple):
    ticket: int
    operations: tuple[Operation, ...]
    answer: "asyncio.Future[None] | None"


class Writer:
    """Takes operations on the event loop's thread, commits them on its own.

    Args:
        on_commit: called on the loop with the highest ticket that is committed.
        on_failure: called on the loop when a submitted operation cannot ever be applied;
            nothing is written from then on.
        on_health: called on the loop with whether the database can be written.
    """

    def __init__(
        self,
        engine: Engine,
        root: Path,
        loop: asyncio.AbstractEventLoop,
        *,
        on_commit: Callable[[int], None],
        on_failure: Callable[[BaseException], None],
        on_health: Callable[[bool], None],
    ) -> None:
        self.ticket = 0
        self._engine = writing(engine)
        self._root = root
        self._loop = loop
        self._on_commit = on_commit
        self._on_failure = on_failure
        self._on_health = on_health
        self._queue: deque[_Item] = deque()
        self._wake = threading.Condition()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(
        self, operations: tuple[Operation, ...], answer: "asyncio.Future[None] | None" = None
    ) -> int:
        """Queue operations; returns their ticket."""
        self.ticket += 1
        with self._wake:
            self._queue.append(_Item(self.ticket, operations, answer))
            self._wake.notify()
        return self.ticket

    def close(self) -> None:
        """Commit what is queued, as far as the database lets us, and end."""
        self._closing.set()
        with self._wake:
            self._wake.notify()
        self._thread.join()

    def _run(self) -> None:
        while group := self._next():
            if not self._commit_patiently(group):
                return
            if len(group) >= _BUSY:
                self._closing.wait(_GATHER)

    def _next(self) -> list[_Item]:
        with self._wake:
            while not self._queue and not self._closing.is_set():
                self._wake.wait()
            group = list(self._queue)
            self._queue.clear()
            return group

    def _commit_patiently(self, group: list[_Item]) -> bool:
        """Commit, trying again for as long as it takes; False if that is hopeless."""
        files = Files((op for item in group for op in item.operations), self._root)
        pause = _FIRST_PAUSE
        while True:
            try:
                files.finish()
                refusals = self._commit(group, files)
            except Exception as error:
                self._notify(self._on_health, False)
                if not is_away(error):
                    self._notify(self._on_failure, error)
                    return False
                _log.error("cannot write to the database, trying again: %s", one_line(error))
                if self._closing.wait(pause) and pause > _LONGEST_PAUSE / 2:
                    _log.error("%d changes were not written", len(group) + len(self._queue))
                    return False
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                break
        if pause > _FIRST_PAUSE:
            self._notify(self._on_health, True)
        self._notify(self._answer, group, refusals)
        return True

    def _commit(self, group: list[_Item], files: Files) -> dict[int, Exception]:
        refusals: dict[int, Exception] = {}
        with self._engine.begin() as connection:
            plain: list[Operation] = []
            for item in group:
                if item.answer is None:
                    plain.extend(item.operations)
                    continue
                apply_all(connection, plain, files)
                plain = []
                try:
                    _apply_apart(connection, item, files)
                except Exception as error:
                    if is_away(error):
                        raise
                    refusals[item.ticket] = error
            apply_all(connection, plain, files)
        return refusals

    def _answer(self, group: list[_Item], refusals: dict[int, Exception]) -> None:
        self._on_commit(group[-1].ticket)
        for item in group:
            if item.answer is None or item.answer.done():
                continue
            if item.ticket in refusals:
                item.answer.set_exception(refusals[item.ticket])
            else:
                item.answer.set_result(None)

    def _notify(self, call: Callable[..., None], *args: object) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            # The loop is closed: nobody waits for the answer any more.
            _log.debug("the event loop ended before the writer")


def _apply_apart(connection: Connection, item: _Item, files: Files) -> None:
    with connection.begin_nested():
        for operation in item.operations:
            apply_one(connection, operation, files)
