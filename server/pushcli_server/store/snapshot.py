"""The whole database as a SQLite file of one moment, and back into a database of either kind."""

import hashlib
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import URL, Connection, Engine, Table, create_engine, func, insert, select, text
from sqlalchemy.exc import SQLAlchemyError

from pushcli.errors import StoreError
from pushcli_server.store import blob_pieces, database, schema
from pushcli_server.store.migrate import make, migrate

_ROWS = 500
"""Rows that are read, and written, at a time."""
_PIECES = blob_pieces.AT_ONCE // blob_pieces.PIECE
"""The same of large content."""
_IN_FILES = """
SELECT digest, size FROM blobs WHERE data IS NULL AND size <> (
  SELECT coalesce(sum(length(data)), 0) FROM blob_pieces WHERE blob_pieces.digest = blobs.digest
) AND digest IN (
  SELECT stdout_digest FROM job_nodes UNION SELECT stderr_digest FROM job_nodes
  UNION SELECT file_digest FROM jobs UNION SELECT stdin_digest FROM jobs
)
"""
"""Of a content that nothing refers to a server that lost its database may have left a beginning."""
_PIECES_OF_ALL = """
SELECT digest, size, blob_pieces.data FROM blob_pieces JOIN blobs USING (digest)
ORDER BY digest, number
"""


class Copied(msgspec.Struct, frozen=True, kw_only=True):
    """What a database has now that was empty.

    Args:
        rows: how many of each table, but for those that have none.
        lost: contents whose files were missing, or could not be read.
    """

    rows: dict[str, int]
    lost: int


def save(database_url: str, file: Path) -> None:
    """Write what is committed at this moment into a new file; whoever writes meanwhile may.

    Raises:
        StoreError: the database cannot be read, or the file not written.
    """
    engine = database.make_engine(database_url)
    try:
        database.check(engine)
        if engine.dialect.name == "sqlite":
            _of_sqlite(Path(engine.url.database or ""), file)
        else:
            _of_another(engine, file)
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise database.unreadable(engine.url, error) from error
    finally:
        engine.dispose()


def bring_up_to_date(file: Path, root: Path) -> None:
    """Bring a snapshot to this program's version.

    Args:
        root: where blobs lie.

    Raises:
        StoreError: it is no snapshot, or of a newer version.
    """
    _require_whole(file)
    migrate(database.url_of(file), root)


@contextmanager
def putting_back(file: Path, root: Path, database_url: str) -> Iterator[Copied]:
    """Have in a database that is no file what is in a snapshot of this version, or nothing.

    All of it counts once the block ends.

    Args:
        file: the snapshot, which stays where it is.
        root: where files with large content lie, which stay there.

    Raises:
        StoreError: the database is not empty, or cannot be written.
    """
    source = database.make_engine(database.url_of(file))
    target = database.make_engine(database_url)
    try:
        with source.connect() as rows, database.writing(target).begin() as connection:
            _require_empty(connection)
            make(connection)
            copied, large = _copy(rows, connection), files(file)
            blob_pieces.bring_now(connection, large, root)
            lost = large.keys() - blob_pieces.complete(connection, large)
            yield Copied(rows=copied, lost=len(lost))
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise database.unreadable(target.url, error) from error
    finally:
        source.dispose()
        target.dispose()


def require_empty(database_url: str) -> None:
    """No server has a database of its own there.

    Raises:
        StoreError: one has, or the database cannot be read.
    """
    engine = database.make_engine(database_url)
    try:
        with engine.connect() as connection:
            _require_empty(connection)
    except SQLAlchemyError as error:
        raise database.unreadable(engine.url, error) from error
    finally:
        engine.dispose()


def _require_empty(connection: Connection) -> None:
    if database.version_of(connection) is not None:
        raise StoreError(
            f"{database.shown(connection.engine.url)} holds a server's data",
            "give an empty database",
        )


def counts(database_url: str) -> dict[str, int]:
    """How many rows each table has of what is copied, but for those that have none.

    Raises:
        StoreError: the database cannot be read, or is of another version.
    """
    with database.reading(database_url) as connection:
        found = {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in _copied()
        }
    return {name: count for name, count in found.items() if count}


def _copied() -> Iterator[Table]:
    """What others refer to comes first; nobody works with the copy."""
    return (table for table in schema.metadata.sorted_tables if table is not schema.servers)


def files(file: Path) -> dict[str, int]:
    """What a snapshot of this version needs files beside it for: sizes by digest (hex)."""
    with closing(_reading(file)) as connection:
        return {str(digest): int(size) for digest, size in connection.execute(_IN_FILES)}


def damaged(file: Path) -> str | None:
    """The digest of a content in pieces which is not what it should be; None: there is none."""
    with closing(_reading(file)) as connection:
        pieces = connection.execute(_PIECES_OF_ALL)
        for (digest, size), rows in groupby(pieces, key=itemgetter(0, 1)):
            found, length = hashlib.sha256(), 0
            for _, _, data in rows:
                found.update(data)
                length += len(data)
            # What is not whole is read from its file, if anybody needs it.
            if length >= size and found.hexdigest() != digest:
                return str(digest)
    return None


def _reading(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)


def _of_sqlite(own: Path, file: Path) -> None:
    with (
        closing(_reading(own)) as source,
        closing(sqlite3.connect(file)) as target,
    ):
        source.backup(target)
        # What was a log beside the database is in it: the file stands by itself.
        target.execute("PRAGMA journal_mode=DELETE")


def _of_another(engine: Engine, file: Path) -> None:
    target = create_engine(URL.create("sqlite", database=str(file)))
    try:
        with engine.connect() as rows, target.begin() as connection:
            rows.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            schema.metadata.create_all(connection)
            connection.execute(
                text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
            )
            connection.execute(
                text("INSERT INTO alembic_version VALUES (:version)"), {"version": database.HEAD}
            )
            _copy(rows, connection)
    finally:
        target.dispose()


def _copy(source: Connection, target: Connection) -> dict[str, int]:
    """How many rows of each table, but for those that have none."""
    copied = Counter[str]()
    for table in _copied():
        at_once = _PIECES if table is schema.blob_pieces else _ROWS
        streaming = source.execution_options(stream_results=True, max_row_buffer=at_once)
        found = streaming.execute(select(table))
        for rows in found.mappings().partitions(at_once):
            target.execute(insert(table), [dict(row) for row in rows])
            copied[table.name] += len(rows)
        _count_on(target, table)
    return dict(copied)


def _count_on(target: Connection, table: Any) -> None:
    """What counts up by itself goes on after what is there."""
    column = table.autoincrement_column
    if target.dialect.name != "postgresql" or column is None:
        return
    last = target.scalar(select(func.max(column)))
    if last is not None:
        target.execute(
            text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)"),
            {"table": table.name, "column": column.name, "last": last},
        )


def _require_whole(file: Path) -> None:
    try:
        with closing(_reading(file)) as connection:
            answer = connection.execute("PRAGMA integrity_check(1)").fetchone()
            is_there = connection.execute(
                "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
            ).fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"the backup's database is damaged: {error}", "use another one") from error
    if answer != ("ok",) or is_there is None:
        raise StoreError("the backup's database is damaged", "use another one")
