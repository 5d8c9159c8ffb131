"""How commands ended: results and output, in time, again, or too late (Push Jobs protocol, 9).

What an agent spools it sends until it is acknowledged, which happens once it is stored. Large
output comes ahead of its result, in chunks. A result that comes when its node's part is over
is kept beside the state, and so is what the command wrote until then: of a job that timed out
or was aborted, and of a node that was given up and came back.
"""

import base64
import binascii
from collections.abc import Mapping

from pushcli.protocol import extensions, messages, run_wire
from pushcli.protocol.run import OutputChannel
from pushcli_server.core import job_events as on_job
from pushcli_server.core.fleet_events import (
    AppendOutput,
    Content,
    Effect,
    FindPart,
    Gathered,
    OnceDurable,
    OutputKept,
    OutputStored,
    PartFound,
    ResultStored,
    SaveLateResult,
    StoreOutput,
)
from pushcli_server.core.fleet_state import Fleet, LatePart
from pushcli_server.core.gathering import Budget, Gathering, channel_limit
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.core.job_state import Job
from pushcli_server.core.node import Node
from pushcli_server.core.states import NodeState

MAX_UNSTORED = 4 * 1024 * 1024
"""Bytes of a node's chunks that wait for the database; our agents send a fifth of it ahead."""
CHANNELS: tuple[OutputChannel, ...] = ("stdout", "stderr")
REPORTED = frozenset({NodeState.SUCCEEDED, NodeState.FAILED})
"""States that a node has by its result only."""
NEVER_TOLD = frozenset({NodeState.NACKED, NodeState.UNAVAILABLE, NodeState.WAS_READY})
"""States of a node that was never told to run: it has no result, whoever says so."""
Held = Mapping[OutputChannel, Gathering]
"""What was gathered, by channel."""


# --- in time


def output(fleet: Fleet, node: Node, message: messages.Output) -> list[Effect]:
    """A chunk: kept if it is the next one; either way the agent learns what is held."""
    key = _key(node.key, message)
    live = fleet.jobs.get(key)
    if live is not None and _delivers(live, node) and live.has_unfinished(node.name):
        held = live.held.setdefault(node.name, {})
        return _gather(fleet, key, node.key, held, live.budget, message)
    if extensions.PARTIAL not in node.extensions:
        return [_declined(node.key, message)]
    job, late = fleet.job(key), fleet.late.get(node.key)
    if late is not None and late.job == key:
        return _gather(fleet, key, node.key, late.held, late.budget, message)
    if job is not None and node.name in job.nodes:
        return found(fleet, part_in(job, node, message))
    return [FindPart(node.key, message)] if key.id else []


def ask_for_the_rest(job: Job, node: Node, message: messages.Result) -> list[Effect]:
    """What is to be sent before the result can count, because the job captures."""
    if not _delivers(job, node):
        return []
    return _lacking(job.key, node.key, job.held.get(node.name, {}), message)


def keep_output(job: Job, node: Node, message: messages.Result) -> list[Effect]:
    """Store what came with the result, or before it."""
    held = job.held.pop(node.name, {})
    if not _delivers(job, node):
        return []
    return _store(job.key, node.name, held, job.budget, message)


def keep_what_came(job: Job, node: str) -> list[Effect]:
    """Store what was gathered of a node whose part is over without a result."""
    held = job.held.pop(node, {})
    kept = {
        channel: _gathered(job.key, node, channel, it, it.received) for channel, it in held.items()
    }
    if not any(gathering.received for gathering in held.values()):
        return []
    marks = [mark for _, _, marks in kept.values() for mark in marks]
    nothing: tuple[Content, int, list[Effect]] = (None, 0, [])
    (stdout, cut, _), (stderr, cut_too, _) = (kept.get(channel, nothing) for channel in CHANNELS)
    stored = StoreOutput(
        job=job.key,
        node=node,
        stdout=stdout,
        stderr=stderr,
        stdout_dropped=cut,
        stderr_dropped=cut_too,
    )
    return [*marks, stored, _shown(stored)]


def _delivers(job: Job, node: Node) -> bool:
    """Whether the node was asked for what the job's command writes."""
    return run_wire.delivers(job.run, node.extensions)


def received(node: Node, message: messages.Result) -> on_job.ResultReceived:
    """What the job is told of a result."""
    succeeded = isinstance(message, messages.Succeeded)
    return on_job.ResultReceived(
        node.name, succeeded, message.spooled, run_wire.outcome_of(message)
    )


def acknowledge(node: Node, job_id: str) -> Effect:
    """Once all is stored, the agent may forget the result."""
    return OnceDurable(ResultStored(node.key, job_id))


# --- too late


def part_in(job: Job, node: Node, message: messages.Result | messages.Output) -> PartFound:
    """The part of a node in a job that is live or ended a moment ago."""
    return PartFound(
        node=node.key,
        message=message,
        state=None if node.name in job.disowned else job.nodes[node.name],
        capture=job.run.capture,
        default_capture=job.run.default_capture,
        reported=node.name in job.reported,
        held=job.held.pop(node.name, {}),
    )


def found(fleet: Fleet, part: PartFound) -> list[Effect]:
    """What comes of a node for a job that does not wait for it, or is not this node's at all."""
    if not isinstance(part.message, messages.Output):
        return late(fleet, part)
    if not _is_news(part) or not _is_wanted(fleet, part):
        return [_declined(part.node, part.message)]
    key, it = _key(part.node, part.message), _late(fleet, part)
    return _gather(fleet, key, part.node, it.held, it.budget, part.message)


def late(fleet: Fleet, part: PartFound) -> list[Effect]:
    """A spooled result of a node whose part was over without it.

    The state stays, the result is kept beside it. What was reported already, or means nothing
    here, is acknowledged so that it is not repeated.
    """
    message = part.message
    assert not isinstance(message, messages.Output)  # noqa: S101 - `found` tells them apart
    key, effects = _key(part.node, message), list[Effect]()
    if _is_news(part):
        if _is_wanted(fleet, part):
            if rest := _missing(fleet, part, message):
                return rest
            it = _late(fleet, part)
            effects += _store(key, part.node.name, it.held, it.budget, message)
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
    node = fleet.nodes.get(part.node)
    return part.default_capture and node is not None and extensions.OUTPUT in node.extensions


def _is_news(part: PartFound) -> bool:
    """Whether the node has a part in the job, and its result is not known yet."""
    if part.state is None or part.reported:
        return False
    return part.state not in REPORTED | NEVER_TOLD


def _missing(fleet: Fleet, part: PartFound, message: messages.Result) -> list[Effect]:
    """Missing output is asked for only where the agent expects it."""
    node = fleet.nodes.get(part.node)
    if node is None or extensions.PARTIAL not in node.extensions:
        return []
    return _lacking(_key(part.node, part.message), part.node, _late(fleet, part).held, message)


def _late(fleet: Fleet, part: PartFound) -> LatePart:
    key = _key(part.node, part.message)
    known = fleet.late.get(part.node)
    if known is None or known.job != key:
        job, held = fleet.job(key), dict(part.held)
        if job is None:
            channel = channel_limit(is_whole=part.capture)
            budget = Budget(fleet.rules.max_job_output // part.nodes, channel=channel)
            budget.draw(part.node.name, sum(gathering.kept for gathering in held.values()))
        else:
            budget = job.budget
            if not held:
                budget.begin_again(part.node.name)
        known = fleet.late[part.node] = LatePart(key, held, budget)
    return known


# --- bytes


def _gather(
    fleet: Fleet,
    job: JobKey,
    node: NodeKey,
    held: dict[OutputChannel, Gathering],
    budget: Budget,
    message: messages.Output,
) -> list[Effect]:
    channel, data = message.channel, _decode(message.data)
    gathering, kept = held.setdefault(channel, Gathering()), b""
    effects = _settle(job, node.name, channel, gathering, message.head)
    if message.offset == gathering.received and data:
        sender, at = fleet.node(node), gathering.kept
        if not gathering.is_cut:
            kept = data[: max(budget.channel - at, 0)]
        if sender.unstored + len(kept) > MAX_UNSTORED:
            # It does not wait for what it is told; what was acknowledged last is where it goes on.
            return effects
        kept = kept[: budget.draw(node.name, len(kept))]
        gathering.received += len(data)
        gathering.kept += len(kept)
        sender.unstored += len(kept)
        if kept:
            effects.append(AppendOutput(job, node.name, channel, at, kept))
    stored = OutputStored(
        node, job.id, channel, gathering.received, len(kept), gathering.kept, gathering.is_cut
    )
    return [*effects, OnceDurable(stored)]


def _settle(
    job: JobKey, node: str, channel: OutputChannel, gathering: Gathering, head: int | None
) -> list[Effect]:
    """The command ended: what is not as it was while it ran goes."""
    if not gathering.settle(head):
        return []
    return [AppendOutput(job, node, channel, gathering.kept, b"", cut=True)]


def _gathered(
    job: JobKey, node: str, channel: OutputChannel, gathering: Gathering, size: int
) -> tuple[Content, int, list[Effect]]:
    """What was gathered of so many bytes, how much is missing, and the mark that says so."""
    if not gathering.is_cut:
        return Gathered(gathering.kept), 0, []
    cut = size - gathering.kept
    mark = _mark(cut)
    append = AppendOutput(job, node, channel, gathering.kept, mark)
    return Gathered(gathering.kept + len(mark)), cut, [append]


def _mark(cut: int) -> bytes:
    return b"\n[output cut: %d more bytes]\n" % cut


def _store(
    job: JobKey, node: str, held: Held, budget: Budget, message: messages.Result
) -> list[Effect]:
    contents, cuts, effects = list[Content](), list[int](), list[Effect]()
    for channel in CHANNELS:
        gathering = held.get(channel)
        content, cut, marks = _content(job, node, channel, gathering, budget, message)
        contents.append(content)
        cuts.append(cut)
        effects += marks
    if contents == [None, None]:
        return []
    stored = StoreOutput(
        job=job,
        node=node,
        stdout=contents[0],
        stderr=contents[1],
        stdout_dropped=cuts[0] + (message.stdout_dropped or 0),
        stderr_dropped=cuts[1] + (message.stderr_dropped or 0),
    )
    return [*effects, stored, _shown(stored)]


def _shown(stored: StoreOutput) -> Effect:
    contents = {"stdout": stored.stdout, "stderr": stored.stderr}
    sizes: dict[OutputChannel, int] = {}
    for channel in CHANNELS:
        content = contents[channel]
        if content is not None:
            sizes[channel] = content.size if isinstance(content, Gathered) else len(content)
    return OnceDurable(OutputKept(stored.job, stored.node, sizes))


def _content(
    job: JobKey,
    node: str,
    channel: OutputChannel,
    gathering: Gathering | None,
    budget: Budget,
    message: messages.Result,
) -> tuple[Content, int, list[Effect]]:
    text, encoded, size = _sent(message, channel)
    if encoded is not None:
        return _whole(job, node, channel, gathering, budget, _decode(encoded))
    if text is not None:
        # As much as one message holds.
        return text.encode("utf-8", "surrogatepass"), 0, []
    if size and gathering is not None and (gathering.is_cut or gathering.received == size):
        return _gathered(job, node, channel, gathering, size)
    return (None if size is None or size else b""), 0, []


def _whole(
    job: JobKey,
    node: str,
    channel: OutputChannel,
    gathering: Gathering | None,
    budget: Budget,
    data: bytes,
) -> tuple[Content, int, list[Effect]]:
    """Output that came with the result, whatever came of it before."""
    before = 0 if gathering is None else gathering.kept
    wanted = min(len(data), budget.channel)
    room = before + budget.draw(node, max(wanted - before, 0))
    cut = max(len(data) - room, 0)
    if cut:
        data = data[:room] + _mark(cut)
    if gathering is None:
        return data, cut, []
    # What is gathered in a file stays in that file, or it would be left behind.
    return Gathered(len(data)), cut, [AppendOutput(job, node, channel, 0, data, cut=True)]


def _lacking(job: JobKey, node: NodeKey, held: Held, message: messages.Result) -> list[Effect]:
    """Tell the agent where a channel stands of which not all is here."""
    heads = {"stdout": message.stdout_head, "stderr": message.stderr_head}
    for channel in CHANNELS:
        text, encoded, size = _sent(message, channel)
        gathering = held.get(channel) or Gathering()
        cut = _settle(job, node.name, channel, gathering, heads[channel])
        is_there = gathering.is_cut or gathering.received == size
        is_missing = text is None and encoded is None and size and not is_there
        if cut or is_missing:
            there = _acknowledged(node, message.job_id or "", channel, gathering.received)
            return [*cut, there]
    return []


def _sent(
    message: messages.Result, channel: OutputChannel
) -> tuple[str | None, str | None, int | None]:
    """A channel as text, in base64, or only its size."""
    if channel == "stdout":
        return message.stdout, message.stdout_base64, message.stdout_size
    return message.stderr, message.stderr_base64, message.stderr_size


def _key(node: NodeKey, message: messages.NodeMessage) -> JobKey:
    """A message speaks of jobs of its node's organization only."""
    return JobKey(node.org, message.job_id or "")


def _declined(node: NodeKey, message: messages.Output) -> Effect:
    """The agent need not send it again."""
    end = message.offset + len(_decode(message.data))
    stored = OutputStored(node, message.job_id or "", message.channel, end, enough=True)
    return OnceDurable(stored)


def _acknowledged(node: NodeKey, job_id: str, channel: OutputChannel, size: int) -> Effect:
    return OnceDurable(OutputStored(node, job_id, channel, size))


def _decode(data: str) -> bytes:
    """Base64; what is none is nothing, and the agent sends it again."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return b""
