"""How commands ended: results and output, in time, again, or too late (Push Jobs protocol, 9).

What an agent spools it sends until it is acknowledged, which happens once it is stored. Large
output comes ahead of its result, in chunks. A result that comes when its node's part is over
is kept beside the state, and so is what the command wrote until then: of a job that timed out
or was aborted, and of a node that was given up and came back.
"""

from pushcli.protocol import extensions, messages, run_wire
from pushcli_server.core import job_events as on_job
from pushcli_server.core import output
from pushcli_server.core.fleet_events import (
    Effect,
    FindPart,
    OnceDurable,
    PartFound,
    ResultStored,
    SaveLateResult,
)
from pushcli_server.core.fleet_state import Fleet, LatePart, send
from pushcli_server.core.gathering import Budget, channel_limit
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.core.job_state import Job
from pushcli_server.core.states import NodeState

REPORTED = frozenset({NodeState.SUCCEEDED, NodeState.FAILED})
"""States that a node has by its result only."""
NEVER_TOLD = frozenset({NodeState.NACKED, NodeState.UNAVAILABLE, NodeState.WAS_READY})
"""States of a node that was never told to run: it has no result, whoever says so."""


def job_of(node: NodeKey, message: messages.NodeMessage) -> JobKey:
    """A message speaks of jobs of its node's organization only."""
    return JobKey(node.org, message.job_id or "")


# --- in time


def chunk(fleet: Fleet, node: NodeKey, message: messages.Output, now: float) -> list[Effect]:
    """A chunk: kept if it is the next one; either way the agent learns what is held."""
    key = job_of(node, message)
    live = fleet.jobs.get(key)
    if live is not None and _delivers(fleet, live, node) and live.has_unfinished(node.name):
        held = live.held.setdefault(node.name, {})
        return output.gather_chunk(fleet, key, node, held, live.budget, message)
    if extensions.PARTIAL not in fleet.extensions(node):
        return [output.declined(node, message)]
    job, late = fleet.job(key), fleet.late.get(node)
    if late is not None and late.job == key:
        fleet.endings.came(node, key, now)
        return output.gather_chunk(fleet, key, node, late.held, late.budget, message)
    if job is not None and node.name in job.nodes:
        return found(fleet, part_in(job, node, message), now)
    return [FindPart(node, message)] if key.id else []


def ask_for_the_rest(
    fleet: Fleet, job: Job, node: NodeKey, message: messages.Result
) -> list[Effect]:
    """What is to be sent before the result can count, because the job captures."""
    if not _delivers(fleet, job, node):
        return []
    return output.ask_for_the_rest(job.key, node, job.held.get(node.name, {}), job.budget, message)


def keep_output(fleet: Fleet, job: Job, node: NodeKey, message: messages.Result) -> list[Effect]:
    """Store what came with the result, or before it."""
    held = job.held.pop(node.name, {})
    if not _delivers(fleet, job, node):
        return []
    return output.keep(job.key, node.name, held, job.budget, message)


def keep_what_came(job: Job, node: str) -> list[Effect]:
    """Store what was gathered of a node whose part is over without a result."""
    return output.keep_what_came(job.key, node, job.held.pop(node, {}))


def _delivers(fleet: Fleet, job: Job, node: NodeKey) -> bool:
    """Whether the node was asked for what the job's command writes."""
    return run_wire.delivers(job.run, fleet.extensions(node))


def received(node: NodeKey, message: messages.Result) -> on_job.ResultReceived:
    """What the job is told of a result."""
    succeeded = isinstance(message, messages.Succeeded)
    return on_job.ResultReceived(
        node.name, succeeded, message.spooled, run_wire.outcome_of(message)
    )


def acknowledge(node: NodeKey, job_id: str) -> Effect:
    """Once all is stored, the agent may forget the result."""
    return OnceDurable(ResultStored(node, job_id))


def stored(fleet: Fleet, event: ResultStored) -> list[Effect]:
    """The agent is told that it may forget the result."""
    fleet.endings.stored(event.node, JobKey(event.node.org, event.job_id))
    return send(fleet, event.node, messages.AckResult, job_id=event.job_id)


# --- too late


def part_in(job: Job, node: NodeKey, message: messages.Result | messages.Output) -> PartFound:
    """The part of a node in a job that is live or ended a moment ago."""
    return PartFound(
        node=node,
        message=message,
        state=None if node.name in job.disowned else job.nodes[node.name],
        capture=job.run.capture,
        default_capture=job.run.default_capture,
        reported=node.name in job.reported,
        held=job.held.pop(node.name, {}),
    )


def found(fleet: Fleet, part: PartFound, now: float) -> list[Effect]:
    """What comes of a node for a job that does not wait for it, or is not this node's at all."""
    if not isinstance(part.message, messages.Output):
        return late(fleet, part, now)
    if not _is_news(part) or not _is_wanted(fleet, part):
        return [output.declined(part.node, part.message)]
    key, it = job_of(part.node, part.message), _late(fleet, part)
    fleet.endings.came(part.node, key, now)
    return output.gather_chunk(fleet, key, part.node, it.held, it.budget, part.message)


def late(fleet: Fleet, part: PartFound, now: float) -> list[Effect]:
    """A spooled result of a node whose part was over without it.

    The state stays, the result is kept beside it. What was reported already, or means nothing
    here, is acknowledged so that it is not repeated.
    """
    message = part.message
    assert not isinstance(message, messages.Output)  # noqa: S101 - `found` tells them apart
    key, effects = job_of(part.node, message), list[Effect]()
    if _is_news(part):
        fleet.endings.came(part.node, key, now)
        if _is_wanted(fleet, part):
            if rest := _missing(fleet, part, message):
                return rest
            it = _late(fleet, part)
            effects += output.keep(key, part.node.name, it.held, it.budget, message)
        succeeded = isinstance(message, messages.Succeeded)
        outcome = run_wire.outcome_of(message)
        effects.append(SaveLateResult(key, part.node.name, succeeded, outcome))
        if (job := fleet.job(key)) is not None:
            job.reported.add(part.node.name)
    fleet.late.pop(part.node, None)
    return [*effects, OnceDurable(ResultStored(part.node, key.id))]


def _is_wanted(fleet: Fleet, part: PartFound) -> bool:
    """Whether the node was asked for what its command writes."""
    if part.capture:
        return True
    return part.default_capture and extensions.OUTPUT in fleet.extensions(part.node)


def _is_news(part: PartFound) -> bool:
    """Whether the node has a part in the job, and its result is not known yet."""
    if part.state is None or part.reported:
        return False
    return part.state not in REPORTED | NEVER_TOLD


def _missing(fleet: Fleet, part: PartFound, message: messages.Result) -> list[Effect]:
    """Missing output is asked for only where the agent expects it."""
    if extensions.PARTIAL not in fleet.extensions(part.node):
        return []
    key, it = job_of(part.node, part.message), _late(fleet, part)
    return output.ask_for_the_rest(key, part.node, it.held, it.budget, message)


def _late(fleet: Fleet, part: PartFound) -> LatePart:
    key = job_of(part.node, part.message)
    known = fleet.late.get(part.node)
    if known is None or known.job != key:
        job, held = fleet.job(key), dict(part.held)
        if job is None:
            channel = channel_limit(is_whole=part.capture)
            budget = Budget(fleet.rules.max_job_output // part.nodes, channel=channel)
            kept = sum(gathering.kept for gathering in held.values())
            budget.draw(part.node.name, kept, ended=True)
        else:
            budget = job.budget
            if not held:
                budget.begin_again(part.node.name)
        known = fleet.late[part.node] = LatePart(key, held, budget)
    return known
