"""Between the fleet and the store: effects as operations, and records as what it begins with."""

import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import assert_never

import msgspec

from pushcli.protocol import extensions, messages, run_wire
from pushcli.protocol.run import Outcome, OutputChannel, RunSpec
from pushcli_server import brake_records
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.gathering import Gathering
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.core.job_events import NodeChange
from pushcli_server.core.job_state import Grace, Job, JobSpec
from pushcli_server.core.node import Node
from pushcli_server.core.output import CHANNELS
from pushcli_server.core.replays import Signature
from pushcli_server.core.states import UNFINISHED, JobStatus, NodeState
from pushcli_server.feed_log import Event
from pushcli_server.store import (
    Store,
    StoreUnavailable,
    identity_reads,
    operations,
    reads,
    tails,
)
from pushcli_server.store.errors import DamagedContent
from pushcli_server.store.records import AuditRecord, JobNodeRecord, JobRecord, LiveJob, NodeRecord

_log = logging.getLogger(__name__)
_SHOWN_COMMAND, _SHOWN_NODES = 200, 100
"""Characters of a job's command, and nodes, that the audit trail has by itself."""
_APART = ("file", "stdin", "secret_env")
"""Fields of a RunSpec that are kept by their digests, beside the record, or not at all."""
Incoming = Callable[[str], Path]
"""Where the store gathers output under a name."""


class StoredJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the store has it, with what views need."""

    id: str
    run: RunSpec
    status: str
    created_at: float
    updated_at: float
    has_file: bool
    batch: str | None = None
    has_stdin: bool = False
    secret_names: tuple[str, ...] = ()


# --- saving


def operations_of(
    effect: on_fleet.Save, now: float, incoming: Incoming, *, offset: float = 0.0
) -> tuple[operations.Operation, ...]:
    """What the store is to do, all of it or nothing.

    Args:
        now: the date, seconds since the epoch.
        offset: what makes dates of the fleet's deadlines, in seconds.
    """
    match effect:
        case on_fleet.SaveJobNodes(job, changes):
            return (operations.UpdateJobNodes(job.id, [_node_change(c) for c in changes]),)
        case on_fleet.SaveJob(job):
            return (_update(job, offset),)
        case on_fleet.SaveNewJob(job):
            nodes = [(node, str(state)) for node, state in job.nodes.items()]
            kind, name = ("user", job.requestor) if job.by is None else (job.by.kind, job.by.name)
            started = _audit(
                now, job.org, kind, name,
                action="job start", target=job.id, origin=job.origin, detail=_asked(job),
            )  # fmt: skip
            inserted = operations.InsertJob(
                _job_record(job, offset), nodes, job.run.file, job.run.stdin
            )
            return inserted, started, *_remembered(job.signature, now, job.id)
        case on_fleet.SaveNode(node, signature):
            saved = operations.SaveNode(_node_record(node, now, offset))
            return saved, *_remembered(signature, now)
        case on_fleet.AppendOutput(job, node, channel, at, data, cut, tail):
            path = gathered_in(incoming, job, node, channel)
            if tail:
                path, at = tails.tail_of(path), tails.HEAD + at
            return (operations.AppendOutput(path, at, data, cut),)
        case on_fleet.BeginTail(job, node, channel, kept):
            path = tails.tail_of(gathered_in(incoming, job, node, channel))
            return (operations.AppendOutput(path, 0, tails.head(kept), cut=True),)
        case on_fleet.JoinTail(job, node, channel, kept, mark):
            path = gathered_in(incoming, job, node, channel)
            return (operations.JoinTail(path, kept, mark, tails.tail_of(path)),)
        case on_fleet.StoreOutput():
            return (_output(effect, incoming),)
        case on_fleet.SaveLateResult(job, node, succeeded, outcome):
            text = json.dumps({"succeeded": succeeded, **run_wire.result_fields(outcome)})
            return (operations.LateResult(job.id, node, text, outcome.is_cut_short),)
        case on_fleet.SavePauses(org, nodes, pause):
            return (operations.SetPauses(org, nodes, brake_records.pause_record(pause, offset)),)
        case on_fleet.RecordAudit():
            return (
                _audit(
                    now,
                    effect.org,
                    effect.actor_kind,
                    effect.actor,
                    action=effect.action,
                    target=effect.target,
                    origin=effect.origin,
                ),
            )
        case _:
            assert_never(effect)


def _asked(job: Job) -> str:
    """What was to run and where, for the audit trail; as much of it as reads well."""
    command, nodes = job.run.command, list(job.nodes)
    detail: dict[str, object] = {"command": command[:_SHOWN_COMMAND], "count": len(nodes)}
    if len(nodes) <= _SHOWN_NODES:
        detail["nodes"] = nodes
    return json.dumps(detail)


def _audit(
    now: float,
    org: str,
    kind: str,
    actor: str,
    *,
    action: str,
    target: str,
    origin: str,
    detail: str | None = None,
) -> operations.Audit:
    return operations.Audit(
        AuditRecord(
            at=now,
            org=org,
            actor_kind=kind,
            actor=actor,
            action=action,
            target=target,
            origin=origin,
            detail=detail,
        )
    )


def _remembered(
    signature: Signature | None, now: float, job_id: str | None = None
) -> tuple[operations.RememberSignature, ...]:
    """Together with what was asked for, or a captured request could ask for it again."""
    return () if signature is None else (operations.RememberSignature(signature, now, job_id),)


def _job_record(job: Job, offset: float) -> JobRecord:
    run = msgspec.structs.asdict(job.spec.run)
    for name in _APART:
        del run[name]
    if run["env"] is not None:
        run["env"] = json.dumps(run["env"])
    return JobRecord(
        **run,
        id=job.id,
        org=job.org,
        status=str(job.status),
        quorum=job.spec.quorum,
        batch=job.batch,
        secret_names=json.dumps(job.secret_names) if job.secret_names else None,
        requestor=job.requestor,
        owner_kind=None if job.by is None else job.by.kind,
        owner=None if job.by is None else job.by.name,
        origin=job.origin or None,
        request_id=job.request_id,
        created_at=job.created_at,
        updated_at=job.updated_at,
        voting_deadline=_finite(job.voting_deadline + offset),
        run_deadline=_finite(job.run_deadline + offset),
    )


def _update(job: Job, offset: float) -> operations.UpdateJob:
    return operations.UpdateJob(
        job_id=job.id,
        status=str(job.status),
        updated_at=job.updated_at,
        voting_deadline=_finite(job.voting_deadline + offset),
        run_deadline=_finite(job.run_deadline + offset),
    )


def _node_record(node: Node, now: float, offset: float) -> NodeRecord:
    return NodeRecord(
        org=node.org,
        name=node.name,
        incarnation=node.incarnation,
        curve_key=node.curve_key,
        previous_curve_key=node.previous_curve_key,
        client_key=node.client_key,
        previous_client_key=node.previous_client_key,
        configured_at=node.configured_at + offset,
        extensions=extensions.render(node.extensions),
        agent=node.agent,
        created_at=now,
    )


def _node_change(change: NodeChange) -> operations.NodeChange:
    outcome = change.outcome or Outcome()
    return operations.NodeChange(
        node=change.node,
        state=str(change.state),
        reason=change.reason,
        exit_code=outcome.exit_code,
        signal=outcome.signal,
        started_at=outcome.started_at,
        ended_at=outcome.ended_at,
        partial=None if change.outcome is None else outcome.is_cut_short,
        reboots=change.reboots or None,
    )


def _output(effect: on_fleet.StoreOutput, incoming: Incoming) -> operations.StoreOutput:
    def content(channel: OutputChannel, sent: on_fleet.Content) -> bytes | Path | None:
        if isinstance(sent, on_fleet.Gathered):
            return gathered_in(incoming, effect.job, effect.node, channel)
        return sent

    def size(sent: on_fleet.Content) -> int:
        return sent.size if isinstance(sent, on_fleet.Gathered) else 0

    return operations.StoreOutput(
        job_id=effect.job.id,
        node=effect.node,
        stdout=content("stdout", effect.stdout),
        stderr=content("stderr", effect.stderr),
        stdout_size=size(effect.stdout),
        stderr_size=size(effect.stderr),
        stdout_dropped=effect.stdout_dropped,
        stderr_dropped=effect.stderr_dropped,
        stdout_cut_at=effect.stdout_cut_at,
        stderr_cut_at=effect.stderr_cut_at,
    )


def gathered_in(incoming: Incoming, job: JobKey, node: str, channel: str) -> Path:
    """The file that chunks of a channel are gathered in."""
    name = hashlib.sha256(node.encode()).hexdigest()[:32]
    return incoming(f"{job.id}.{name}.{channel}")


# --- reading


def stored(record: JobRecord, file: str | None = None, stdin: str | None = None) -> StoredJob:
    """A job as views show it, with its file and standard input if they are to be shown.

    What this program does not know is shown as it is.
    """
    try:
        run = _run_spec(record, file, stdin)
    except ValueError:
        run = _run_spec(msgspec.structs.replace(record, env=None), file, stdin)
    return StoredJob(
        id=record.id,
        run=run,
        status=record.status,
        created_at=record.created_at,
        updated_at=record.updated_at,
        has_file=record.file_digest is not None,
        batch=record.batch,
        has_stdin=record.stdin_digest is not None,
        secret_names=_secret_names(record),
    )


def _secret_names(record: JobRecord) -> tuple[str, ...]:
    return () if record.secret_names is None else tuple(json.loads(record.secret_names))


async def load(store: Store, grace: Grace, now: float) -> list[on_fleet.Restored]:
    """What the run of the server before this one saved: the nodes, then job by job.

    What cannot be read is logged and left out; such a job is ended in the store.
    """
    nodes = await store.ask(reads.nodes)
    clients = await store.ask(identity_reads.session_salts)
    held = partial(_held, store.incoming)
    found = [restored(nodes=nodes, clients=clients, jobs=(), grace=grace, held=held)]
    for org, job_id in await store.ask(reads.live_jobs):
        try:
            live = await store.ask(reads.live_job, store.root, org, job_id)
            jobs = [] if live is None else [live]
            found.append(restored(nodes=(), clients={}, jobs=jobs, grace=grace, held=held))
        except Exception as error:
            if isinstance(error, StoreUnavailable) and not isinstance(error, DamagedContent):
                raise
            _log.error(
                "a live job cannot be read and is ended as aborted: %s",
                error,
                extra={"job": job_id},
            )
            store.submit(ended(job_id, now))
    return found


def ended(job_id: str, now: float) -> operations.UpdateJob:
    """A job that nobody can go on with."""
    return operations.UpdateJob(
        job_id=job_id,
        status=str(JobStatus.ABORTED),
        updated_at=now,
        voting_deadline=None,
        run_deadline=None,
    )


def restored(
    *,
    nodes: Iterable[NodeRecord],
    clients: Mapping[tuple[str, str], str],
    jobs: Iterable[LiveJob],
    grace: Grace,
    held: Callable[[JobKey, str, str], int],
) -> on_fleet.Restored:
    """What the fleet begins with, from what was saved and nothing else.

    Args:
        clients: the salts of all that there are, by organization and name.
        jobs: the live ones.
        held: bytes that were gathered of a node's output on a channel.
    """
    return on_fleet.Restored(
        # Whose client was deleted just before a crash may have a row left.
        nodes=tuple(
            _known(node, clients[node.org, node.name])
            for node in nodes
            if (node.org, node.name) in clients
        ),
        jobs=tuple(_live(live, grace, held) for live in jobs),
    )


async def load_feeds(store: Store) -> dict[str, list[Event]]:
    """The feeds that it left, by their names."""
    feeds: dict[str, list[Event]] = {}
    broken: set[str] = set()
    for feed, number, microseconds, data in await store.ask(reads.feed_events):
        events = feeds.setdefault(feed, [])
        if number < 1 or (events and events[-1].number + 1 != number):
            broken.add(feed)
        events.append(Event(number, microseconds, data))
    for feed in broken:
        # Its next event would get the number of one that cannot be read.
        _log.error("the feed %s has a gap and starts over", feed)
        store.submit(operations.DropEvents(feed, None))
        del feeds[feed]
    return feeds


async def find_part(
    store: Store, node: NodeKey, message: messages.Result | messages.Output
) -> on_fleet.PartFound:
    """A node's part in the job that its result or output names."""
    key = JobKey(node.org, message.job_id or "")
    job = await store.ask(reads.job, *key)
    part = None if job is None else await store.ask(reads.job_node, *key, node.name)
    if job is None or part is None or await store.ask(reads.is_heir, *key, node.name):
        return on_fleet.PartFound(node=node, message=message, state=None)
    # Of a job whose output was deleted for its age nothing is to come afterwards.
    is_deleted = job.output_deleted_at is not None
    return on_fleet.PartFound(
        node=node,
        message=message,
        state=_state(part.state),
        capture=job.capture and not is_deleted,
        default_capture=job.default_capture and not is_deleted,
        reported=is_reported(part),
        held=_gatherings(partial(_held, store.incoming), key, node.name),
        nodes=await store.lists.ask(reads.count_of_nodes, *key),
    )


def is_reported(part: JobNodeRecord) -> bool:
    """Whether the node's result is stored; of what an older version stored, states tell."""
    return part.partial is not None


def _state(stored: str) -> NodeState:
    try:
        return NodeState(stored)
    except ValueError:
        # Whatever it was, no result was seen: this one is kept beside it.
        return NodeState.CRASHED


def _held(incoming: Incoming, job: JobKey, node: str, channel: str) -> int:
    try:
        return gathered_in(incoming, job, node, channel).stat().st_size
    except FileNotFoundError:
        return 0


def _known(record: NodeRecord, session_salt: str) -> on_fleet.KnownNode:
    return on_fleet.KnownNode(
        key=NodeKey(record.org, record.name),
        incarnation=record.incarnation,
        extensions=extensions.parse(record.extensions),
        agent=record.agent,
        configured_at=record.configured_at,
        curve_key=record.curve_key,
        previous_curve_key=record.previous_curve_key,
        client_key=record.client_key,
        previous_client_key=record.previous_client_key,
        session_salt=session_salt,
    )


def _live(live: LiveJob, grace: Grace, held: Callable[[JobKey, str, str], int]) -> Job:
    record, nodes = live.job, live.nodes
    job = Job(
        key=JobKey(record.org, record.id),
        spec=JobSpec(
            run=_run_spec(record, live.file, live.stdin),
            nodes=tuple(node.node for node in nodes),
            quorum=record.quorum,
            batch=record.batch,
            secret_names=_secret_names(record),
        ),
        requestor=record.requestor,
        request_id=record.request_id,
        created_at=record.created_at,
        updated_at=record.updated_at,
        grace=grace,
        status=JobStatus(record.status),
        voting_deadline=_or_never(record.voting_deadline),
        run_deadline=_or_never(record.run_deadline),
        nodes={node.node: NodeState(node.state) for node in nodes},
        reported={node.node for node in nodes if is_reported(node)},
        reboots={
            node.node for node in nodes if node.reboots and NodeState(node.state) in UNFINISHED
        },
        disowned=set(live.disowned),
    )
    if job.run.captures:
        for node in nodes:
            if found := _gatherings(held, job.key, node.node):
                job.held[node.node] = found
            gathered = sum(gathering.kept for gathering in found.values())
            job.kept[node.node] = gathered + (node.stdout_size or 0) + (node.stderr_size or 0)
    return job


def _gatherings(
    held: Callable[[JobKey, str, str], int], job: JobKey, node: str
) -> dict[OutputChannel, Gathering]:
    sizes = {channel: held(job, node, channel) for channel in CHANNELS}
    return {channel: Gathering.of(size) for channel, size in sizes.items() if size}


def _run_spec(record: JobRecord, file: str | None, stdin: str | None) -> RunSpec:
    kept = [name for name in RunSpec.__struct_fields__ if name not in _APART]
    run = {name: getattr(record, name) for name in kept}
    if run["env"] is not None:
        run["env"] = json.loads(run["env"])
    return RunSpec(**run, file=file, stdin=stdin)


def _finite(deadline: float) -> float | None:
    return None if math.isinf(deadline) else deadline


def _or_never(deadline: float | None) -> float:
    return math.inf if deadline is None else deadline
