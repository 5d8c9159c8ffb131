"""Questions to the store, as SQL; each takes a connection and returns records."""

import time
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, and_, or_, select

from pushcli_server.store import schema
from pushcli_server.store.records import (
    AuditRecord,
    JobNodeRecord,
    JobRecord,
    NodeRecord,
    Principal,
)

LIVE = ("voting", "running")


def organizations(connection: Connection) -> list[str]:
    """All names."""
    return list(connection.scalars(select(schema.organizations.c.name)))


def organization_exists(connection: Connection, org: str) -> bool:
    """Whether there is one of this name."""
    table = schema.organizations
    return connection.execute(select(table.c.name).where(table.c.name == org)).first() is not None


def principals(connection: Connection, org: str, name: str) -> list[Principal]:
    """The user and the client of this name, whichever there are."""
    users, members, clients = schema.users, schema.organization_users, schema.clients
    found = []
    user = connection.execute(
        select(users.c.superuser, members.c.org)
        .outerjoin(members, and_(members.c.name == users.c.name, members.c.org == org))
        .where(users.c.name == name)
    ).first()
    if user is not None:
        found.append(
            Principal(
                kind="user",
                name=name,
                public_keys=_keys(connection, "user", "", name),
                associated=user.org is not None,
                superuser=user.superuser,
            )
        )
    client = connection.execute(
        select(clients.c.validator, clients.c.admin).where(
            clients.c.org == org, clients.c.name == name
        )
    ).first()
    if client is not None:
        found.append(
            Principal(
                kind="client",
                name=name,
                public_keys=_keys(connection, "client", org, name),
                associated=True,
                validator=client.validator,
                admin=client.admin,
            )
        )
    return found


def _keys(connection: Connection, kind: str, org: str, name: str) -> tuple[str, ...]:
    keys = schema.keys
    valid = or_(keys.c.expires_at.is_(None), keys.c.expires_at > time.time())
    query = select(keys.c.public_key).where(
        keys.c.kind == kind, keys.c.org == org, keys.c.name == name, valid
    )
    return tuple(connection.scalars(query))


def group_exists(connection: Connection, org: str, group: str) -> bool:
    """Whether the organization has a group of this name."""
    groups = schema.groups
    query = select(groups.c.name).where(groups.c.org == org, groups.c.name == group)
    return connection.execute(query).first() is not None


def is_member(connection: Connection, org: str, kind: str, name: str, group: str) -> bool:
    """Whether a user or client is in the group, or in one that is, however deep."""
    members = schema.group_members
    # UNION drops what was seen: groups that hold each other end the recursion.
    nested = select(schema.groups.c.name).where(
        schema.groups.c.org == org, schema.groups.c.name == group
    )
    within = nested.cte("within", recursive=True)
    within = within.union(
        select(members.c.member).where(
            members.c.org == org, members.c.kind == "group", members.c.group_name == within.c.name
        )
    )
    query = select(members.c.member).where(
        members.c.org == org,
        members.c.kind == kind,
        members.c.member == name,
        members.c.group_name.in_(select(within.c.name)),
    )
    return connection.execute(query.limit(1)).first() is not None


def job(connection: Connection, org: str, job_id: str) -> JobRecord | None:
    """A job of this organization."""
    jobs = schema.jobs
    row = connection.execute(select(jobs).where(jobs.c.id == job_id, jobs.c.org == org)).first()
    return None if row is None else _record(row, JobRecord)


def jobs(connection: Connection, org: str) -> list[JobRecord]:
    """All jobs of this organization, oldest first."""
    table = schema.jobs
    query = select(table).where(table.c.org == org).order_by(table.c.created_at, table.c.id)
    return _records(connection, query, JobRecord)


def job_by_request(connection: Connection, org: str, requestor: str, request: str) -> str | None:
    """The id of the job that this request of this requestor started."""
    table = schema.jobs
    query = select(table.c.id).where(
        table.c.org == org, table.c.requestor == requestor, table.c.request_id == request
    )
    found: str | None = connection.scalar(query)
    return found


def job_nodes(connection: Connection, job_id: str) -> list[JobNodeRecord]:
    """The nodes of a job, in the order of the request."""
    table = schema.job_nodes
    columns = [column for column in table.c if column.name not in {"job_id", "position"}]
    query = select(*columns).where(table.c.job_id == job_id).order_by(table.c.position)
    return _records(connection, query, JobNodeRecord)


def job_node(connection: Connection, job_id: str, node: str) -> JobNodeRecord | None:
    """One node of a job."""
    table = schema.job_nodes
    columns = [column for column in table.c if column.name not in {"job_id", "position"}]
    query = select(*columns).where(table.c.job_id == job_id, table.c.node == node)
    row = connection.execute(query).first()
    return None if row is None else _record(row, JobNodeRecord)


def live_jobs(connection: Connection) -> list[tuple[JobRecord, list[JobNodeRecord]]]:
    """All jobs that are not over, of all organizations, with their nodes."""
    table = schema.jobs
    query = select(table).where(table.c.status.in_(LIVE)).order_by(table.c.created_at)
    live = _records(connection, query, JobRecord)
    return [(job, job_nodes(connection, job.id)) for job in live]


def blob(connection: Connection, job_id: str, node: str, channel: str) -> tuple[str, Any] | None:
    """Digest and inline data (or None) of a node's output on this channel."""
    table, blobs = schema.job_nodes, schema.blobs
    digest = table.c.stdout_digest if channel == "stdout" else table.c.stderr_digest
    row = connection.execute(
        select(blobs.c.digest, blobs.c.data)
        .join(table, digest == blobs.c.digest)
        .where(table.c.job_id == job_id, table.c.node == node)
    ).first()
    return None if row is None else (row.digest, row.data)


def nodes(connection: Connection, org: str | None) -> list[NodeRecord]:
    """All nodes of an organization, or of all."""
    table = schema.nodes
    columns = [table.c[field.name] for field in msgspec.structs.fields(NodeRecord)]
    query = select(*columns).order_by(table.c.org, table.c.name)
    if org is not None:
        query = query.where(table.c.org == org)
    return _records(connection, query, NodeRecord)


def feed_events(connection: Connection) -> list[tuple[str, int, int, bytes]]:
    """All stored events: feed, number, microseconds, data; each feed's in order."""
    table = schema.feed_events
    query = select(table.c.feed, table.c.number, table.c.microseconds, table.c.data)
    rows = connection.execute(query.order_by(table.c.feed, table.c.number))
    return [(row.feed, row.number, row.microseconds, bytes(row.data)) for row in rows]


def audit(connection: Connection, org: str) -> list[AuditRecord]:
    """The audit trail of an organization, oldest first."""
    table = schema.audit
    columns = [table.c[field.name] for field in msgspec.structs.fields(AuditRecord)]
    query = select(*columns).where(table.c.org == org).order_by(table.c.at, table.c.id)
    return _records(connection, query, AuditRecord)


def _records(connection: Connection, query: Select[Any], kind: type[Any]) -> list[Any]:
    return [_record(row, kind) for row in connection.execute(query)]


def _record(row: Row[Any], kind: type[Any]) -> Any:
    return kind(**row._mapping)
