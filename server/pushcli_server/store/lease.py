"""The lease of a database on PostgreSQL (`core.leases` has its rules).

Each transaction that writes shares a lock with its like, and looks under it whether its server
still is the one; whoever takes over has the lock alone. The lease itself is a row that no
transaction of the writer touches: a commit may take longer than the lease.
"""

import asyncio
import logging
import socket
import threading
import time
from typing import Any

from sqlalchemy import Connection, Engine, Row, delete, event, insert, or_, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from pushcli.errors import StartError
from pushcli.protocol.timestamps import format_minute
from pushcli_server.core.leases import (
    RENEWALS,
    Holder,
    Process,
    is_free,
    is_waited_for,
)
from pushcli_server.store import database, processes
from pushcli_server.store.database import writing
from pushcli_server.store.errors import Superseded
from pushcli_server.store.faults import one_line
from pushcli_server.store.holding import ANOTHER
from pushcli_server.store.schema import servers

_log = logging.getLogger(__name__)
_ONLY = "server"
"""The one server that works with a database."""
_LOCK = 0x70757368636C69
"""Its number among PostgreSQL's advisory locks."""
_LOCK_TIMEOUT = "55P03"
_FORGOTTEN = 3600.0
_TICK = 0.25
_MANY = 20
"""Tries after which it is told that they come to nothing."""
_PATIENCE = "SET LOCAL lock_timeout = 1000"
_SHARED = text(f"SELECT pg_advisory_xact_lock_shared({_LOCK})")
_ALONE = text(f"SELECT pg_advisory_xact_lock({_LOCK})")
_NOW = text("SELECT extract(epoch FROM clock_timestamp())")
_END = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = :name AND datname = current_database()"
)


class Lease:
    """One run's right to write, which it renews."""

    def __init__(self, engine: Engine, epoch: int, incarnation_id: str, lease: float) -> None:
        self.incarnation_id = incarnation_id
        self.pause: float | None = lease / RENEWALS
        self._engine = writing(engine)
        self._epoch = epoch
        # A renewal that is late must not undo the end.
        self._renewing = threading.Lock()
        self._is_released = False

    def require(self, connection: Connection) -> None:
        """See `holding.Hold`."""
        connection.execute(_SHARED)
        row = connection.execute(
            select(servers.c.epoch, servers.c.incarnation_id).where(servers.c.id == _ONLY)
        ).one_or_none()
        if row is None or tuple(row) != (self._epoch, self.incarnation_id):
            raise Superseded(_successor(connection))

    def renew(self) -> None:
        """See `holding.Hold`."""
        with self._renewing:
            if not self._is_released:
                self._set_renewed(is_there=True)

    def release(self) -> None:
        """See `holding.Hold`."""
        with self._renewing:
            self._is_released = True
            try:
                self._set_renewed(is_there=False)
            except Superseded:
                # It has what we would leave.
                return
            except SQLAlchemyError as error:
                _log.info("the next server waits until the lease ends: %s", one_line(error))

    def _set_renewed(self, *, is_there: bool) -> None:
        with self._engine.begin() as connection:
            connection.execute(text(_PATIENCE))
            own = (
                servers.c.id == _ONLY,
                servers.c.epoch == self._epoch,
                servers.c.incarnation_id == self.incarnation_id,
            )
            at = _now(connection) if is_there else None
            values = {"renewed_at": at, "renewals": servers.c.renewals + 1}
            changed = connection.execute(update(servers).where(*own).values(**values))
            if not changed.rowcount:
                raise Superseded(_successor(connection))


async def acquire(engine: Engine, incarnation_id: str, lease: float) -> Lease:
    """A new lease; of one that may be gone its end is waited for.

    Raises:
        StartError: another server works with the database.
        StoreError: the database cannot be used.
    """
    name_connections(engine, incarnation_id)
    first: Holder | None = None
    since = time.monotonic()
    fruitless = 0
    while True:
        watched = 0.0 if first is None else time.monotonic() - since
        try:
            taken = await asyncio.to_thread(_try, engine, incarnation_id, lease, watched)
        except SQLAlchemyError as error:
            raise database.unreadable(engine.url, error) from error
        if isinstance(taken, int):
            return Lease(engine, taken, incarnation_id, lease)
        if taken is not None:
            holder, process = taken
            if process is Process.THERE or (first is not None and not is_waited_for(first, holder)):
                remedy = "stop it, let this one wait (--stand-by), or give it a database of its own"
                raise StartError(who(holder), remedy)
            if first is None:
                first, since = holder, time.monotonic()
                _log.warning("%s; waiting until it was silent for %g s", who(first), first.lease)
        else:
            fruitless += 1
            if fruitless == _MANY:
                _log.warning("%s, and does not let go of it; trying again", ANOTHER)
        await asyncio.sleep(_TICK)


def _try(
    engine: Engine, incarnation_id: str, lease: float, watched: float
) -> int | tuple[Holder, Process] | None:
    """The epoch that begins, or who stands in the way; None: something changes right now."""
    with engine.connect() as connection:
        holder, process = _holder(connection)
        if holder is not None and not is_free(holder, process, _now(connection), watched):
            return holder, process
    return _epoch(engine, holder, incarnation_id, lease)


def enter(engine: Engine, before: Holder | None, incarnation_id: str, lease: float) -> Lease | None:
    """The place of this holder; None: something has changed meanwhile, or he does not let go.

    Raises:
        SQLAlchemyError: the database is away.
    """
    epoch = _epoch(engine, before, incarnation_id, lease)
    return None if epoch is None else Lease(engine, epoch, incarnation_id, lease)


def _epoch(engine: Engine, before: Holder | None, incarnation_id: str, lease: float) -> int | None:
    if before is not None and before.renewed_at is not None:
        _end_connections(engine, before)
    return _entered(engine, before, incarnation_id, lease)


def _end_connections(engine: Engine, holder: Holder) -> None:
    """What it has begun, and may never end, is not stored: it would have us wait for ever."""
    try:
        with engine.connect() as connection:
            connection.execute(_END, {"name": _name(holder.incarnation_id)})
    except SQLAlchemyError as error:
        _log.warning("connections of the server before this one stay: %s", one_line(error))


def _entered(
    engine: Engine, before: Holder | None, incarnation_id: str, lease: float
) -> int | None:
    """The epoch that begins; None: something has changed meanwhile."""
    epoch = 1 if before is None else before.epoch + 1
    try:
        with writing(engine).begin() as connection:
            connection.execute(text(_PATIENCE))
            connection.execute(_ALONE)
            now = _now(connection)
            row = _row(epoch, incarnation_id, lease, now)
            if before is None:
                connection.execute(insert(servers).values(id=_ONLY, **row))
                return epoch
            as_it_was = (
                servers.c.id == _ONLY,
                servers.c.epoch == before.epoch,
                servers.c.incarnation_id == before.incarnation_id,
                servers.c.renewals == before.renewals,
            )
            changed = connection.execute(update(servers).where(*as_it_was).values(**row))
            return epoch if changed.rowcount else None
    except IntegrityError:
        # Two are the first ones ever.
        return None
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCK_TIMEOUT:
            raise
        return None


def _row(epoch: int, incarnation_id: str, lease: float, now: float) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "incarnation_id": incarnation_id,
        "host": socket.gethostname()[:255],
        "process": processes.own(),
        "started_at": now,
        "lease": lease,
        "renewals": 0,
        "renewed_at": now,
    }


def _holder(connection: Connection) -> tuple[Holder | None, Process]:
    row = connection.execute(select(servers).where(servers.c.id == _ONLY)).one_or_none()
    if row is None:
        return None, Process.GONE
    return _of(row), processes.look_for(row.process)


def _of(row: Row[Any]) -> Holder:
    return Holder(**{name: getattr(row, name) for name in Holder.__dataclass_fields__})


def look(connection: Connection) -> tuple[Holder | None, Process, float]:
    """Who works with the database, or did, if anybody; its process; what time it is there."""
    return *_holder(connection), _now(connection)


def ready(connection: Connection, now: float) -> list[Holder]:
    """Those who stand ready to take its place."""
    rows = connection.execute(
        select(servers)
        .where(servers.c.id != _ONLY, now - servers.c.renewed_at < servers.c.lease)
        .order_by(servers.c.started_at)
    )
    return [_of(row) for row in rows]


def note_ready(engine: Engine, incarnation_id: str, lease: float) -> None:
    """Say that a server stands ready; again and again, within its lease."""
    with engine.begin() as connection:
        now = _now(connection)
        own = servers.c.id == incarnation_id
        changed = connection.execute(
            update(servers).where(own).values(renewed_at=now, renewals=servers.c.renewals + 1)
        )
        if not changed.rowcount:
            row = _row(0, incarnation_id, lease, now)
            connection.execute(insert(servers).values(id=incarnation_id, **row))


def forget_ready(engine: Engine, incarnation_id: str) -> None:
    """It does so no longer; nor do those who were not heard of for an hour."""
    with engine.begin() as connection:
        old = servers.c.renewed_at < _now(connection) - _FORGOTTEN
        own = servers.c.id == incarnation_id
        connection.execute(delete(servers).where(servers.c.id != _ONLY, or_(own, old)))


def _successor(connection: Connection) -> str:
    holder, _ = _holder(connection)
    return ANOTHER if holder is None else who(holder)


def who(holder: Holder) -> str:
    """The one that works, in a line."""
    return f"{ANOTHER}: on {holder.host}, since {format_minute(holder.started_at)}"


def _now(connection: Connection) -> float:
    return float(connection.execute(_NOW).scalar_one())


def _name(incarnation_id: str) -> str:
    return f"pushcli {incarnation_id}"


def name_connections(engine: Engine, incarnation_id: str) -> None:
    """Whoever takes our place can end what we have begun."""

    def set_name(connection: Any, _: object) -> None:
        connection.execute(
            "SELECT set_config('application_name', %s, false)", (_name(incarnation_id),)
        )
        connection.commit()

    event.listen(engine, "connect", set_name)
    # Those that are open have no name.
    engine.dispose()
