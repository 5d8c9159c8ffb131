"""The vote and the run of one job (Push Jobs protocol, section 7), on one page.

`handle(job, event, now)` changes the job and returns what is to be done, in order. No
clock, no random id, no socket, no database. Late, repeated and unknown messages of nodes
are ordinary events; an impossible call of our own raises.
"""

import math
from typing import assert_never

from pushcli.protocol.run import Outcome
from pushcli_server.core.job_events import (
    AbortRequested,
    Effect,
    Ended,
    Event,
    HeartbeatReceived,
    NodeChange,
    NodeDeleted,
    NodeDown,
    NodeRestarted,
    OutOfRehab,
    Publish,
    Reconnected,
    Reset,
    ResultReceived,
    Resumed,
    RunAnswered,
    SaveJob,
    SaveNew,
    SaveNodes,
    SendCommit,
    SendRun,
    Stalled,
    Started,
    TimePassed,
    UnexpectedReceived,
    VoteReceived,
    WakeAt,
)
from pushcli_server.core.job_state import Job
from pushcli_server.core.states import UNFINISHED, JobStatus, NodeState

IDLE_BEATS = 2
"""So many idle heartbeats in a row end the work of a node that should be at it: one may
have crossed our message."""


def handle(job: Job, event: Event, now: float) -> list[Effect]:
    """Take one event in; what is to be done comes out, in order.

    Raises:
        ValueError: an event for a node that is not in the job, or for a job that is over.
    """
    if job.status.is_final:
        raise ValueError(f"job {job.id} is {job.status} and got {event}")
    match event:
        case Started():
            return _start(job, event, now)
        case Resumed():
            return _resume(job, event, now)
        case Stalled():
            return _stalled(job, event, now)
        case TimePassed():
            return _time_passed(job, now)
        case AbortRequested():
            return _abort(job, event, now)
        case HeartbeatReceived():
            effects = _heartbeat(job, event, now)
        case Reconnected():
            if job.has_unfinished(event.node):
                job.unsure.add(event.node)
            effects = []
        case OutOfRehab():
            is_asked = job.nodes[event.node] is NodeState.NEW
            effects = _ask_again(job, event.node) if is_asked else []
        case VoteReceived() | RunAnswered() if _is_repeated(job, event):
            effects = []
        case (
            VoteReceived()
            | RunAnswered()
            | ResultReceived()
            | NodeDown()
            | NodeRestarted()
            | NodeDeleted()
            | UnexpectedReceived()
        ):
            job.idle_beats.pop(event.node, None)
            voting = job.status is JobStatus.VOTING
            effects = _vote(job, event, now) if voting else _run(job, event, now)
        case _:
            assert_never(event)
    return effects + _conclude(job, now) if effects else effects


_WHY_GONE: dict[type, str] = {
    NodeDown: "went offline",
    NodeRestarted: "its agent restarted",
    NodeDeleted: "its client was deleted",
}
NodeEvent = (
    VoteReceived
    | RunAnswered
    | ResultReceived
    | NodeDown
    | NodeRestarted
    | NodeDeleted
    | UnexpectedReceived
)


# --- the phases' beginnings and ends


def _start(job: Job, event: Started, now: float) -> list[Effect]:
    job.voting_deadline = now + job.grace.voting
    down = [
        NodeChange(node, NodeState.UNAVAILABLE, event.unavailable[node])
        for node in job.nodes
        if node in event.unavailable
    ]
    paused = [
        NodeChange(node, NodeState.NACKED, event.paused[node])
        for node in job.nodes
        if node in event.paused
    ]
    effects: list[Effect] = [SaveNew(), Publish("start")]
    for change in down:
        _set(job, change.node, change.state)
        effects += [Publish("quorum_vote", change.node, "down"), Publish("rehab", change.node)]
    for change in paused:
        _set(job, change.node, change.state)
        effects.append(Publish("quorum_vote", change.node, "failure"))
    if down or paused:
        effects.insert(1, SaveNodes([*down, *paused]))
    asked = [node for node, state in job.nodes.items() if state is NodeState.NEW]
    if asked:
        effects += [SendCommit(asked), WakeAt(job.voting_deadline)]
    return effects + _conclude(job, now)


def _resume(job: Job, event: Resumed, now: float) -> list[Effect]:
    """After a restart of ours nobody is in contact."""
    _be_patient(job, event.unspooled, now)
    if job.status is JobStatus.VOTING:
        # Who voted yes and does not come back is given up, should the job run; the others' silence
        # ends with the vote.
        for node in job.unsure:
            if job.nodes[node] is NodeState.READY:
                job.lost[node] = job.grace_until
        return [WakeAt(job.voting_deadline), *_conclude(job, now)]
    for node in job.unsure:
        is_waited_for = node in job.unspooled or node in job.reboots
        job.lost[node] = math.inf if is_waited_for else job.grace_until
    return [WakeAt(job.run_deadline), WakeAt(job.grace_until), *_conclude(job, now)]


def _stalled(job: Job, event: Stalled, now: float) -> list[Effect]:
    _be_patient(job, event.unspooled, now)
    for node, deadline in job.lost.items():
        job.lost[node] = max(deadline, job.grace_until)
    return [WakeAt(job.grace_until)] if job.lost else []


def _be_patient(job: Job, unspooled: frozenset[str], now: float) -> None:
    """We were away: nothing is known of what was under way, and agents need time to return."""
    job.unsure = {node for node, state in job.nodes.items() if state in UNFINISHED}
    job.asked_again |= job.unsure
    at_work = job.status is JobStatus.RUNNING
    job.unspooled = job.unsure & unspooled if at_work else set()
    job.grace_until = now + job.grace.restart


def _conclude(job: Job, now: float) -> list[Effect]:
    """After every event: is the phase over?"""
    effects: list[Effect] = []
    if job.status is JobStatus.VOTING and not job.count(NodeState.NEW):
        if job.count(NodeState.READY) < job.spec.quorum:
            return _end(job, JobStatus.QUORUM_FAILED, NodeState.WAS_READY, None, now)
        job.status = JobStatus.RUNNING
        job.run_deadline = now + job.spec.run.run_timeout
        ready = [node for node, state in job.nodes.items() if state is NodeState.READY]
        effects = [SaveJob(), Publish("quorum_succeeded")]
        if ready:
            effects += [SendRun(ready), WakeAt(job.run_deadline)]
        # Those that fell silent while we were patient with their votes.
        effects += [WakeAt(deadline) for deadline in set(job.lost.values())]
    if job.status is JobStatus.RUNNING and not job.count(NodeState.READY, NodeState.RUNNING):
        timed_out = job.count(NodeState.TIMED_OUT)
        end = JobStatus.TIMED_OUT if timed_out else JobStatus.COMPLETE
        effects += _end(job, end, NodeState.TIMED_OUT, None, now)
    return effects


def _end(
    job: Job, status: JobStatus, rest: NodeState, reason: str | None, now: float
) -> list[Effect]:
    """End the job; nodes that are not done end in `rest` and are reset, without feed events."""
    left = [node for node, state in job.nodes.items() if state in UNFINISHED]
    for node in left:
        _set(job, node, rest)
    job.status = status
    effects: list[Effect] = [SaveJob(), Publish("job_complete", status=status), Ended()]
    if left:
        changes = [NodeChange(node, rest, reason) for node in left]
        effects = [SaveNodes(changes), *effects, Reset(left)]
    return effects


def _abort(job: Job, event: AbortRequested, now: float) -> list[Effect]:
    return _end(job, JobStatus.ABORTED, NodeState.ABORTED, f"aborted by {event.by}", now)


def _time_passed(job: Job, now: float) -> list[Effect]:
    if job.status is JobStatus.VOTING:
        return _voting_timeout(job, now) if now >= job.voting_deadline else []
    if now >= job.run_deadline:
        reason = f"still running after {job.spec.run.run_timeout:g} s"
        return _end(job, JobStatus.TIMED_OUT, NodeState.TIMED_OUT, reason, now)
    given_up = [node for node, deadline in job.lost.items() if now >= deadline]
    effects: list[Effect] = []
    for node in given_up:
        effects += _crash(job, node, "out of contact for too long")
    return effects + _conclude(job, now) if effects else effects


def _voting_timeout(job: Job, now: float) -> list[Effect]:
    silent = [node for node, state in job.nodes.items() if state is NodeState.NEW]
    reason = f"no answer within {job.grace.voting:g} s"
    for node in silent:
        _set(job, node, NodeState.UNAVAILABLE)
    return [
        SaveNodes([NodeChange(node, NodeState.UNAVAILABLE, reason) for node in silent]),
        *(Publish("quorum_vote", node, "voting_timeout") for node in silent),
        Reset(silent),
        *_conclude(job, now),
    ]


# --- one node's message, while voting


def _vote(job: Job, event: NodeEvent, now: float) -> list[Effect]:
    node = event.node
    if not isinstance(event, NodeDown):
        job.lost.pop(node, None)
    match job.nodes[node], event:
        case ((NodeState.NEW | NodeState.READY), NodeDown()) if now < job.grace_until:
            # The voting deadline bounds it.
            job.lost.setdefault(node, job.grace_until)
            return []
        case NodeState.NEW, VoteReceived(ready=True, reboots=reboots):
            if reboots:
                job.reboots.add(node)
            _set(job, node, NodeState.READY)
            change = NodeChange(node, NodeState.READY, reboots=reboots)
            return [SaveNodes([change]), Publish("quorum_vote", node, "success")]
        case NodeState.NEW, VoteReceived(ready=False, reason=reason):
            saved = _save(job, node, NodeState.NACKED, reason or "nacked")
            return [*saved, Publish("quorum_vote", node, "failure")]
        case NodeState.READY, VoteReceived(ready=True):
            return []
        case NodeState.READY, VoteReceived(ready=False, reason=reason):
            why = f"was ready, then nacked: {reason}" if reason else "was ready, then nacked"
            saved = _save(job, node, NodeState.UNAVAILABLE, why)
            return [*saved, *_reset(node), Publish("quorum_vote", node, "lost_availibility")]
        case ((NodeState.NEW | NodeState.READY), NodeDown() | NodeRestarted() | NodeDeleted()):
            saved = _save(
                job, node, NodeState.UNAVAILABLE, f"{_WHY_GONE[type(event)]} while voting"
            )
            return [*saved, Publish("quorum_vote", node, "down"), *_reset(node)]
        case ((NodeState.NEW | NodeState.READY), _):
            saved = _save(job, node, NodeState.UNAVAILABLE, "answered out of turn")
            return [*saved, *_reset(node)]
        case _, VoteReceived(ready=True):
            return [*_reset(node), Publish("quorum_vote", node, "unexpected_commit")]
        case _, VoteReceived(ready=False):
            return [*_reset(node), Publish("quorum_vote", node, "client_died_while_voting")]
        case _, NodeDown() | NodeRestarted() | NodeDeleted():
            return []
        case _:
            return _reset(node)


def _is_repeated(job: Job, event: VoteReceived | RunAnswered) -> bool:
    """Whether a node, which was asked again, answers what its first answer has settled."""
    state = job.nodes[event.node]
    if event.node not in job.asked_again:
        return False
    match event:
        case VoteReceived(ready=True):
            return state in (NodeState.READY, NodeState.RUNNING)
        case VoteReceived():
            return state is NodeState.NACKED
        case RunAnswered():
            return job.status is JobStatus.RUNNING and state is not NodeState.READY
        case _:
            assert_never(event)


def _ask_again(job: Job, node: str) -> list[Effect]:
    """For its vote, where what it was asked, or what it answered, may be lost."""
    job.asked_again.add(node)
    return [SendCommit([node])]


# --- one node's message, while running


def _run(job: Job, event: NodeEvent, now: float) -> list[Effect]:
    node = event.node
    state = job.nodes[node]
    if state not in UNFINISHED:
        return _run_final(event)
    if not isinstance(event, NodeDown):
        job.lost.pop(node, None)
    match event:
        case RunAnswered(started=True):
            return _running(job, node) if state is NodeState.READY else []
        case RunAnswered():
            nacked = "run_nacked" if state is NodeState.READY else "run_nacked_while_running"
            saved = _save(job, node, NodeState.FAILED, "refused to run")
            return [*saved, *_reset(node), Publish("run_complete", node, nacked)]
        case ResultReceived() if state is NodeState.RUNNING:
            return _result(job, event)
        case ResultReceived() if event.spooled or node in job.unspooled or node in job.unsure:
            # It was told to run, and that it does so was lost.
            return [*_running(job, node), *_result(job, event)]
        case NodeDown(spools=True) if node in job.reboots:
            return _lose(job, node, math.inf)
        case NodeDown(spools=True):
            return _lose(job, node, max(now + job.grace.lost, job.grace_until))
        case NodeDown() if node in job.unspooled:
            return _lose(job, node, math.inf)
        case NodeDown() if now < job.grace_until:
            return _lose(job, node, job.grace_until)
        case NodeDown() | NodeRestarted() | NodeDeleted():
            return _crash(job, node, f"{_WHY_GONE[type(event)]} while running")
        case VoteReceived(ready=False, reason=str(reason)):
            return _crash(job, node, f"was ready, then nacked: {reason}")
        case _:
            return _crash(job, node, "answered out of turn while running")


def _run_final(event: NodeEvent) -> list[Effect]:
    """A message from a node whose part is over: reset it; its state stays."""
    match event:
        case NodeDown() | NodeRestarted() | NodeDeleted() | ResultReceived(spooled=True):
            return []
        case _:
            return [
                *_reset(event.node),
                Publish("run_complete", event.node, "client_died_while_running"),
            ]


def _running(job: Job, node: str) -> list[Effect]:
    return [*_save(job, node, NodeState.RUNNING), Publish("run_start", node)]


def _result(job: Job, event: ResultReceived) -> list[Effect]:
    if event.outcome.lost:
        state, status = NodeState.CRASHED, "crashed"
    elif event.succeeded:
        state, status = NodeState.SUCCEEDED, "success"
    else:
        state = NodeState.TIMED_OUT if event.outcome.timed_out else NodeState.FAILED
        status = "failure"
    saved = _save(job, event.node, state, _why_failed(event), event.outcome)
    return [*saved, Publish("run_complete", event.node, status)]


def _why_failed(event: ResultReceived) -> str | None:
    outcome = event.outcome
    if outcome.lost:
        return "lost its supervisor while running: how the command ended is not known"
    if event.succeeded:
        return None
    if outcome.aborted:
        return "aborted on the node"
    if outcome.timed_out:
        return "timed out on the node"
    if outcome.signal is not None:
        return f"killed by signal {outcome.signal}"
    return None if outcome.exit_code is None else f"exit code {outcome.exit_code}"


def _lose(job: Job, node: str, until: float) -> list[Effect]:
    """A blip is no crash: the command goes on and its result will come."""
    job.lost.setdefault(node, until)
    return [WakeAt(job.lost[node])]


def _crash(job: Job, node: str, reason: str) -> list[Effect]:
    saved = _save(job, node, NodeState.CRASHED, reason)
    return [*saved, *_reset(node), Publish("run_complete", node, "crashed")]


# --- heartbeats: they repair what a broken connection or a restart of ours lost


def _heartbeat(job: Job, event: HeartbeatReceived, now: float) -> list[Effect]:
    node, unsure = event.node, event.node in job.unsure
    job.unsure.discard(node)
    if event.doing != "idle" or event.result_pending:
        job.idle_beats.pop(node, None)
        job.lost.pop(node, None)
    elif job.status is JobStatus.VOTING:
        job.lost.pop(node, None)
    match job.status, job.nodes[node], event.doing:
        case JobStatus.VOTING, NodeState.NEW, "committed" if unsure and not event.votes_again:
            job.asked_again.add(node)
            return _vote(job, VoteReceived(node, ready=True), now)
        case JobStatus.VOTING, NodeState.NEW, "idle" | "committed" if unsure:
            return _ask_again(job, node)
        case JobStatus.VOTING, NodeState.READY, "idle" if unsure and not event.result_pending:
            # An abort that was meant for another job came behind our question.
            return _ask_again(job, node)
        case JobStatus.RUNNING, NodeState.READY, "committed" if unsure:
            job.asked_again.add(node)
            return [SendRun([node])]
        case JobStatus.RUNNING, NodeState.READY, "running":
            return _running(job, node)
        case _, (NodeState.READY | NodeState.RUNNING), "idle" if not event.result_pending:
            return _idle(job, node)
        case _:
            return []


def _idle(job: Job, node: str) -> list[Effect]:
    """It should be at work and is not: its work is gone."""
    job.idle_beats[node] = job.idle_beats.get(node, 0) + 1
    if job.idle_beats[node] < IDLE_BEATS:
        return []
    if job.status is JobStatus.RUNNING:
        return _crash(job, node, "dropped the command without a result")
    return [*_save(job, node, NodeState.UNAVAILABLE, "dropped out while voting"), *_reset(node)]


# --- small change


def _set(job: Job, node: str, state: NodeState) -> None:
    job.counts[job.nodes[node]] -= 1
    job.counts[state] = job.counts.get(state, 0) + 1
    job.nodes[node] = state
    if state not in UNFINISHED:
        job.lost.pop(node, None)
        job.unspooled.discard(node)
        job.reboots.discard(node)
        job.unsure.discard(node)
        job.idle_beats.pop(node, None)


def _save(
    job: Job,
    node: str,
    state: NodeState,
    reason: str | None = None,
    outcome: Outcome | None = None,
) -> list[Effect]:
    _set(job, node, state)
    return [SaveNodes([NodeChange(node, state, reason, outcome)])]


def _reset(node: str) -> list[Effect]:
    return [Reset([node]), Publish("rehab", node)]
