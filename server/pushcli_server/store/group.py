"""Items that are committed together, tried until it is known what became of each."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from pushcli_server.store import room
from pushcli_server.store.apply import apply_all, apply_one
from pushcli_server.store.bulk import is_postgresql
from pushcli_server.store.errors import Superseded
from pushcli_server.store.faults import is_away
from pushcli_server.store.files import Files
from pushcli_server.store.holding import Hold
from pushcli_server.store.operations import Operation
from pushcli_server.store.weights import weight_of


class Item(NamedTuple):
    """Operations of which all are applied or none.

    Args:
        answer: who waits for it; without one the operations are written whenever that can be.
        apart: a refusal is to be expected: it is tried by itself, not with what stands beside.
    """

    ticket: int
    operations: tuple[Operation, ...]
    answer: "asyncio.Future[None] | None" = None
    apart: bool = False


Refusals = dict[int, Exception]
"""By ticket, why an item cannot be stored."""
_Apply = Callable[[Connection, list[Item], Files, Refusals], None]


class InDoubt(Exception):
    """The database does not know yet whether the last try was committed."""


class Group:
    """One transaction's worth of items."""

    def __init__(self, items: Sequence[Item], root: Path, hold: Hold | None = None) -> None:
        self.items = list(items)
        self._hold = hold
        self.last = items[-1].ticket
        self._withdrawn: list[Item] = []
        self._files = Files((op for item in items for op in item.operations), root)
        self._tried: tuple[int, Refusals] | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether the last try may have been committed, its confirmation lost."""
        return self._tried is not None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write, or nothing any more."""
        return not any(item.operations for item in self.items)

    def commit(self, engine: Engine) -> Refusals:
        """Store everything that can be stored, in one transaction.

        If there is nothing, then because somebody wants to know whether the database is back:
        what shows that is a write like the one that failed.

        Raises:
            Superseded: another server works with the database now.
            Exception: the database or the disk is away (`is_away`), or `InDoubt`; to be tried
                again.
        """
        if (refusals := self._outcome(engine)) is not None:
            return refusals
        self._files.finish()
        if engine.dialect.name == "postgresql":
            operations = (op for item in self.items for op in item.operations)
            self._files.bring(engine, operations, self._require)
        if self.is_empty:
            failed = (weight_of(item.operations) for item in self._withdrawn)
            room.prove(engine, max(failed, default=0), self._require)
        try:
            return self._commit(engine, _together)
        except Superseded:
            raise
        except Exception as error:
            if is_away(error) or self.in_doubt:
                raise
        return self._commit(engine, _split)

    def withdraw(self) -> list[Item]:
        """Take back what somebody waits for; it was not stored, and will not be."""
        waited_for = [item for item in self.items if item.answer is not None]
        self.items = [item for item in self.items if item.answer is None]
        self._withdrawn += waited_for
        return waited_for

    def _commit(self, engine: Engine, apply: _Apply) -> Refusals:
        refusals: Refusals = {}
        items = []
        for item in self.items:
            if (error := self._files.refusal(item.operations)) is None:
                items.append(item)
            else:
                refusals[item.ticket] = error
        with engine.begin() as connection:
            self._require(connection)
            apply(connection, items, self._files, refusals)
            for item in self.items:
                if item.ticket in refusals:
                    self._files.abandon(item.operations)
            for item in self._withdrawn:
                # Now, as its files may have been written meanwhile, where the disk was full.
                self._files.abandon(item.operations)
            self._files.settle(connection)
            if is_postgresql(connection):
                # A connection that breaks now leaves open what became of it.
                number = connection.scalar(text("SELECT txid_current()"))
                self._tried = int(number or 0), refusals
        self._tried = None
        self._files.discard()
        return refusals

    def _require(self, connection: Connection) -> None:
        if self._hold is not None:
            self._hold.require(connection)

    def _outcome(self, engine: Engine) -> Refusals | None:
        """What the last try came to, if it was committed after all."""
        if self._tried is None:
            return None
        number, refusals = self._tried
        if (status := _status(engine, number)) == "in progress":
            raise InDoubt
        self._tried = None
        if status != "committed":
            return None
        self._files.discard()
        return refusals


def _status(engine: Engine, number: int) -> str | None:
    try:
        with engine.connect() as connection:
            status = connection.scalar(text("SELECT txid_status(:number)"), {"number": number})
    except DBAPIError as error:
        if is_away(error):
            raise
        # A stand-by took over that never saw the transaction.
        return None
    return None if status is None else str(status)


def _together(connection: Connection, items: list[Item], files: Files, refusals: Refusals) -> None:
    """In few statements; whoever may be refused by himself."""
    plain: list[Operation] = []
    for item in items:
        if not item.apart:
            plain.extend(item.operations)
            continue
        apply_all(connection, plain, files)
        plain = []
        _apart(connection, item, files, refusals)
    apply_all(connection, plain, files)


def _split(connection: Connection, items: list[Item], files: Files, refusals: Refusals) -> None:
    """Halves of halves, until only those are left out that the database refuses."""
    if len(items) == 1:
        _apart(connection, items[0], files, refusals)
        return
    found: Refusals = {}
    try:
        with connection.begin_nested():
            _together(connection, items, files, found)
    except Exception as error:
        if is_away(error):
            raise
        middle = len(items) // 2
        _split(connection, items[:middle], files, refusals)
        _split(connection, items[middle:], files, refusals)
    else:
        refusals |= found


def _apart(connection: Connection, item: Item, files: Files, refusals: Refusals) -> None:
    try:
        with connection.begin_nested():
            for operation in item.operations:
                apply_one(connection, operation, files)
    except Exception as error:
        if is_away(error):
            raise
        refusals[item.ticket] = error
