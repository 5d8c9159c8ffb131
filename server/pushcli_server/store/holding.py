"""The server's hold of its database: nothing is written under one that another server has taken.

Beside PostgreSQL a server on any machine may take the place of one that fell silent; beside
SQLite the file itself is locked for as long as the process lives.
"""

import asyncio
import fcntl
import logging
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, insert, select, text, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from pushcli.errors import StartError
from pushcli.protocol.timestamps import format_minute
from pushcli_server.core.leases import RENEWALS, Holder, Process, is_free, is_waited_for
from pushcli_server.store import database, processes
from pushcli_server.store.database import writing
from pushcli_server.store.errors import Superseded
from pushcli_server.store.schema import servers

_log = logging.getLogger(__name__)
ONLY = "server"
"""The one server that works with a database."""
_TICK = 0.25
_BEGUN = "another server works with this database"


class Hold:
    """One run's right to write.

    Args:
        lock: of a file, held by being open; None: there is none.
    """

    def __init__(
        self, engine: Engine, epoch: int, incarnation_id: str, lease: float, lock: int | None
    ) -> None:
        self.epoch = epoch
        self._lease = lease
        self._engine = writing(engine)
        self._incarnation_id = incarnation_id
        self._lock = lock

    def require(self, connection: Connection) -> None:
        """Nobody takes our place before this transaction ends.

        Raises:
            Superseded: somebody has.
        """
        columns = servers.c.epoch, servers.c.incarnation_id
        # Against whoever changes the row; SQLite's transactions that write are alone anyway.
        row = connection.execute(
            select(*columns).where(servers.c.id == ONLY).with_for_update(read=True)
        ).one_or_none()
        if row is None or tuple(row) != (self.epoch, self._incarnation_id):
            raise Superseded(_successor(connection))

    @property
    def is_leased(self) -> bool:
        """Whether it is to be renewed; else it lasts as long as the process."""
        return self._lock is None

    @property
    def pause(self) -> float:
        """Seconds between two renewals."""
        return self._lease / RENEWALS

    def renew(self) -> None:
        """Say that this server is there.

        Raises:
            Superseded: another has taken its place.
            SQLAlchemyError: the database is away.
        """
        self._set_renewed(_now)

    def release(self) -> None:
        """This server has ended; what it still has open of the database may be closed."""
        try:
            self._set_renewed(lambda connection: None)
        except (Superseded, SQLAlchemyError) as error:
            _log.debug("its end is not stored: %s", error)
        finally:
            if self._lock is not None:
                os.close(self._lock)

    def _set_renewed(self, at: Callable[[Connection], float | None]) -> None:
        with self._engine.begin() as connection:
            self.require(connection)
            own = servers.c.id == ONLY
            connection.execute(update(servers).where(own).values(renewed_at=at(connection)))


async def acquire(engine: Engine, incarnation_id: str, lease: float) -> Hold:
    """The hold of a database; one that may be gone is waited for until its lease is over.

    Args:
        incarnation_id: of this run.
        lease: seconds of silence after which this server counts as gone.

    Raises:
        StartError: another server works with the database.
        StoreError: the database cannot be used.
    """
    lock = _locked(engine)
    try:
        epoch = await _acquired(engine, incarnation_id, lease, is_alone=lock is not None)
    except BaseException as error:
        if lock is not None:
            os.close(lock)
        if isinstance(error, SQLAlchemyError):
            raise database.unreadable(engine.url, error) from error
        raise
    return Hold(engine, epoch, incarnation_id, lease, lock)


async def _acquired(engine: Engine, incarnation_id: str, lease: float, *, is_alone: bool) -> int:
    first: Holder | None = None
    while True:
        try:
            taken = await asyncio.to_thread(_try, engine, incarnation_id, lease, is_alone=is_alone)
        except IntegrityError:
            # Two are the first ones ever: the other one was earlier.
            continue
        if isinstance(taken, int):
            return taken
        holder, process = taken
        if process is Process.THERE or (first is not None and not is_waited_for(first, holder)):
            raise StartError(_who(holder), "stop it, or give this one a database of its own")
        if first is None:
            _log.warning("%s; waiting until it was silent for %g s", _who(holder), holder.lease)
            first = holder
        await asyncio.sleep(_TICK)


def _try(
    engine: Engine, incarnation_id: str, lease: float, *, is_alone: bool
) -> int | tuple[Holder, Process]:
    """The epoch that begins, or who stands in the way."""
    with writing(engine).begin() as connection:
        holder, process = _holder(connection, to_change=True)
        now = _now(connection)
        if holder is None or is_alone or is_free(holder, process, now):
            return _enter(connection, holder, incarnation_id, lease, now)
    return holder, process


def _holder(connection: Connection, *, to_change: bool) -> tuple[Holder | None, Process]:
    found = select(servers).where(servers.c.id == ONLY)
    row = connection.execute(found.with_for_update() if to_change else found).one_or_none()
    if row is None:
        return None, Process.GONE
    values = {name: getattr(row, name) for name in Holder.__dataclass_fields__}
    return Holder(**values), processes.look_for(row.process)


def _enter(
    connection: Connection, before: Holder | None, incarnation_id: str, lease: float, now: float
) -> int:
    epoch = 1 if before is None else before.epoch + 1
    row = {
        "epoch": epoch,
        "incarnation_id": incarnation_id,
        "host": socket.gethostname()[:255],
        "process": processes.own(),
        "started_at": now,
        "lease": lease,
        "renewed_at": now,
    }
    if before is None:
        connection.execute(insert(servers).values(id=ONLY, **row))
    else:
        connection.execute(update(servers).where(servers.c.id == ONLY).values(**row))
    return epoch


def _who(holder: Holder) -> str:
    return f"{_BEGUN}: on {holder.host}, since {format_minute(holder.started_at)}"


def _successor(connection: Connection) -> str:
    holder, _ = _holder(connection, to_change=False)
    return _BEGUN if holder is None else _who(holder)


def _now(connection: Connection) -> float:
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())")) or 0.0)


def _locked(engine: Engine) -> int | None:
    """The lock beside a SQLite file.

    Raises:
        StartError: another process has it.
    """
    if engine.url.get_backend_name() != "sqlite":
        return None
    place = Path(f"{engine.url.database}.lock")
    try:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise database.unreadable(engine.url, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StartError(f"{_BEGUN}: {place} is locked", "stop it first") from error
    return descriptor
