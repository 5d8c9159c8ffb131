"""What a server left that was killed, or lost its database, while it brought output there."""

import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import SQLAlchemyError

from pushcli_server.store import blob_pieces, retention, schema
from pushcli_server.store.faults import one_line

_NAME = re.compile(r"[0-9a-f]{64}")
_AT_ONCE = 500
_log = logging.getLogger(__name__)


def clear(engine: Engine, root: Path, require: Callable[[Connection], None]) -> None:
    """Remove files of which the database has all, and content that nothing refers to.

    A file that the database does not know stays: it may be another database's.

    Args:
        require: raises, within a transaction, if nothing may be written.

    Raises:
        OSError: files cannot be removed.
    """
    if engine.dialect.name != "postgresql":
        return
    try:
        files = list(_files(root))
        for start in range(0, len(files), _AT_ONCE):
            _remove_spent(engine, dict(files[start : start + _AT_ONCE]))
        with engine.begin() as connection:
            require(connection)
            large = list(connection.scalars(_UNUSED))
            retention.drop_unused(connection, large)
    except SQLAlchemyError as error:
        # It takes room, no more.
        _log.warning("what an earlier run left is still there: %s", one_line(error))


_UNUSED = select(schema.blobs.c.digest).where(
    schema.blobs.c.data.is_(None), retention.is_unreferenced()
)


def _files(root: Path) -> Iterator[tuple[str, Path]]:
    for path in root.glob("??/*"):
        if _NAME.fullmatch(digest := f"{path.parent.name}{path.name}"):
            yield digest, path


def _remove_spent(engine: Engine, files: dict[str, Path]) -> None:
    table = schema.blobs
    query = select(table.c.digest, table.c.size).where(table.c.digest.in_(files))
    with engine.connect() as connection:
        sizes = {str(row.digest): int(row.size) for row in connection.execute(query)}
        spent = blob_pieces.complete(connection, sizes)
    for digest in spent:
        files[digest].unlink(missing_ok=True)
