"""Jobs within the fleet: begun, told what happens, ended, forgotten."""

import math
import re
from typing import assert_never

from pushcli.protocol import extensions, messages, run_wire
from pushcli.protocol.timestamps import format_minute
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core import job as job_core
from pushcli_server.core import job_events as on_job
from pushcli_server.core import results
from pushcli_server.core.fleet_events import Effect
from pushcli_server.core.fleet_state import Fleet, send
from pushcli_server.core.gathering import Budget, channel_limit
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.core.job_state import Job
from pushcli_server.core.states import AT_WORK, ENDED_FROM_HERE, UNFINISHED

ENDED_KEPT = 5.0
"""Seconds for which an ended job swallows late messages and its feed can be had."""


def start(fleet: Fleet, event: on_fleet.JobRequested, now: float) -> list[Effect]:
    """A new job: who cannot take part is out at once, the others are asked."""
    job = Job(
        key=event.job,
        spec=event.spec,
        requestor=event.requestor,
        by=event.by,
        signature=event.signature,
        origin=event.origin,
        request_id=event.request_id,
        created_at=now + fleet.offset,
        updated_at=now + fleet.offset,
        grace=fleet.rules.grace,
    )
    enter(fleet, job)
    paused: dict[str, str] = {}
    unavailable: dict[str, str] = {}
    for name in event.spec.nodes:
        key = NodeKey(job.org, name)
        if (pause := fleet.pause(key, now)) is not None:
            paused[name] = pause.why
        elif (reason := fleet.why_absent(key, now)) is not None:
            unavailable[name] = reason
        elif (reason := run_wire.beyond(event.spec.run, fleet.extensions(key))) is not None:
            paused[name] = reason
    return deliver(fleet, job, on_job.Started(unavailable, paused), now)


def enter(fleet: Fleet, job: Job) -> None:
    """The job is live, and those of its nodes busy whose part is not over."""
    fleet.jobs[job.key] = job
    channel = channel_limit(is_whole=job.run.capture)
    job.budget = Budget.of(fleet.rules.max_job_output, len(job.nodes), channel)
    for name, size in job.kept.items():
        job.budget.draw(name, size, ended=True)
    for name in job.nodes:
        if job.has_unfinished(name):
            fleet.busy.setdefault(NodeKey(job.org, name), set()).add(job.key)
        else:
            job.budget.close(name)


def withdraw(fleet: Fleet, key: JobKey) -> list[Effect]:
    """Forget a job that no node was asked for yet: that waits until the job is stored."""
    job = fleet.jobs.pop(key, None) or fleet.ended.pop(key, None)
    if job is None:
        return []
    for name in job.nodes:
        _free(fleet, NodeKey(job.org, name), key)
    return [on_fleet.CloseFeed(key)]


def resume(fleet: Fleet, job: Job, now: float) -> list[Effect]:
    """A job that the run of the server before this one left."""
    enter(fleet, job)
    effects = deliver(fleet, job, on_job.Resumed(_unspooled(fleet, job)), now)
    for name in sorted(job.disowned):
        # Deleted just before a crash: nobody told the job.
        is_gone = NodeKey(job.org, name) not in fleet.nodes and job.has_unfinished(name)
        if is_gone and not job.status.is_final:
            effects += deliver(fleet, job, on_job.NodeDeleted(name), now)
    return effects


def disown(fleet: Fleet, node: NodeKey) -> None:
    """Whoever gets the node's name next has no part in the jobs that it was in."""
    for jobs in (fleet.jobs, fleet.ended):
        for key, job in jobs.items():
            if key.org == node.org and node.name in job.nodes:
                job.disowned.add(node.name)


def stalled(fleet: Fleet, job: Job, now: float) -> list[Effect]:
    """We stood still: what agents make of that is what they make of a restart."""
    return deliver(fleet, job, on_job.Stalled(_unspooled(fleet, job)), now)


def _unspooled(fleet: Fleet, job: Job) -> frozenset[str]:
    """Those of a job's nodes whose agents keep no results until we acknowledge them."""
    nodes = [fleet.nodes.get(NodeKey(job.org, name)) for name in job.nodes]
    return frozenset(node.name for node in nodes if node is not None and not node.spools)


def abort(fleet: Fleet, event: on_fleet.AbortRequested, now: float) -> list[Effect]:
    """An operator ends a job; one that is over stays what it was."""
    job = fleet.jobs.get(event.job)
    if job is None:
        return []
    audit = on_fleet.RecordAudit(
        org=job.org,
        actor_kind="user" if event.by is None else event.by.kind,
        actor=event.requestor if event.by is None else event.by.name,
        action="job abort",
        target=job.id,
        origin=event.origin,
    )
    return [*deliver(fleet, job, on_job.AbortRequested(event.requestor), now), audit]


def deliver(fleet: Fleet, job: Job, event: on_job.Event, now: float) -> list[Effect]:
    """One event for one live job."""
    effects: list[Effect] = []
    for effect in job_core.handle(job, event, now):
        _translate(fleet, job, effect, now, effects)
    return effects


def _translate(
    fleet: Fleet, job: Job, effect: on_job.Effect, now: float, effects: list[Effect]
) -> None:
    """Add what a job's effect is for the fleet."""
    match effect:
        case on_job.SaveNodes(changes):
            effects.append(on_fleet.SaveJobNodes(job.key, changes))
            effects += _note_finished(fleet, job, changes, now)
        case on_job.Publish(event, node, status):
            effects.append(on_fleet.Publish(job, event, node, status))
        case on_job.SendCommit(nodes):
            effects += [on_fleet.OnceDurable(on_fleet.CommitDue(job.key, n)) for n in nodes]
        case on_job.SendRun(nodes):
            effects += [on_fleet.OnceDurable(on_fleet.RunDue(job.key, n)) for n in nodes]
        case on_job.Reset(nodes):
            keys = [NodeKey(job.org, name) for name in nodes]
            effects += [on_fleet.OnceDurable(on_fleet.ResetDue(key)) for key in keys]
        case on_job.SaveJob():
            job.updated_at = now + fleet.offset
            effects.append(on_fleet.SaveJob(job))
        case on_job.SaveNew():
            effects.append(on_fleet.SaveNewJob(job))
        case on_job.WakeAt(time):
            if time < math.inf:
                effects.append(on_fleet.WakeAt(job.key, time))
        case on_job.Ended():
            fleet.ended[job.key] = fleet.jobs.pop(job.key)
            job.forget_at = now + ENDED_KEPT
            effects.append(on_fleet.WakeAt(job.key, job.forget_at))
        case _:
            assert_never(effect)


def _note_finished(
    fleet: Fleet, job: Job, changes: list[on_job.NodeChange], now: float
) -> list[Effect]:
    """Nodes whose part is over; of one without a result is kept what came of its output."""
    effects: list[Effect] = []
    for change in changes:
        if change.state in UNFINISHED:
            continue
        key = NodeKey(job.org, change.node)
        if change.state in ENDED_FROM_HERE and job.was_run and change.node not in job.reported:
            fleet.endings.begin(key, job.key, now)
        effects += results.keep_what_came(job, change.node)
        job.budget.close(change.node)
        _free(fleet, key, job.key)
    return effects


def _free(fleet: Fleet, node: NodeKey, job: JobKey) -> None:
    if jobs := fleet.busy.get(node):
        jobs.discard(job)
        if not jobs:
            del fleet.busy[node]


def time_passed(fleet: Fleet, key: JobKey, now: float) -> list[Effect]:
    """A job's alarm: a deadline, or after its end the moment to forget it."""
    if (job := fleet.jobs.get(key)) is not None:
        return deliver(fleet, job, on_job.TimePassed(), now)
    job = fleet.ended.get(key)
    # Deadlines of the job may come after its end, and before it is to be forgotten.
    if job is None or now < job.forget_at:
        return []
    del fleet.ended[key]
    return [on_fleet.CloseFeed(key)]


def commit(fleet: Fleet, event: on_fleet.CommitDue) -> list[Effect]:
    """Ask a node for its vote, in terms that its agent understands."""
    job, key = fleet.jobs.get(event.job), NodeKey(event.job.org, event.node)
    if job is None or not job.has_unfinished(event.node):
        return []
    offered = fleet.extensions(key)
    fields = run_wire.commit_fields(job.spec.run, offered)
    if extensions.REQUESTOR in offered:
        fields["requestor"] = job.requestor
    server = fleet.rules.server_name
    return send(fleet, key, messages.Commit, job_id=job.id, server=server, **fields)


def run(fleet: Fleet, event: on_fleet.RunDue) -> list[Effect]:
    """Have a node run."""
    # It may have been aborted or lost while the commit to the store was under way.
    job = fleet.jobs.get(event.job)
    if job is None or not job.has_unfinished(event.node):
        return []
    return send(fleet, NodeKey(job.org, event.node), messages.Run, job_id=job.id)


_BUSY = re.compile(r"busy with job ([0-9a-f]{32})")


def why_nacked(fleet: Fleet, node: NodeKey, message: messages.NackCommit) -> str | None:
    """What a node says, and whose job keeps it busy: an old agent does not even say that."""
    if message.reason is None:
        others = fleet.busy.get(node, set()) - {JobKey(node.org, message.job_id or "")}
        found = [fleet.jobs[key] for key in others if key in fleet.jobs]
    elif said := _BUSY.fullmatch(message.reason):
        job = fleet.jobs.get(JobKey(node.org, said[1]))
        found = [job] if job is not None and job.has_unfinished(node.name) else []
    else:
        return message.reason
    if not found:
        return message.reason
    job = min(found, key=lambda job: job.created_at)
    return f"busy with job {job.id} of {job.requestor} since {format_minute(job.created_at)}"


def is_at_work(fleet: Fleet, node: NodeKey) -> bool:
    """Whether the node has taken on a live job."""
    found = (fleet.jobs.get(key) for key in fleet.busy.get(node, ()))
    return any(job is not None and job.nodes[node.name] in AT_WORK for job in found)
