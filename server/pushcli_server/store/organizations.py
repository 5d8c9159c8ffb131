"""An organization goes, and with it everything that belongs to it; as SQL."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select, union

from pushcli_server.store import chef_nodes, schema
from pushcli_server.store.errors import Missing

_JOBS = 100
_NODES = 20
"""In one transaction: others wait for it. A node may have thousands of fields to search for."""


def is_large(connection: Connection, org: str) -> bool:
    """Whether there are jobs or nodes left to be purged."""
    return bool(_some_jobs(connection, org, 1) or _some_nodes(connection, org, 1))


def purge(connection: Connection, org: str) -> list[str]:
    """Some of its jobs and nodes go; returns the ids of the jobs."""
    ids = _some_jobs(connection, org, _JOBS)
    _drop_jobs(connection, ids)
    chef_nodes.forget(connection, org, _some_nodes(connection, org, _NODES))
    return ids


def delete_all(connection: Connection, org: str) -> list[str]:
    """The organization goes with all that is left; returns the ids of the jobs.

    Raises:
        Missing: there is none of this name.
    """
    ids: list[str] = []
    while some := _some_jobs(connection, org, _JOBS):
        _drop_jobs(connection, some)
        ids += some
    feeds = schema.feed_events
    connection.execute(delete(feeds).where(feeds.c.feed == f"{org}/"))
    # Whatever table there will be: what names its organization is its.
    for table in reversed(schema.metadata.sorted_tables):
        if "org" in table.c:
            connection.execute(delete(table).where(table.c.org == org))
    organizations = schema.organizations
    gone = connection.execute(delete(organizations).where(organizations.c.name == org))
    if not gone.rowcount:
        raise Missing(f"organization '{org}' does not exist.")
    return ids


def _some_jobs(connection: Connection, org: str, limit: int) -> list[str]:
    table = schema.jobs
    return list(connection.scalars(select(table.c.id).where(table.c.org == org).limit(limit)))


def _some_nodes(connection: Connection, org: str, limit: int) -> list[str]:
    table = schema.nodes
    return list(connection.scalars(select(table.c.name).where(table.c.org == org).limit(limit)))


def _drop_jobs(connection: Connection, ids: Sequence[str]) -> None:
    """Jobs go, with their nodes' parts and their feeds."""
    nodes, feeds, jobs = schema.job_nodes, schema.feed_events, schema.jobs
    connection.execute(delete(nodes).where(nodes.c.job_id.in_(ids)))
    connection.execute(delete(feeds).where(feeds.c.feed.in_(ids)))
    connection.execute(delete(jobs).where(jobs.c.id.in_(ids)))


def drop_unused_blobs(connection: Connection) -> list[str]:
    """Drop the content that no job refers to; returns the digests of it that lay in files."""
    blobs, nodes, jobs = schema.blobs, schema.job_nodes, schema.jobs
    # One pass: the columns have no index that would serve a look-up of each digest.
    used = union(
        *(
            select(column).where(column.is_not(None))
            for column in (
                nodes.c.stdout_digest,
                nodes.c.stderr_digest,
                jobs.c.file_digest,
                jobs.c.stdin_digest,
            )
        )
    )
    unused = blobs.c.digest.not_in(used)
    in_files = select(blobs.c.digest).where(blobs.c.data.is_(None), unused)
    digests = list(connection.scalars(in_files))
    connection.execute(delete(blobs).where(unused))
    return digests
