"""What jobs hear of their nodes: votes, results, heartbeats, and what becomes of a node.

Whoever tells names the node by its key; what its agent can do the fleet knows. So it is all the
same to a job how what is said came here.
"""

from typing import assert_never

from pushcli.protocol import extensions, messages
from pushcli_server.core import fleet_jobs as jobs
from pushcli_server.core import job_events as on_job
from pushcli_server.core import results
from pushcli_server.core.fleet_events import Effect, FindPart
from pushcli_server.core.fleet_state import Fleet
from pushcli_server.core.identity import NodeKey
from pushcli_server.core.job_state import Job

Answer = (
    messages.AckCommit
    | messages.NackCommit
    | messages.AckRun
    | messages.NackRun
    | messages.Aborted
    | messages.Result
    | messages.Output
)
"""What concerns the job that it names; without one, all that the node is in."""


def answered(fleet: Fleet, node: NodeKey, message: Answer, now: float) -> list[Effect]:
    """A node answers a job, or delivers what came of it."""
    match message:
        case messages.Succeeded() | messages.Failed():
            return _result(fleet, node, message, now)
        case messages.Output():
            return results.chunk(fleet, node, message, now)
        case messages.Aborted(job_id=None):
            return to_all(fleet, node, on_job.UnexpectedReceived(node.name), now)
        case messages.AckCommit():
            reboots = bool(message.reboots) and extensions.REBOOTS in fleet.extensions(node)
            event: on_job.Event = on_job.VoteReceived(node.name, ready=True, reboots=reboots)
        case messages.NackCommit():
            why = jobs.why_nacked(fleet, node, message)
            event = on_job.VoteReceived(node.name, ready=False, reason=why)
        case messages.AckRun():
            event = on_job.RunAnswered(node.name, started=True)
        case messages.NackRun():
            event = on_job.RunAnswered(node.name, started=False)
        case messages.Aborted():
            event = on_job.UnexpectedReceived(node.name)
        case _:
            assert_never(message)
    job = fleet.jobs.get(results.job_of(node, message))
    return [] if job is None else jobs.deliver(fleet, job, event, now)


def beat(fleet: Fleet, node: NodeKey, message: messages.Heartbeat, now: float) -> list[Effect]:
    """A node lives, and says what it is at: each of its jobs hears what that is to it."""
    busy_with = fleet.busy.get(node)
    if not busy_with:
        return []
    effects: list[Effect] = []
    pending = message.pending_results or ()
    votes_again = extensions.REBOOTS in fleet.extensions(node)
    for key in list(busy_with):
        if (job := fleet.jobs.get(key)) is not None:
            doing = message.job_state if message.job_id == key.id else "idle"
            heard = on_job.HeartbeatReceived(node.name, doing, key.id in pending, votes_again)
            effects += jobs.deliver(fleet, job, heard, now)
    return effects


def to_all(
    fleet: Fleet,
    node: NodeKey,
    event: on_job.Event,
    now: float,
    but: frozenset[str] = frozenset(),
) -> list[Effect]:
    """The same event for every live job in which this node's part is not over.

    Args:
        but: ids of jobs that it does not concern.
    """
    effects: list[Effect] = []
    for key in list(fleet.busy.get(node, ())):
        if key.id not in but and (job := fleet.jobs.get(key)) is not None:
            effects += jobs.deliver(fleet, job, event, now)
    return effects


def _result(fleet: Fleet, node: NodeKey, message: messages.Result, now: float) -> list[Effect]:
    key = results.job_of(node, message)
    live, job = fleet.jobs.get(key), fleet.job(key)
    if job is None or node.name not in job.nodes:
        return [FindPart(node, message)] if message.spooled and key.id else []
    if live is not None and live.has_unfinished(node.name):
        return _result_in_time(fleet, live, node, message, now)
    if message.spooled:
        return results.late(fleet, results.part_in(job, node, message), now)
    return [] if live is None else jobs.deliver(fleet, live, results.received(node, message), now)


def _result_in_time(
    fleet: Fleet, job: Job, node: NodeKey, message: messages.Result, now: float
) -> list[Effect]:
    if rest := results.ask_for_the_rest(fleet, job, node, message):
        return rest
    effects = results.keep_output(fleet, job, node, message)
    job.reported.add(node.name)
    effects += jobs.deliver(fleet, job, results.received(node, message), now)
    return [*effects, results.acknowledge(node, job.id)] if message.spooled else effects
