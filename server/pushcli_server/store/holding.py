"""The server's hold of its database: one server at a time works with it.

SQLite's file is locked for as long as the process lives. With PostgreSQL there is a lease
(`store.lease`), for its holder may be on any machine.
"""

import fcntl
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from sqlalchemy import Connection, Engine

from pushcli.errors import StartError
from pushcli_server.store import database

ANOTHER = "another server works with this database"


class Hooks(NamedTuple):
    """What a server that stands ready does beside it.

    Args:
        on_wait: is told, in a line, whom it waits for, whenever that is another one.
        may_begin: raises `StartError` while it could not work; from a thread of its own.
    """

    on_wait: Callable[[str], None]
    may_begin: Callable[[], None]


class Hold(Protocol):
    """One run's right to write."""

    incarnation_id: str
    pause: float | None
    """Seconds between two renewals; None: it needs none."""

    def require(self, connection: Connection) -> None:
        """Nobody takes our place before this transaction ends.

        Raises:
            Superseded: somebody has.
        """

    def renew(self) -> None:
        """Say that this server is there.

        Raises:
            Superseded: another has taken its place.
            SQLAlchemyError: the database is away.
        """

    def release(self) -> None:
        """This server has ended."""


async def acquire(engine: Engine, lease: float, stand_by: Hooks | None = None) -> Hold:
    """The hold of a database, for a new run.

    Args:
        lease: seconds of silence after which this server counts as gone.
        stand_by: stand ready while another one works, but with a file.

    Raises:
        StartError: another server works with the database.
        StoreError: the database cannot be used.
    """
    incarnation_id = str(uuid.uuid4())
    if engine.url.get_backend_name() == "sqlite":
        return _FileHold(engine, incarnation_id)
    # Not loaded where they are not used.
    from pushcli_server.store import lease as leases  # noqa: PLC0415
    from pushcli_server.store import standing_by  # noqa: PLC0415

    if stand_by is not None:
        return await standing_by.follow(engine, incarnation_id, lease, stand_by)
    return await leases.acquire(engine, incarnation_id, lease)


@contextmanager
def file_held(database_url: str) -> Iterator[None]:
    """No server works with this SQLite file meanwhile.

    Raises:
        StartError: one does.
        StoreError: its lock cannot be used.
    """
    engine = database.make_engine(database_url)
    hold = _FileHold(engine, "")
    try:
        yield
    finally:
        hold.release()
        engine.dispose()


class _FileHold:
    """The lock beside a SQLite file.

    Raises:
        StartError: another process has it.
        StoreError: the file cannot be made, or its disk has no locks.
    """

    def __init__(self, engine: Engine, incarnation_id: str) -> None:
        self.incarnation_id = incarnation_id
        self.pause: float | None = None
        # Whatever leads there, it is one database.
        file = Path(engine.url.database or "").resolve()
        place = file.with_name(f"{file.name}.lock")
        try:
            self._descriptor = _opened(place, file)
        except OSError as error:
            raise database.unreadable(engine.url, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise StartError(f"{ANOTHER}: {place} is locked", "stop it first") from error
        except OSError as error:
            os.close(self._descriptor)
            raise database.unreadable(engine.url, error) from error

    def require(self, connection: Connection) -> None:
        """The file is locked."""

    def renew(self) -> None:
        """The file is locked."""

    def release(self) -> None:
        """Unlock it."""
        os.close(self._descriptor)


def _opened(place: Path, file: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(place, flags, 0o600)
    try:
        owner = file.stat()
        if os.geteuid() == 0 and os.fstat(descriptor).st_uid != owner.st_uid:
            # The server is somebody else, who comes later.
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
