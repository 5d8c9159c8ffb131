"""Large content in the database, in pieces: with PostgreSQL every server can read it there."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, func, select

from pushcli_server.store import schema
from pushcli_server.store.bulk import insert_rows

PIECE = 262_144
"""Bytes of each piece but the last; what is stored is read by it."""
AT_ONCE = 16
"""Pieces in one statement, and transaction: 4 MiB, which keep nobody waiting."""
_NAMES = ("digest", "number", "data")


def insert(connection: Connection, digest: str, file: Path, first: int = 0) -> int:
    """Write some of a file's pieces, but for those that are there.

    Args:
        first: the number of the piece to begin with.

    Returns:
        How many there were; less than `AT_ONCE` where the file has no more.
    """
    with file.open("rb") as content:
        content.seek(first * PIECE)
        read = (content.read(PIECE) for _ in range(AT_ONCE))
        rows = [(digest, number, data) for number, data in enumerate(read, first) if data]
    insert_rows(connection, schema.blob_pieces, _NAMES, rows, ignore=True)
    return len(rows)


def insert_all(connection: Connection, digest: str, file: Path) -> None:
    """Write all of a file's pieces."""
    number = 0
    while insert(connection, digest, file, number) == AT_ONCE:
        number += AT_ONCE


def bring(
    engine: Engine, digest: str, size: int, file: Path, require: Callable[[Connection], None]
) -> None:
    """Have all of a file in the database, in transactions of a few pieces; may be done again.

    Args:
        require: raises, within each transaction, if nothing may be written.
    """
    with engine.begin() as connection:
        require(connection)
        blob = (digest, size, None)
        insert_rows(connection, schema.blobs, ("digest", "size", "data"), [blob], ignore=True)
        if is_complete(connection, digest, size):
            return
    number, is_more = 0, True
    while is_more:
        with engine.begin() as connection:
            require(connection)
            is_more = insert(connection, digest, file, number) == AT_ONCE
        number += AT_ONCE


def is_complete(connection: Connection, digest: str, size: int) -> bool:
    """Whether the database has all of a content, rather than a file."""
    table = schema.blob_pieces
    count = select(func.count()).where(table.c.digest == digest)
    return PIECE * (connection.scalar(count) or 0) >= size


def read(connection: Connection, digest: str, number: int) -> bytes:
    """A piece; nothing where there is none."""
    table = schema.blob_pieces
    piece = select(table.c.data).where(table.c.digest == digest, table.c.number == number)
    return bytes(connection.scalar(piece) or b"")


def read_some(connection: Connection, digest: str, offset: int, limit: int) -> bytes:
    """At most `limit` bytes from there on."""
    return across(lambda number: read(connection, digest, number), offset, limit)


def across(piece: Callable[[int], bytes], offset: int, limit: int) -> bytes:
    """Bytes that may lie in several pieces; those before one that is missing.

    Args:
        piece: of this number; nothing where there is none.
    """
    found = b""
    while len(found) < limit:
        number, start = divmod(offset + len(found), PIECE)
        some = piece(number)[start : start + limit - len(found)]
        if not some:
            break
        found += some
    return found
