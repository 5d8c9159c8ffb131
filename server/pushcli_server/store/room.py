"""Whether the database has room again, when there is nothing to write that would show it.

A commit of nothing succeeds on a full disk, and so may a small one: SQLite has pages that are
free, and its log the length that it once had.
"""

import hashlib

from sqlalchemy import Engine, delete, insert

from pushcli_server.store import schema

LEAST = 65_536
"""Bytes for which there must be room, more than most changes and their indexes take."""


def prove(engine: Engine, size: int) -> None:
    """Commit so many bytes, and their removal: a write that needs pages, and leaves nothing.

    Raises:
        Exception: the database is away (`is_away`).
    """
    # Bytes that no database can compress, but the same each time: what a crash between the two
    # commits leaves goes with the next.
    data = hashlib.shake_256(b"room").digest(size)
    digest, table = hashlib.sha256(data).hexdigest(), schema.blobs
    gone = delete(table).where(table.c.digest == digest)
    with engine.begin() as connection:
        connection.execute(gone)
        connection.execute(insert(table), {"digest": digest, "size": size, "data": data})
    with engine.begin() as connection:
        connection.execute(gone)
