"""Questions about output: what a node wrote, and for whoever follows it how far it has come."""

from pathlib import Path

from sqlalchemy import ColumnElement, Connection, and_, case, exists, or_, select

from pushcli_server.store import blob_pieces, schema
from pushcli_server.store.blobs import path_of, read_piece
from pushcli_server.store.contents import Content, opened
from pushcli_server.store.errors import DamagedContent


def output(
    connection: Connection, root: Path, org: str, job_id: str, node: str, channel: str
) -> Content | None:
    """What a command wrote to `stdout` or `stderr` on a node, in a job of this organization.

    Returns:
        To be closed. None: nothing was captured, or it was deleted.

    Raises:
        DamagedContent: it is not all there.
    """
    table, blobs = schema.job_nodes, schema.blobs
    digest = table.c.stdout_digest if channel == "stdout" else table.c.stderr_digest
    row = connection.execute(
        select(blobs.c.digest, blobs.c.size, blobs.c.data)
        .join(table, digest == blobs.c.digest)
        .where(_parts_of(org, job_id), table.c.node == node)
    ).first()
    return None if row is None else opened(connection, root, *row)


def output_of(
    connection: Connection, root: Path, org: str, job_id: str, digest: str
) -> Content | None:
    """The output with this digest, if a node of this job of this organization wrote it.

    Returns:
        To be closed.

    Raises:
        DamagedContent: it is not all there.
    """
    table, blobs = schema.job_nodes, schema.blobs
    wrote = or_(table.c.stdout_digest == digest, table.c.stderr_digest == digest)
    if not connection.scalar(select(exists().where(_parts_of(org, job_id), wrote))):
        return None
    query = select(blobs.c.digest, blobs.c.size, blobs.c.data).where(blobs.c.digest == digest)
    row = connection.execute(query).first()
    if row is None:
        raise DamagedContent(f"the output {digest} is missing")
    return opened(connection, root, *row)


def output_sizes(
    connection: Connection, org: str, job_id: str
) -> list[tuple[str, int | None, int | None]]:
    """Each node of a job of this organization with the sizes of its stored output, in order."""
    table = schema.job_nodes
    stdout, stderr = (
        case((digest.is_not(None), size))
        for digest, size in (
            (table.c.stdout_digest, table.c.stdout_size),
            (table.c.stderr_digest, table.c.stderr_size),
        )
    )
    query = (
        select(table.c.node, stdout.label("stdout"), stderr.label("stderr"))
        .where(_parts_of(org, job_id))
        .order_by(table.c.position)
    )
    return [(row.node, row.stdout, row.stderr) for row in connection.execute(query)]


def output_piece(
    connection: Connection,
    root: Path,
    org: str,
    job_id: str,
    part: tuple[str, str],
    offset: int,
    limit: int,
) -> bytes:
    """At most `limit` bytes of what is stored of an output; nothing where there is none.

    Args:
        part: a node and its channel.

    Raises:
        DamagedContent: it cannot be read.
    """
    table, blobs = schema.job_nodes, schema.blobs
    node, channel = part
    digest = table.c.stdout_digest if channel == "stdout" else table.c.stderr_digest
    row = connection.execute(
        select(blobs.c.digest, blobs.c.size, blobs.c.data)
        .join(table, digest == blobs.c.digest)
        .where(_parts_of(org, job_id), table.c.node == node)
    ).first()
    if row is None:
        return b""
    if row.data is not None:
        return bytes(row.data)[offset : offset + limit]
    if blob_pieces.is_complete(connection, row.digest, row.size):
        return blob_pieces.read_some(connection, row.digest, offset, limit)
    try:
        return read_piece(path_of(root, row.digest), offset, limit)
    except OSError as error:
        raise DamagedContent(f"the output {row.digest} cannot be read") from error


def _parts_of(org: str, job_id: str) -> ColumnElement[bool]:
    jobs = schema.jobs
    there = select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.org == org).exists()
    return and_(schema.job_nodes.c.job_id == job_id, there)
