"""What a server has stored, from outside: it may run meanwhile, or not yet."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from sqlalchemy import Connection, select, text

from pushcli.sandbox.sandbox import Sandbox
from pushcli_server import settings
from pushcli_server.store import schema
from pushcli_server.store.database import make_engine, writing
from tests.support import postgresql


def url_of(fleet: Sandbox) -> str:
    """The URL of the server's database."""
    return settings.load(fleet.server_directory).database(fleet.server_directory)


@contextmanager
def database(fleet: Sandbox) -> Iterator[Connection]:
    """A transaction in it."""
    engine = make_engine(url_of(fleet))
    try:
        with writing(engine).begin() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def away(fleet: Sandbox) -> Iterator[None]:
    """The server cannot use its database meanwhile."""
    if postgresql.IS_CHOSEN:
        with postgresql.away(url_of(fleet)):
            yield
        return
    file = fleet.server_directory / settings.DATABASE
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def everything(fleet: Sandbox) -> bytes:
    """All that is in it, of SQLite also what lies about in its files."""
    if not postgresql.IS_CHOSEN:
        files = sorted(fleet.server_directory.glob(f"{settings.DATABASE}*"))
        return b"".join(file.read_bytes() for file in files)
    with database(fleet) as connection:
        rows = [
            row
            for table in schema.metadata.sorted_tables
            for row in connection.scalars(text(f'SELECT t::text FROM "{table.name}" t'))
        ]
    return "\n".join(rows).encode()


def large(fleet: Sandbox) -> set[str]:
    """The digests of contents that no row holds: those of files, or of pieces in the database."""
    files = (fleet.server_directory / "blobs").glob("??/*")
    found = {f"{path.parent.name}{path.name}" for path in files}
    with database(fleet) as connection:
        return found | set(connection.scalars(select(schema.blob_pieces.c.digest)))
