"""What retention asks the store: which jobs hold output, the oldest first, and how much it is."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, case, func, select

from pushcli_server.store import schema
from pushcli_server.store.reads import LIVE


def oldest_with_output(connection: Connection, limit: int) -> list[tuple[str, float]]:
    """Ids of jobs that are over and hold output, and when they ended, seconds since the epoch."""
    jobs = schema.jobs
    query = (
        select(jobs.c.id, jobs.c.updated_at)
        .where(jobs.c.output_held, jobs.c.status.not_in(LIVE))
        .order_by(jobs.c.updated_at, jobs.c.id)
        .limit(limit)
    )
    return [(row.id, row.updated_at) for row in connection.execute(query)]


def oldest_jobs(connection: Connection, limit: int) -> list[tuple[str, float, bool]]:
    """Ids of jobs that are over, when they ended, and whether they hold output."""
    jobs = schema.jobs.c
    query = (
        select(jobs.id, jobs.updated_at, jobs.output_held)
        .where(jobs.status.not_in(LIVE))
        .order_by(jobs.updated_at, jobs.id)
        .limit(limit)
    )
    return [(row.id, row.updated_at, row.output_held) for row in connection.execute(query)]


def count_of_jobs(connection: Connection) -> int:
    """How many jobs there are, of all organizations."""
    return connection.scalar(select(func.count()).select_from(schema.jobs)) or 0


def oldest_audit(connection: Connection) -> float | None:
    """The earliest time of a line of the audit trail, which need not be the first's; None: there
    is none.
    """
    found: float | None = connection.scalar(select(func.min(schema.audit.c.at)))
    return found


def count_of_audit(connection: Connection, before: float) -> int:
    """How many lines of the audit trail are older than this time."""
    older = select(func.count()).select_from(schema.audit).where(schema.audit.c.at < before)
    return connection.scalar(older) or 0


def newest_before(connection: Connection, moment: float) -> float | None:
    """When the last thing was written, of jobs' ends and starts and of the audit trail, that was
    not written after this moment; None: nothing was.
    """
    return _newest(connection, moment, schema.jobs.c.updated_at <= moment)


def newest_own_before(connection: Connection, moment: float) -> float | None:
    """The same without imported jobs, which have no requestor: when this server wrote last."""
    jobs = schema.jobs.c
    return _newest(connection, moment, jobs.updated_at <= moment, jobs.requestor != "")


def _newest(connection: Connection, moment: float, *of_jobs: ColumnElement[bool]) -> float | None:
    jobs, audit = schema.jobs.c, schema.audit.c
    found = (
        connection.scalar(select(func.max(jobs.updated_at)).where(*of_jobs)),
        connection.scalar(select(func.max(audit.at)).where(audit.at <= moment)),
    )
    return max((time for time in found if time is not None), default=None)


def output_of_jobs(connection: Connection, job_ids: Sequence[str]) -> dict[str, int]:
    """Bytes of these jobs' output; what several nodes wrote is counted for each."""
    parts = schema.job_nodes.c
    stdout, stderr = (
        case((digest.is_not(None), func.coalesce(size, 0)), else_=0)
        for digest, size in (
            (parts.stdout_digest, parts.stdout_size),
            (parts.stderr_digest, parts.stderr_size),
        )
    )
    query = (
        select(parts.job_id, func.sum(stdout + stderr).label("bytes"))
        .where(parts.job_id.in_(job_ids))
        .group_by(parts.job_id)
    )
    return {row.job_id: int(row.bytes) for row in connection.execute(query)}


def stored_output(connection: Connection) -> int:
    """Bytes of all output, each content counted once; what jobs bring does not count."""
    blobs, jobs = schema.blobs, schema.jobs
    brought = (
        select(jobs.c.file_digest)
        .where(jobs.c.file_digest.is_not(None))
        .union(select(jobs.c.stdin_digest).where(jobs.c.stdin_digest.is_not(None)))
    )
    everything = connection.scalar(select(func.sum(blobs.c.size))) or 0
    theirs = connection.scalar(select(func.sum(blobs.c.size)).where(blobs.c.digest.in_(brought)))
    return int(everything) - int(theirs or 0)
