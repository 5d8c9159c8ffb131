"""What is old goes, a piece at a time, and with it content that nothing else refers to; as SQL."""

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Exists,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)

from pushcli_server.store import schema
from pushcli_server.store.reads import LIVE

PIECE = 100
"""Nodes whose output goes in one transaction: others wait for it, and each may have two files."""
ROWS = 1000
"""That go in one transaction where there is no more to them; of a single job more."""
_STDOUT, _STDERR = schema.job_nodes.c.stdout_digest, schema.job_nodes.c.stderr_digest


def _is_some(column: Column[str]) -> ColumnElement[bool]:
    # As it stands in the index, which is of no use otherwise. Where there is nothing, nothing goes.
    return column != literal_column(f"'{schema.EMPTY}'")


_HOLDS = or_(_is_some(_STDOUT), _is_some(_STDERR))


def hold(connection: Connection, job_ids: Collection[str]) -> None:
    """These jobs have output now."""
    table = schema.jobs
    mine = and_(table.c.id.in_(sorted(job_ids)), ~table.c.output_held)
    connection.execute(update(table).where(mine).values(output_held=True))


def existing_jobs(connection: Connection, job_ids: Collection[str]) -> set[str]:
    """Those of these jobs that are there."""
    jobs = schema.jobs
    return set(connection.scalars(select(jobs.c.id).where(jobs.c.id.in_(sorted(job_ids)))))


def kept_of(connection: Connection, parts: Sequence[tuple[str, str]]) -> set[str]:
    """The digests of what is kept of these nodes' output, each after the id of its job."""
    table, found = schema.job_nodes.c, set[str]()
    for start in range(0, len(parts), ROWS):
        some = set(parts[start : start + ROWS])
        jobs, nodes = ({part[place] for part in some} for place in (0, 1))
        near = and_(table.job_id.in_(sorted(jobs)), table.node.in_(sorted(nodes)), _HOLDS)
        query = select(table.job_id, table.node, _STDOUT, _STDERR).where(near)
        for job, node, *digests in connection.execute(query):
            if (job, node) in some:
                found.update(digests)
    return found - {None}


def delete_output(
    connection: Connection, job_ids: Sequence[str], at: float, because: str
) -> list[str]:
    """The output of some nodes of these jobs goes, of those jobs that are over.

    What its size was stays. A job of which nothing is left holds no output any more.

    Returns:
        The digests of what lay in files and is not needed any more.
    """
    jobs, parts = schema.jobs, schema.job_nodes
    over = and_(jobs.c.id.in_(job_ids), jobs.c.status.not_in(LIVE))
    ids = list(connection.scalars(select(jobs.c.id).where(over)))
    columns = (parts.c.job_id, parts.c.node, parts.c.stdout_digest, parts.c.stderr_digest)
    some = select(*columns).where(parts.c.job_id.in_(ids), _HOLDS).limit(PIECE)
    rows = connection.execute(some).all()
    if rows:
        part = and_(parts.c.job_id == bindparam("of_job"), parts.c.node == bindparam("of_node"))
        nothing = (
            update(parts)
            .where(part)
            .values(
                stdout_digest=case((~_is_some(_STDOUT), _STDOUT)),
                stderr_digest=case((~_is_some(_STDERR), _STDERR)),
            )
        )
        connection.execute(nothing, [{"of_job": row.job_id, "of_node": row.node} for row in rows])
    left = select(parts.c.node).where(parts.c.job_id == jobs.c.id, _HOLDS).exists()
    mine = jobs.c.id.in_(ids)
    deleted = {
        "output_deleted_at": func.coalesce(jobs.c.output_deleted_at, at),
        "output_deleted_by": func.coalesce(jobs.c.output_deleted_by, because),
    }
    connection.execute(update(jobs).where(mine).values(deleted))
    connection.execute(update(jobs).where(mine, ~left).values(output_held=False))
    digests = {digest for row in rows for digest in (row.stdout_digest, row.stderr_digest)}
    return drop_unused(connection, digests - {None})


def delete_jobs(connection: Connection, job_ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """The first of these jobs go, with their nodes' parts; none that is not over or has output.

    Returns:
        Their ids, and the digests of what lay in files and is not needed any more.
    """
    jobs, parts, feeds = schema.jobs.c, schema.job_nodes.c, schema.feed_events.c
    query = (
        select(jobs.id, jobs.file_digest, jobs.stdin_digest, func.count(parts.node).label("nodes"))
        .outerjoin_from(schema.jobs, schema.job_nodes, parts.job_id == jobs.id)
        .where(jobs.id.in_(job_ids), jobs.status.not_in(LIVE), ~jobs.output_held)
        .group_by(jobs.id, jobs.file_digest, jobs.stdin_digest)
    )
    ids, digests, nodes = list[str](), set[str](), 0
    for row in connection.execute(query):
        if ids and nodes + row.nodes > ROWS:
            break
        ids.append(row.id)
        digests.update(filter(None, (row.file_digest, row.stdin_digest)))
        nodes += row.nodes
    connection.execute(delete(schema.job_nodes).where(parts.job_id.in_(ids)))
    connection.execute(delete(schema.feed_events).where(feeds.feed.in_(ids)))
    connection.execute(delete(schema.jobs).where(jobs.id.in_(ids)))
    return ids, drop_unused(connection, digests)


def delete_audit(connection: Connection, before: float) -> None:
    """Of the lines of the audit trail that were written before this time the first go.

    They need not be the trail's first: a clock that was ahead for a while wrote later times.
    """
    audit = schema.audit
    old = select(audit.c.id).where(audit.c.at < before).order_by(audit.c.id).limit(ROWS)
    ids = list(connection.scalars(old))
    connection.execute(delete(audit).where(audit.c.id.in_(ids)))


def drop_unused(connection: Connection, digests: Iterable[str]) -> list[str]:
    """Drop those of these contents that nothing refers to; the digests of what lay in files.

    Nothing stays: who refers to it no index says.
    """
    blobs, wanted, found = schema.blobs, sorted(set(digests) - {schema.EMPTY}), list[str]()
    for start in range(0, len(wanted), ROWS):
        unused = unreferenced(wanted[start : start + ROWS])
        in_files = select(blobs.c.digest).where(unused, blobs.c.data.is_(None))
        found += connection.scalars(in_files)
        connection.execute(delete(blobs).where(unused))
    return found


def large_unused(connection: Connection) -> list[str]:
    """Some of the large content that no job refers to."""
    table = schema.blobs
    query = select(table.c.digest).where(table.c.data.is_(None), is_unreferenced()).limit(PIECE)
    return list(connection.scalars(query))


def unreferenced(digests: Sequence[str]) -> ColumnElement[bool]:
    """The condition that a content is one of these, and no job refers to it."""
    return and_(schema.blobs.c.digest.in_(digests), is_unreferenced())


def is_unreferenced() -> ColumnElement[bool]:
    """The condition that no job refers to a content."""
    jobs = schema.jobs.c
    return and_(
        ~_refers(_STDOUT, _is_some(_STDOUT)),
        ~_refers(_STDERR, _is_some(_STDERR)),
        ~_refers(jobs.file_digest),
        ~_refers(jobs.stdin_digest),
    )


def _refers(column: Column[str], *more: ColumnElement[bool]) -> Exists:
    return select(column).where(column == schema.blobs.c.digest, *more).exists()
