"""Whether the database has room again, when there is nothing to write that would show it.

A commit of nothing succeeds on a full disk, and so may a small one: SQLite has pages that are
free, and its log the length that it once had.
"""

import hashlib
from collections.abc import Callable

from sqlalchemy import Connection, Engine, delete, insert

from pushcli_server.store import schema

LEAST = 65_536
"""Bytes for which there must be room, more than most changes and their indexes take."""
MOST = 65_536
"""Bytes that are looked for beyond these, of what failed."""
_DIGEST = "room"
"""Of no content: it is removed whatever its size, also if a crash left it."""


def prove(engine: Engine, failed: int, require: Callable[[Connection], None]) -> None:
    """Commit some bytes, and their removal: a write that needs pages, and leaves nothing.

    Args:
        failed: bytes of what could not be written. Of a large one only so much counts that what
            waits behind, which may be small, does not wait for room that it does not need.
        require: raises where nothing may be written.

    Raises:
        Exception: the database is away (`is_away`).
    """
    # Bytes that no database can compress.
    size = LEAST + min(failed, MOST)
    data, table = hashlib.shake_256(b"room").digest(size), schema.blobs
    gone = delete(table).where(table.c.digest == _DIGEST)
    with engine.begin() as connection:
        require(connection)
        connection.execute(gone)
        connection.execute(insert(table), {"digest": _DIGEST, "size": size, "data": data})
    with engine.begin() as connection:
        require(connection)
        connection.execute(gone)
