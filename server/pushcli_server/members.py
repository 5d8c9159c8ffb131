"""`pushcli server list`: which server works with a PostgreSQL database, as that knows."""

from pathlib import Path

import msgspec

from pushcli.errors import ConfigError
from pushcli_server import settings
from pushcli_server.core.leases import Holder, State, state
from pushcli_server.store import database, reads


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A server that works with the database, or was the last to, or stands ready.

    Args:
        host: its machine's name.
        since: when it began, seconds since the epoch.
        silent_for: seconds since it said that it is there, by the database's clock; None: it ended.
        incarnation_id: of its run.
    """

    host: str
    incarnation_id: str
    state: State
    since: float
    silent_for: float | None


class Members(msgspec.Struct, frozen=True, kw_only=True):
    """Those of a database.

    Args:
        database: its URL, without its passwords.
    """

    database: str
    members: list[Member]


def members(directory: Path) -> Members:
    """Those of the database of the server in this directory, which need not run.

    Raises:
        ConfigError: there is no server, or its database is a file.
        StoreError: the database cannot be used.
    """
    url = settings.load(directory).database(directory)
    if database.sqlite_file(url) is not None:
        raise ConfigError(
            f"the server in {directory} has a SQLite file, with which no other works",
            "`pushcli server to-postgresql` has it use a database that two may",
        )
    # Not loaded where it is not used.
    from pushcli_server.store import lease  # noqa: PLC0415

    with database.reading(url) as connection:
        holder, process, now = lease.look(connection)
        found = [] if holder is None else [_member(holder, state(holder, process, now), now)]
        found += [_member(one, State.READY, now) for one in lease.ready(connection, now)]
    return Members(database=database.named(url), members=found)


def _member(holder: Holder, known: State, now: float) -> Member:
    silent_for = None
    if holder.renewed_at is not None and known is not State.ENDED:
        silent_for = max(now - holder.renewed_at, 0.0)
    return Member(
        host=holder.host,
        incarnation_id=holder.incarnation_id,
        state=known,
        since=holder.started_at,
        silent_for=silent_for,
    )


def joined(database_url: str, digest: str) -> bool:
    """Whether the server that works with the database gave this answer to one that joins.

    Raises:
        StoreError: the database cannot be used.
    """
    with database.reading(database_url) as connection:
        return reads.was_joined(connection, digest)
