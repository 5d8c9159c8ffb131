"""`pushcli server to-postgresql`: a server whose database is a SQLite file goes on with PostgreSQL.

All rows are copied in one transaction before `server.toml` names the new database. The file stays,
under another name: a server that found it would go on from that day.
"""

import asyncio
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import msgspec

from pushcli.errors import ConfigError, StoreError
from pushcli_server import settings, settings_file
from pushcli_server.settings import Settings
from pushcli_server.stopped import alone
from pushcli_server.store import Store, database, snapshot

_SUFFIX = ".before-postgresql"
_SIDES = ("", "-wal", "-shm")
"""What SQLite calls its files, behind the name of the first."""


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What was moved, or would be.

    Args:
        database: the new one's URL, without its password.
        rows: how many of each table are to be moved, or have arrived; without empty tables.
        file: the SQLite file, as it was called.
        kept: as it is called now.
    """

    database: str
    rows: Mapping[str, int]
    file: Path
    kept: Path


def look(directory: Path, database_url: str) -> Moved:
    """What `move` would do now, as far as that can be known without doing it.

    Raises:
        ConfigError, StoreError: as `move`.
    """
    moved = _planned(settings.load(directory), directory, database_url)
    snapshot.require_empty(database_url)
    return moved


def move(directory: Path, database_url: str) -> Moved:
    """Have the server of this directory use a PostgreSQL database from its next start on.

    Raises:
        ConfigError: there is no server, it has no SQLite file, or the URL is of no PostgreSQL.
        StartError: the server runs.
        StoreError: a database cannot be used, or the new one is not empty. Nothing was changed.
    """
    config = settings.load(directory)
    _planned(config, directory, database_url)
    with closing(alone(config, why=", and would go on with its file", remedy="stop it first")):
        moved = asyncio.run(_move(config, directory, database_url))
        for side in _SIDES:
            file = moved.file.with_name(f"{moved.file.name}{side}")
            if file.exists():
                _rename(file, moved.kept.with_name(f"{moved.kept.name}{side}"))
    return moved


async def _move(config: Settings, directory: Path, database_url: str) -> Moved:
    store = Store.open(config.database(directory), directory / "blobs")
    try:
        await store.acquire(config.lease)
        # Now nobody writes in it any more.
        moved = _planned(config, directory, database_url)
        text = settings_file.changed(directory, {"database_url": database_url})
        snapshot.put_back(moved.file, database_url, directory / "blobs")
        try:
            arrived = snapshot.counts(database_url)
            settings_file.save(directory, text)
        except BaseException:
            snapshot.undo_put_back(database_url)
            raise
    finally:
        await store.close()
    return msgspec.structs.replace(moved, rows=arrived)


def _planned(config: Settings, directory: Path, database_url: str) -> Moved:
    present = config.database(directory)
    file = database.sqlite_file(present)
    if file is None:
        raise ConfigError(
            f"the server in {directory} uses {database.named(present)} already",
            "there is nothing to move",
        )
    settings.check(msgspec.structs.replace(config, database_url=database_url), "the URL")
    if database.sqlite_file(database_url) is not None:
        raise ConfigError("that is a SQLite file", "give postgresql://HOST/NAME")
    kept = file.with_name(f"{file.name}{_SUFFIX}")
    if kept.exists():
        raise ConfigError(f"{kept} exists", "an earlier move left it: put it elsewhere")
    return Moved(
        database=database.named(database_url), rows=snapshot.counts(present), file=file, kept=kept
    )


def _rename(file: Path, kept: Path) -> None:
    try:
        file.rename(kept)
    except OSError as error:
        raise StoreError(
            f"the server uses the new database, but {file} keeps its name: {error.strerror}",
            f"rename it to {kept.name}",
        ) from error
