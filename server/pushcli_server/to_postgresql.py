"""`pushcli server to-postgresql`: a server whose database is a SQLite file goes on with PostgreSQL.

All rows are copied in one transaction. Its end, the new `server.toml` and the file's new name
belong together, and no signal comes between: a server that found the file would go on from then.
"""

from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec

from pushcli.errors import ConfigError, StoreError
from pushcli_server import settings, settings_file
from pushcli_server.settings import Settings
from pushcli_server.stopped import alone
from pushcli_server.store import database, holding, snapshot
from pushcli_server.undisturbed import undisturbed

_SUFFIX = ".before-postgresql"
_SIDES = ("", "-wal", "-shm")
"""What SQLite calls its files, behind the name of the first."""


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What was moved, or would be.

    Args:
        database: the new one's URL, without its password.
        rows: how many of each table are there, or have arrived; without empty tables.
        file: the SQLite file, as it was called.
        kept: as it is called now.
        lost: outputs whose files were missing or could not be read: their bytes are not there.
    """

    database: str
    rows: Mapping[str, int]
    file: Path
    kept: Path
    lost: int = 0


def look(directory: Path, database_url: str) -> Moved:
    """What `move` would do now, as far as that can be known without doing it.

    Raises:
        ConfigError, StoreError: as `move`.
    """
    config = settings.load(directory)
    moved = _planned(config, directory, database_url)
    snapshot.require_empty(database_url)
    rows = snapshot.counts(config.database(directory))
    return msgspec.structs.replace(moved, rows=rows)


def move(directory: Path, database_url: str) -> Moved:
    """Have the server of this directory use a PostgreSQL database from its next start on.

    Raises:
        ConfigError: there is no server, it has no SQLite file, or the URL is of no PostgreSQL.
        StartError: the server runs.
        StoreError: a database cannot be used, or the new one is not empty. Nothing was changed,
            unless the connection broke in the very end: then it may not be empty any more.
    """
    config = settings.load(directory)
    present = config.database(directory)
    moved = _planned(config, directory, database_url)
    text = settings_file.changed(directory, {"database_url": database_url})
    with (
        closing(alone(config, why=", and would go on with its file", remedy="stop it first")),
        holding.file_held(present),
        settings_file.beside(directory, text) as fresh,
        ExitStack() as to_its_end,
    ):
        with snapshot.putting_back(moved.file, directory / "blobs", database_url) as copied:
            to_its_end.enter_context(undisturbed())
        try:
            settings_file.replace(directory, fresh)
        except ConfigError as error:
            raise ConfigError(
                f"{moved.database} has all of it, but {error.message}",
                "empty that database, and run this again",
            ) from error
        for side in _SIDES:
            file = moved.file.with_name(f"{moved.file.name}{side}")
            if file.exists():
                _rename(file, moved.kept.with_name(f"{moved.kept.name}{side}"))
    return msgspec.structs.replace(moved, rows=copied.rows, lost=copied.lost)


def _planned(config: Settings, directory: Path, database_url: str) -> Moved:
    present = config.database(directory)
    file = database.sqlite_file(present)
    if file is None:
        raise ConfigError(
            f"the server in {directory} uses {database.named(present)} already",
            "there is nothing to move",
        )
    if database.sqlite_file(database_url) is not None:
        raise ConfigError("that is a SQLite file", "give postgresql://HOST/NAME")
    with database.reading(present):
        # It is there, and of this version.
        pass
    kept = file.with_name(f"{file.name}{_SUFFIX}")
    if kept.exists():
        raise ConfigError(f"{kept} exists", "an earlier move left it: put it elsewhere")
    return Moved(database=database.named(database_url), rows={}, file=file, kept=kept)


def _rename(file: Path, kept: Path) -> None:
    try:
        file.rename(kept)
    except OSError as error:
        raise StoreError(
            f"the server uses the new database, but {file} keeps its name: {error.strerror}",
            f"rename it to {kept.name}",
        ) from error
