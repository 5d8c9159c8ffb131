"""The files of jobs are blobs, as output is; a column that nobody read goes too.

The files may be many and large: they move in batches, each committed on its own. Whoever is
stopped goes on where the last batch ended, and until the end the database is of version 0003,
with which no program works.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

from pushcli.errors import StoreError
from pushcli_server.store import blobs
from pushcli_server.store.bulk import insert_rows, is_postgresql

revision = "0004"
down_revision = "0003"

_BATCH = 50
"""Jobs. Of their files one is in memory at a time, but for the small ones."""
_tables = sa.MetaData()
_id = sa.Column("id", sa.String(32))
_file = sa.Column("file", sa.Text())
_jobs = sa.Table("jobs", _tables, _id, _file, sa.Column("file_digest", sa.String(64)))
_blobs = sa.Table(
    "blobs",
    _tables,
    sa.Column("digest", sa.String(64)),
    sa.Column("size", sa.BigInteger()),
    sa.Column("data", sa.LargeBinary()),
)


def prepare(engine: sa.Engine, root: Path) -> None:
    """Move every file out of the table."""
    last: str | None = ""
    while last is not None:
        with engine.begin() as connection:
            last = _move_some(connection, root, last)
    if engine.dialect.name == "sqlite":
        _give_back_space(engine)


def upgrade() -> None:
    """Drop the columns."""
    connection = op.get_bind()
    _keep_others_out(connection)
    if connection.execute(_left("").limit(1)).first() is not None:
        raise StoreError(
            "a server is still writing to the database",
            "stop it, and run `pushcli server init` again",
        )
    op.drop_column("jobs", "file")
    op.drop_column("clients", "admin")


def _move_some(connection: sa.Connection, root: Path, after: str) -> str | None:
    """Move the next files; the id of the last job, or None when all were moved."""
    _keep_others_out(connection)
    ids: list[str] = list(connection.scalars(_left(after).limit(_BATCH)))
    if not ids:
        return None
    kept = [_keep(connection, root, job_id) for job_id in ids]
    blobs.sync_directories(root, {blob.digest for blob in kept if blob.data is None})
    new = {blob.digest: blob for blob in kept}
    insert_rows(connection, _blobs, blobs.Blob._fields, list(new.values()), ignore=True)
    _refer(connection, ids, kept)
    return ids[-1]


def _keep_others_out(connection: sa.Connection) -> None:
    # SQLite's transactions that write begin so.
    if is_postgresql(connection):
        connection.execute(sa.text("LOCK TABLE jobs IN EXCLUSIVE MODE"))


def _left(after: str) -> sa.Select[Any]:
    return sa.select(_id).where(_id > after, _file.is_not(None)).order_by(_id)


def _keep(connection: sa.Connection, root: Path, job_id: str) -> blobs.Blob:
    file: str = connection.execute(sa.select(_file).where(_id == job_id)).scalar_one()
    return blobs.keep(root, file.encode())


def _refer(connection: sa.Connection, ids: Sequence[str], kept: Sequence[blobs.Blob]) -> None:
    moved = [{"job": job_id, "digest": blob.digest} for job_id, blob in zip(ids, kept, strict=True)]
    statement = (
        sa.update(_jobs)
        .where(_id == sa.bindparam("job"))
        .values(file=None, file_digest=sa.bindparam("digest"))
    )
    connection.execute(statement, moved)


def _give_back_space(engine: sa.Engine) -> None:
    """Shrink a database of which most is free now; PostgreSQL does it by itself."""
    raw = engine.raw_connection()
    try:
        cursor = raw.cursor()
        cursor.execute(
            "SELECT freelist_count > page_count / 2 FROM pragma_freelist_count, pragma_page_count"
        )
        if cursor.fetchone() == (1,):
            cursor.execute("VACUUM")
    finally:
        raw.close()
