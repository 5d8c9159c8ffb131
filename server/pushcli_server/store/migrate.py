"""Databases are made, and brought from one version to the next. Only `server init` does."""

import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from pushcli_server.store.database import (
    HEAD,
    make_engine,
    newer,
    unreadable,
    version_of,
    writing,
)


def migrate(database_url: str, root: Path) -> None:
    """Make the database, or bring it to this program's version.

    A new one is made in one transaction. The steps of an older one are taken each for good:
    what is stopped halfway no version works with, until this has run to its end.

    Args:
        root: where blobs lie.

    Raises:
        StoreError: it cannot be reached, or is of a newer version.
    """
    engine = make_engine(database_url)
    try:
        _own(engine.url)
        version = _known_version(engine)
        if version is None:
            with writing(engine).begin() as connection:
                make(connection)
        else:
            _go_on(engine, version, root)
    except (SQLAlchemyError, sqlite3.DatabaseError, OSError) as error:
        raise unreadable(engine.url, error) from error
    finally:
        engine.dispose()


def make(connection: Connection) -> None:
    """The tables of this version, where there are none, within the connection's transaction."""
    _upgrade(connection, _config(), HEAD)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "pushcli_server.store:migrations")
    config.set_main_option("path_separator", "os")
    return config


def _go_on(engine: Engine, version: str, root: Path) -> None:
    config = _config()
    steps = ScriptDirectory.from_config(config).iterate_revisions(HEAD, version)
    for script in reversed([*steps]):
        # What one transaction could not hold comes before it.
        if prepare := getattr(script.module, "prepare", None):
            prepare(writing(engine), root)
        with writing(engine).begin() as connection:
            _upgrade(connection, config, script.revision)


def _upgrade(connection: Connection, config: Config, revision: str) -> None:
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _known_version(engine: Engine) -> str | None:
    with engine.connect() as connection:
        version = version_of(connection)
    if version is not None and version > HEAD:
        raise newer(engine.url, version)
    return version


def _own(url: URL) -> None:
    """A new SQLite file is its owner's alone."""
    if url.get_backend_name() == "sqlite":
        path = Path(url.database or "")
        if not path.exists():
            path.touch(mode=0o600)
