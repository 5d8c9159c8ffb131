"""Engines and versions: SQLite by default, PostgreSQL by URL."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from pushcli.errors import ConfigError, StoreError
from pushcli_server.store.faults import one_line

HEAD = "0027"
"""The migration that this program needs; a test compares it with the scripts."""
_BUSY = 5.0
"""Seconds for which SQLite waits for a writer beside us; then it counts as away."""
_SQLITE = "sqlite:///"
_PASSWORDS = ("password", "sslpassword")
"""What PostgreSQL's library takes in a URL's query, too."""
_GIVEN_UP = "57014"
_STEPS = 20_000
"""Instructions of SQLite between two looks at the clock: about a millisecond."""
_PATIENCE = {
    "connect_timeout": 5,
    # Milliseconds and seconds: a peer that vanished without a word is noticed too.
    "tcp_user_timeout": 10_000,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
}


def make_engine(database_url: str) -> Engine:
    """An engine for `sqlite:///PATH`, `postgresql://...` or `postgres://...`.

    Raises:
        ConfigError: no such URL, or its driver is not installed.
    """
    url = _url(database_url)
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": _BUSY, "check_same_thread": False})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        # Whoever waited for a lock sees what was committed meanwhile, whatever the default is.
        engine = create_engine(
            url,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
            connect_args=_patience(url),
        )
    except ImportError as error:
        raise ConfigError(
            "the driver for PostgreSQL is not installed", "pip install 'pushcli[postgresql]'"
        ) from error
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def writing(engine: Engine) -> Engine:
    """The same database, for transactions that write.

    SQLite's then wait for others that write; begun as readers' they would fail at once.
    """
    return engine.execution_options(writes=True)


def is_given_up(error: Exception) -> bool:
    """Whether a statement was ended because its time was over."""
    cause = getattr(error, "orig", None)
    if getattr(cause, "sqlstate", None) == _GIVEN_UP:
        return True
    return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT


@contextmanager
def limited(connection: Connection, seconds: float) -> Iterator[None]:
    """Let the database give up each statement that takes longer: it stops working on it."""
    if connection.dialect.name != "sqlite":
        connection.execute(text(f"SET LOCAL statement_timeout = {int(seconds * 1000)}"))
        yield
        return
    driver: Any = connection.connection.driver_connection
    deadline = time.monotonic() + seconds
    driver.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    try:
        yield
    finally:
        driver.set_progress_handler(None, 0)


def give_up(driver: Any) -> None:
    """End the statement that a driver's connection is busy with; from any thread."""
    if isinstance(driver, sqlite3.Connection):
        driver.interrupt()
    else:
        driver.cancel()


def check(engine: Engine) -> None:
    """The database must be there, readable, and of this program's version.

    Raises:
        StoreError: it is not.
    """
    url = engine.url
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        raise StoreError(f"no database at {url.database}", "run `pushcli server init` first")
    try:
        with engine.connect() as connection:
            version = version_of(connection)
    except (SQLAlchemyError, sqlite3.DatabaseError) as error:
        raise unreadable(url, error) from error
    if version == HEAD:
        return
    if version is None:
        is_file = url.get_backend_name() == "sqlite"
        remedy = "run `pushcli server init` first"
        # There `server init` makes none for a server that exists: its own may be elsewhere.
        elsewhere = "check database_url, or restore a backup"
        raise StoreError(f"{shown(url)} is empty", remedy if is_file else elsewhere)
    if version > HEAD:
        raise newer(url, version)
    raise StoreError(
        f"{shown(url)} is of an older version ({version}, this program needs {HEAD})",
        "run `pushcli server init` again to bring it up to date",
    )


@contextmanager
def reading(database_url: str) -> Iterator[Connection]:
    """A connection for questions alone, beside whoever else works with the database.

    Raises:
        StoreError: it is not there, or cannot be read.
    """
    engine = make_engine(database_url)
    try:
        check(engine)
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise unreadable(engine.url, error) from error
    finally:
        engine.dispose()


def version_of(connection: Connection) -> str | None:
    """The last migration that was made; None: the database is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if version is None else str(version)


def newer(url: URL, version: str) -> StoreError:
    """The error for a database that a later pushcli has changed."""
    return StoreError(
        f"{shown(url)} is of a newer version ({version}, this program knows {HEAD})",
        "upgrade pushcli",
    )


def is_empty(database_url: str) -> bool:
    """Whether no server ever had a database there.

    Raises:
        StoreError: it cannot be read.
    """
    engine = make_engine(database_url)
    try:
        with engine.connect() as connection:
            return version_of(connection) is None
    except (SQLAlchemyError, sqlite3.DatabaseError) as error:
        raise unreadable(engine.url, error) from error
    finally:
        engine.dispose()


def unreadable(url: URL, error: Exception) -> StoreError:
    """The error for a database that cannot be used; one line."""
    why = one_line(error)
    # SQLITE_FULL and ENOSPC.
    no_room = "disk is full" in why or "No space left" in why
    remedy = "make room on its disk" if no_room else "check database_url"
    return StoreError(f"cannot use the database {shown(url)}: {why}", remedy)


def shown(url: URL) -> str:
    """The URL as operators write it, without its passwords, wherever they stand."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    hidden = {name: "***" for name in _PASSWORDS if name in url.query}
    written = url.set(drivername=url.get_backend_name()).update_query_dict(hidden)
    return written.render_as_string(hide_password=True)


def named(database_url: str) -> str:
    """What messages call this database."""
    return shown(_url(database_url))


def sqlite_file(database_url: str) -> Path | None:
    """The file that the database is; None: it is none."""
    url = _url(database_url)
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def url_of(file: Path) -> str:
    """The URL of a SQLite file, whatever it is called."""
    return f"{_SQLITE}{file.absolute()}"


def _url(database_url: str) -> URL:
    if database_url.startswith(_SQLITE) and database_url != _SQLITE:
        # As it stands: in a path # ? and % mean themselves.
        return URL.create("sqlite", database=database_url.removeprefix(_SQLITE))
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError) as error:
        raise ConfigError(
            "database_url is not a URL", "give sqlite:///PATH or postgresql://HOST/NAME"
        ) from error
    match url.drivername:
        case "sqlite" if url.database:
            return url
        case "postgresql" | "postgres" | "postgresql+psycopg":
            return url.set(drivername="postgresql+psycopg")
        case _:
            raise ConfigError(
                f"database_url names {url.drivername!r}",
                "give sqlite:///PATH or postgresql://HOST/NAME",
            )


def _prepare_sqlite(connection: Any, _: object) -> None:
    # Transactions are begun by us: the driver's own rules begin them too late for savepoints.
    connection.isolation_level = None
    # Whatever somebody put into a column, its row can be read, and judged.
    connection.text_factory = _decoded
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _patience(url: URL) -> dict[str, int]:
    return {name: value for name, value in _PATIENCE.items() if name not in url.query}


def _prepare_postgresql(connection: Any, _: object) -> None:
    # A server may be set to forget commits that it has confirmed; stricter settings stay.
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false)"
        " WHERE current_setting('synchronous_commit') = 'off'"
    )
    connection.commit()
