"""Jobs a page at a time, the newest first, of those that somebody looks for."""

import fnmatch
import logging
import re
from collections.abc import Iterator, Sequence
from itertools import islice

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, func, not_, or_, select, true

from pushcli_server.core.states import JobStatus, NodeState
from pushcli_server.store import schema
from pushcli_server.store.errors import Unreadable
from pushcli_server.store.reads import record_of
from pushcli_server.store.records import JobRecord

_log = logging.getLogger(__name__)
_TOGETHER = 25
"""Jobs that are read at once."""
_NODES = 100_000
_TEXT = 1_000_000
"""Nodes, and characters of commands and environments, after which a page ends early."""
_KEYS_AT_ONCE = 500
FAILED, SUCCEEDED = "failed", "succeeded"
OUTCOMES = frozenset({FAILED, SUCCEEDED})
"""Of jobs that are complete: whether any node succeeded, and none that took part did not."""
Place = tuple[float, str]
"""When a job was created, and its id."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs of an organization; what is None, or empty, makes no difference.

    Args:
        limit: as many at most.
        statuses: of the job, or `OUTCOMES`.
        batch: what it has in common with the jobs of other batches.
        after: the job before the first.
        owner: kind and name of who must have started them, for one who may read no others.
        requestor: who started them, `requestor_kind` a user or a client.
        command: a glob.
        node: one that they were to run on.
        since: when they were created at the earliest, in seconds since the epoch.
    """

    limit: int
    after: Place | None = None
    owner: tuple[str, str] | None = None
    statuses: tuple[str, ...] = ()
    requestor: str | None = None
    requestor_kind: str | None = None
    command: str | None = None
    node: str | None = None
    since: float | None = None
    id_prefix: str = ""
    batch: str | None = None


class ListedJob(msgspec.Struct, frozen=True):
    """A job, and how many of its nodes are in each state."""

    job: JobRecord
    states: dict[str, int]


class Page(msgspec.Struct, frozen=True):
    """Jobs, the newest first; `last` is the last one's place if there are more."""

    jobs: list[ListedJob]
    last: Place | None


def page(connection: Connection, org: str, wanted: Wanted) -> Page:
    """As many of these jobs as are wanted, or as few as an answer can hold.

    Those that cannot be read are left out.
    """
    places = list(islice(_places(connection, org, wanted), wanted.limit + 1))
    found: list[ListedJob] = []
    nodes = text = 0
    last: Place | None = None
    for start in range(0, min(len(places), wanted.limit), _TOGETHER):
        some = places[start : min(start + _TOGETHER, wanted.limit)]
        for listed in _listed(connection, org, [job_id for _, job_id in some]):
            found.append(listed)
            nodes += sum(listed.states.values())
            text += len(listed.job.command) + len(listed.job.env or "")
        last = some[-1]
        if nodes >= _NODES or text >= _TEXT:
            break
    return Page(found, last if places and last != places[-1] else None)


def _places(connection: Connection, org: str, wanted: Wanted) -> Iterator[Place]:
    jobs = schema.jobs.c
    created: ColumnElement[float] = jobs.created_at
    if wanted.id_prefix:
        # So that ids are looked up, and not all jobs in their order.
        created = created + 0
    query = (
        select(jobs.id, jobs.created_at, *([jobs.command] if wanted.command else []))
        .where(*_conditions(org, wanted))
        .order_by(created.desc(), jobs.id.desc())
    )
    if wanted.command is None:
        query = query.limit(wanted.limit + 1)
    fits = re.compile(fnmatch.translate(wanted.command or "*")).match
    with connection.execute(query, execution_options={"yield_per": _KEYS_AT_ONCE}) as rows:
        for row in rows:
            if wanted.command is None or fits(str(row.command)):
                yield row.created_at, row.id


def _conditions(org: str, wanted: Wanted) -> Iterator[ColumnElement[bool]]:
    jobs, parts = schema.jobs.c, schema.job_nodes.c
    yield jobs.org == org
    if wanted.owner is not None:
        kind, name = wanted.owner
        yield and_(jobs.owner_kind == kind, jobs.owner == name)
    if wanted.after is not None:
        created_at, job_id = wanted.after
        earlier = and_(jobs.created_at == created_at, jobs.id < job_id)
        yield jobs.created_at <= created_at
        yield or_(jobs.created_at < created_at, earlier)
    if wanted.statuses:
        yield or_(*_of_statuses(wanted.statuses))
    if wanted.batch is not None:
        yield jobs.batch == wanted.batch
    if wanted.requestor is not None:
        # One that has a user's name is told apart in what agents and feeds are told.
        yield jobs.requestor.in_((wanted.requestor, f"client {wanted.requestor}"))
    if wanted.requestor_kind is not None:
        yield jobs.owner_kind == wanted.requestor_kind
    if wanted.node is not None:
        yield (
            select(parts.job_id).where(parts.job_id == jobs.id, parts.node == wanted.node).exists()
        )
    if wanted.since is not None:
        yield jobs.created_at >= wanted.since
    if wanted.id_prefix:
        # After all hex digits comes `g`.
        yield and_(jobs.id >= wanted.id_prefix, jobs.id < f"{wanted.id_prefix}g")


def _of_statuses(statuses: Sequence[str]) -> Iterator[ColumnElement[bool]]:
    jobs, parts = schema.jobs.c, schema.job_nodes.c
    plain = [status for status in statuses if status not in OUTCOMES]
    if plain:
        yield jobs.status.in_(plain)
    if outcomes := OUTCOMES.intersection(statuses):
        of_job = select(parts.job_id).where(parts.job_id == jobs.id)
        # With a quorum some node took part, and what did not succeed then has failed.
        nobody = ~of_job.where(parts.state == NodeState.SUCCEEDED).exists()
        is_bad = or_(of_job.where(schema.HAS_FAILED).exists(), and_(jobs.quorum < 1, nobody))
        wanted = {OUTCOMES: true(), frozenset({FAILED}): is_bad}.get(outcomes, not_(is_bad))
        yield and_(jobs.status == JobStatus.COMPLETE, wanted)


def _listed(connection: Connection, org: str, ids: Sequence[str]) -> Iterator[ListedJob]:
    jobs, parts = schema.jobs, schema.job_nodes.c
    counted = (
        select(parts.job_id, parts.state, func.count())
        .where(parts.job_id.in_(ids))
        .group_by(parts.job_id, parts.state)
    )
    states: dict[str, dict[str, int]] = {}
    for job_id, state, count in connection.execute(counted):
        states.setdefault(job_id, {})[state] = count
    query = select(jobs).where(jobs.c.org == org, jobs.c.id.in_(ids))
    rows = {row.id: row for row in connection.execute(query)}
    for job_id in ids:
        try:
            if job_id in rows:
                yield ListedJob(record_of(rows[job_id], JobRecord), states.get(job_id, {}))
        except Unreadable as error:
            _log.error("a row of the database is left out: %s", error)
