"""Questions to the store, as SQL; each takes a connection and returns records."""

import logging
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    exists,
    func,
    literal,
    or_,
    select,
)

from pushcli.protocol import limits
from pushcli_server.store import schema
from pushcli_server.store.contents import opened
from pushcli_server.store.errors import DamagedContent, Unreadable
from pushcli_server.store.records import (
    AuditRecord,
    JobNodeRecord,
    JobRecord,
    LiveJob,
    NodeRecord,
)

_log = logging.getLogger(__name__)
LIVE = ("voting", "running")
JOIN, ANSWER = "server join", "answer"
"""An action of the audit trail, and what its detail has: the digest of what was answered."""
_LAST_MICROSECOND = limits.LAST_MOMENT * 1_000_000
JOBS_AT_ONCE = 500
_TEXT_AT_ONCE = 1_000_000
"""Characters of commands and environments in one answer: a job may have as many alone."""
_ROWS_AT_ONCE = 20


def nothing(connection: Connection) -> None:
    """A question without an answer, for whoever wants to know that there would be one."""
    connection.execute(select(literal(1)))


def job(connection: Connection, org: str, job_id: str) -> JobRecord | None:
    """A job of this organization."""
    jobs = schema.jobs
    row = connection.execute(select(jobs).where(jobs.c.id == job_id, jobs.c.org == org)).first()
    return None if row is None else record_of(row, JobRecord)


def is_own_job(connection: Connection, org: str, job_id: str, kind: str, name: str) -> bool:
    """Whether this user or client, who belongs to the organization, started the job."""
    jobs = schema.jobs
    query = select(jobs.c.id).where(
        jobs.c.id == job_id, jobs.c.org == org, jobs.c.owner_kind == kind, jobs.c.owner == name
    )
    return connection.execute(query).first() is not None


def jobs(
    connection: Connection,
    org: str,
    after: tuple[float, str] | None = None,
    *,
    owner: tuple[str, str] | None = None,
) -> tuple[list[JobRecord], bool]:
    """Jobs of this organization, oldest first, and whether there are more.

    Those that cannot be read are left out.

    Args:
        after: when the job before the first was created, and its id.
        owner: kind and name of who must have started them; None: anybody.
    """
    table = schema.jobs
    query = select(table).where(table.c.org == org)
    if owner is not None:
        query = query.where(table.c.owner_kind == owner[0], table.c.owner == owner[1])
    if after is not None:
        created_at, job_id = after
        later = and_(table.c.created_at == created_at, table.c.id > job_id)
        query = query.where(
            table.c.created_at >= created_at, or_(table.c.created_at > created_at, later)
        )
    query = query.order_by(table.c.created_at, table.c.id).limit(JOBS_AT_ONCE)
    found: list[JobRecord] = []
    size = 0
    with connection.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE}) as rows:
        for count, row in enumerate(rows, 1):
            try:
                record: JobRecord = record_of(row, JobRecord)
            except Unreadable as error:
                _log.error("a row of the database is left out: %s", error)
                continue
            found.append(record)
            size += len(record.command) + len(record.env or "")
            if size >= _TEXT_AT_ONCE or count == JOBS_AT_ONCE:
                return found, True
    return found, False


def job_by_request(connection: Connection, org: str, requestor: str, request: str) -> str | None:
    """The id of the job that this request of this requestor started."""
    table = schema.jobs
    query = select(table.c.id).where(
        table.c.org == org, table.c.requestor == requestor, table.c.request_id == request
    )
    found: str | None = connection.scalar(query)
    return found


def job_nodes(
    connection: Connection,
    org: str,
    job_id: str,
    after: str = "",
    limit: int | None = None,
    *,
    states: Collection[str] = (),
    or_names: Collection[str] = (),
) -> list[JobNodeRecord]:
    """The nodes of a job of this organization, in the order of the request.

    Args:
        after: the one before the first; "": there is none.
        limit: as many at most.
        states: only nodes in one of these, and those with one of `or_names`; nothing: all.
    """
    table, query = schema.job_nodes, _nodes_of(org, job_id)
    if states or or_names:
        query = query.where(or_(table.c.state.in_(states), table.c.node.in_(or_names)))
    if after:
        of = and_(table.c.job_id == job_id, table.c.node == after)
        query = query.where(table.c.position > select(table.c.position).where(of).scalar_subquery())
    return _records(connection, query if limit is None else query.limit(limit), JobNodeRecord)


def _nodes_of(org: str, job_id: str) -> Select[Any]:
    table = schema.job_nodes
    return select(*_part()).where(_parts_of(org, job_id)).order_by(table.c.position)


def job_node(connection: Connection, org: str, job_id: str, node: str) -> JobNodeRecord | None:
    """One node of a job of this organization."""
    query = select(*_part()).where(_parts_of(org, job_id), schema.job_nodes.c.node == node)
    row = connection.execute(query).first()
    return None if row is None else record_of(row, JobNodeRecord)


def count_of_nodes(connection: Connection, org: str, job_id: str) -> int:
    """How many nodes a job of this organization has."""
    counted = select(func.count()).select_from(schema.job_nodes).where(_parts_of(org, job_id))
    return connection.scalar(counted) or 0


def heirs(connection: Connection, org: str, job_id: str) -> set[str]:
    """Those of a job's nodes whose clients are gone, or younger than the job: whoever has such
    a name now has no part in it.
    """
    jobs, parts, clients = schema.jobs, schema.job_nodes, schema.clients
    is_its_own = (
        select(clients.c.name)
        .where(
            clients.c.org == org,
            clients.c.name == parts.c.node,
            clients.c.older_jobs_until < jobs.c.created_at,
        )
        .exists()
    )
    query = (
        select(parts.c.node)
        .join(jobs, jobs.c.id == parts.c.job_id)
        .where(jobs.c.org == org, jobs.c.id == job_id, ~is_its_own)
    )
    return set(connection.scalars(query))


def is_heir(connection: Connection, org: str, job_id: str, node: str) -> bool:
    """Whether this node is one of those."""
    jobs, clients = schema.jobs, schema.clients
    query = (
        select(clients.c.name)
        .join(jobs, jobs.c.org == clients.c.org)
        .where(
            jobs.c.id == job_id,
            clients.c.org == org,
            clients.c.name == node,
            clients.c.older_jobs_until < jobs.c.created_at,
        )
    )
    return connection.execute(query).first() is None


def _part() -> list[Column[Any]]:
    return [one for one in schema.job_nodes.c if one.name not in {"job_id", "position"}]


def _parts_of(org: str, job_id: str) -> ColumnElement[bool]:
    """Of a job of this organization; of another one's there are none."""
    jobs, parts = schema.jobs, schema.job_nodes
    there = select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.org == org).exists()
    return and_(parts.c.job_id == job_id, there)


def live_jobs(connection: Connection) -> list[tuple[str, str]]:
    """Organization and id of all jobs that are not over, oldest first."""
    table = schema.jobs
    query = select(table.c.org, table.c.id).where(table.c.status.in_(LIVE))
    return [
        tuple(row) for row in connection.execute(query.order_by(table.c.created_at, table.c.id))
    ]


def live_job(connection: Connection, root: Path, org: str, job_id: str) -> LiveJob | None:
    """A job that is not over, with all that it needs to go on.

    Raises:
        Unreadable: what is stored of it makes no job, or its secrets are needed.
        DamagedContent: its file, or its standard input, is not there any more.
    """
    found = job(connection, org, job_id)
    if found is None:
        return None
    if found.secret_names is not None and found.status == "voting":
        raise Unreadable("its secret variables were in memory alone")
    try:
        file = job_file(connection, root, org, job_id)
        stdin = job_stdin(connection, root, org, job_id)
    except DamagedContent:
        if found.status == "voting":
            raise
        # Those that run it have it.
        file = stdin = None
    nodes = [record_of(row, JobNodeRecord) for row in connection.execute(_nodes_of(org, job_id))]
    disowned = frozenset(heirs(connection, org, job_id))
    return LiveJob(job=found, nodes=nodes, file=file, stdin=stdin, disowned=disowned)


def job_file(connection: Connection, root: Path, org: str, job_id: str) -> str | None:
    """The file of a job of this organization, as the client sent it; None: it has none."""
    return _brought(connection, root, org, job_id, schema.jobs.c.file_digest)


def job_stdin(connection: Connection, root: Path, org: str, job_id: str) -> str | None:
    """What the command of such a job reads, as the client sent it; None: nothing."""
    return _brought(connection, root, org, job_id, schema.jobs.c.stdin_digest)


def _brought(
    connection: Connection, root: Path, org: str, job_id: str, digest: Column[Any]
) -> str | None:
    table = schema.jobs
    found = _blob(connection, root, digest, table.c.org == org, table.c.id == job_id)
    try:
        return None if found is None else found.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(f"what job {job_id} brings is not text") from error


def _blob(
    connection: Connection, root: Path, digest: Column[Any], *conditions: ColumnElement[bool]
) -> bytes | None:
    """What the digest in this column of the row under these conditions stands for."""
    blobs = schema.blobs
    row = connection.execute(
        select(blobs.c.digest, blobs.c.size, blobs.c.data)
        .join(digest.table, digest == blobs.c.digest)
        .where(*conditions)
    ).first()
    if row is None:
        return None
    content = opened(connection, root, row.digest, row.size, row.data)
    try:
        return content.whole()
    finally:
        content.close()


def nodes(connection: Connection, org: str | None = None) -> list[NodeRecord]:
    """All nodes of an organization, or of all; those that cannot be read are left out."""
    table = schema.nodes
    columns = [table.c[field.name] for field in msgspec.structs.fields(NodeRecord)]
    query = select(*columns).order_by(table.c.org, table.c.name)
    if org is not None:
        query = query.where(table.c.org == org)
    return _records(connection, query, NodeRecord)


def feed_events(connection: Connection) -> list[tuple[str, int, int, bytes]]:
    """All stored events: feed, number, microseconds, data; each feed's in order.

    One that cannot be read is a gap: its number is then 0.
    """
    table = schema.feed_events
    query = select(table.c.feed, table.c.number, table.c.microseconds, table.c.data)
    rows = connection.execute(query.order_by(table.c.feed, table.c.number))
    events = []
    for row in rows:
        try:
            events.append(_event(row))
        except (TypeError, ValueError) as error:
            _log.error("an event of the feed %s cannot be read: %s", row.feed, error)
            events.append((str(row.feed), 0, 0, b""))
    return events


def _event(row: Any) -> tuple[str, int, int, bytes]:
    number, microseconds = int(row.number), int(row.microseconds)
    if not 0 <= microseconds <= _LAST_MICROSECOND:
        raise ValueError(f"its time is {microseconds}")
    return str(row.feed), number, microseconds, bytes(row.data)


def audit(
    connection: Connection,
    org: str,
    *,
    since: float | None = None,
    actor: str | None = None,
    kind: str | None = None,
    target: str | None = None,
    limit: int | None = None,
) -> list[AuditRecord]:
    """The newest lines of an organization's audit trail, oldest first.

    Args:
        target: one of those that a line names, which may be several with commas, or, if they
            are many, stand in its detail as `nodes`; or a node of the job that was started.
    """
    table = schema.audit
    columns = [table.c[field.name] for field in msgspec.structs.fields(AuditRecord)]
    query = select(*columns).where(table.c.org == org)
    if since is not None:
        query = query.where(table.c.at >= since)
    if actor is not None:
        query = query.where(table.c.actor == actor)
    if kind is not None:
        query = query.where(table.c.actor_kind == kind)
    if target is not None:
        among = (literal(",") + table.c.target + ",").contains(f",{target},", autoescape=True)
        # `nodes` comes last in a detail: after it there are only their names.
        many = table.c.detail.like(f'%"nodes":[%"{_escaped(target)}"%', escape="/")
        job_node = schema.job_nodes.c
        ran_there = exists().where(job_node.job_id == table.c.target, job_node.node == target)
        query = query.where(
            or_(
                among,
                and_(table.c.target.like("% nodes"), many),
                and_(table.c.action == "job start", ran_there),
            )
        )
    newest = query.order_by(table.c.at.desc(), table.c.id.desc()).limit(limit)
    found: list[AuditRecord] = _records(connection, newest, AuditRecord)
    return found[::-1]


def _escaped(text: str) -> str:
    """For LIKE with `/`."""
    return re.sub("([/%_])", r"/\1", text)


def _records(connection: Connection, query: Select[Any], kind: type[Any]) -> list[Any]:
    """What can be read of the rows; the rest is in the log."""
    records = []
    for row in connection.execute(query):
        try:
            records.append(record_of(row, kind))
        except Unreadable as error:
            _log.error("a row of the database is left out: %s", error)
    return records


def record_of(row: Row[Any], kind: type[Any]) -> Any:
    """A row as a record of this kind.

    Raises:
        Unreadable: it is none.
    """
    try:
        return msgspec.convert(row, kind, from_attributes=True)
    except msgspec.ValidationError as error:
        # SQLite keeps anything in any column.
        raise Unreadable(f"{kind.__name__} {row[0]!r}: {error}") from error


def was_joined(connection: Connection, digest: str) -> bool:
    """Whether the audit trail has this answer (SHA-256, hex) to a server that joins."""
    table = schema.audit
    detail = msgspec.json.encode({ANSWER: digest}).decode()
    there = select(table.c.id).where(
        table.c.org == "", table.c.action == JOIN, table.c.detail == detail
    )
    return bool(connection.scalar(select(there.exists())))
