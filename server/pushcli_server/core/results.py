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
    OutputStored,
    PartFound,
    ResultStored,
    SaveLateResult,
    StoreOutput,
)
from pushcli_server.core.fleet_state import Fleet, LatePart
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.core.job_state import Job
from pushcli_server.core.node import Node
from pushcli_server.core.states import NodeState

MAX_OUTPUT = 64 * 1024 * 1024
"""Bytes of a channel that are kept, whatever an agent sends; its own cap is lower."""
MAX_UNSTORED = 4 * 1024 * 1024
"""Bytes of a node's chunks that wait for the database; our agents send a fifth of it ahead."""
CHANNELS: tuple[OutputChannel, ...] = ("stdout", "stderr")
REPORTED = frozenset({NodeState.SUCCEEDED, NodeState.FAILED})
"""States that a node has by its result only."""
NEVER_TOLD = frozenset({NodeState.NACKED, NodeState.UNAVAILABLE, NodeState.WAS_READY})
"""States of a node that was never told to run: it has no result, whoever says so."""
Held = Mapping[OutputChannel, int]
"""Bytes that were gathered, by channel."""


# --- in time


def output(fleet: Fleet, node: Node, message: messages.Output) -> list[Effect]:
    """A chunk: kept if it is the next one; either way the agent learns what is held."""
    key = _key(node.key, message)
    live = fleet.jobs.get(key)
    if live is not None and live.spec.run.capture and live.has_unfinished(node.name):
        return _gather(fleet, key, node.key, live.held.setdefault(node.name, {}), message)
    if extensions.PARTIAL not in node.extensions:
        return [_declined(node.key, message)]
    job, late = fleet.job(key), fleet.late.get(node.key)
    if late is not None and late.job == key:
        return _gather(fleet, key, node.key, late.held, message)
    if job is not None and node.name in job.nodes:
        return found(fleet, part_in(job, node, message))
    return [FindPart(node.key, message)] if key.id else []


def ask_for_the_rest(job: Job, node: Node, message: messages.Result) -> list[Effect]:
    """What is to be sent before the result can count, because the job captures."""
    if not job.spec.run.capture:
        return []
    return _lacking(node.key, job.held.get(node.name, {}), message)


def keep_output(job: Job, node: Node, message: messages.Result) -> list[Effect]:
    """Store what came with the result, or before it."""
    held = job.held.pop(node.name, {})
    return _store(job.key, node.name, held, message) if job.spec.run.capture else []


def keep_what_came(job: Job, node: str) -> list[Effect]:
    """Store what was gathered of a node whose part is over without a result."""
    held = job.held.pop(node, {})
    kept = {channel: _gathered(job.key, node, channel, size) for channel, size in held.items()}
    if not any(held.values()):
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
    return [*marks, stored]


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
        capture=job.spec.run.capture,
        reported=node.name in job.reported,
        held=job.held.pop(node.name, {}),
    )


def found(fleet: Fleet, part: PartFound) -> list[Effect]:
    """What comes of a node for a job that does not wait for it, or is not this node's at all."""
    if not isinstance(part.message, messages.Output):
        return late(fleet, part)
    if not _is_news(part) or not part.capture:
        return [_declined(part.node, part.message)]
    key = _key(part.node, part.message)
    return _gather(fleet, key, part.node, _late(fleet, part), part.message)


def late(fleet: Fleet, part: PartFound) -> list[Effect]:
    """A spooled result of a node whose part was over without it.

    The state stays, the result is kept beside it. What was reported already, or means nothing
    here, is acknowledged so that it is not repeated.
    """
    message = part.message
    assert not isinstance(message, messages.Output)  # noqa: S101 - `found` tells them apart
    key, effects = _key(part.node, message), list[Effect]()
    if _is_news(part):
        if part.capture:
            if rest := _missing(fleet, part, message):
                return rest
            held = _late(fleet, part)
            effects += _store(key, part.node.name, held, message)
        succeeded = isinstance(message, messages.Succeeded)
        outcome = run_wire.outcome_of(message)
        effects.append(SaveLateResult(key, part.node.name, succeeded, outcome))
        if (job := fleet.job(key)) is not None:
            job.reported.add(part.node.name)
    fleet.late.pop(part.node, None)
    return [*effects, OnceDurable(ResultStored(part.node, key.id))]


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
    return _lacking(part.node, _late(fleet, part), message)


def _late(fleet: Fleet, part: PartFound) -> dict[OutputChannel, int]:
    key = _key(part.node, part.message)
    known = fleet.late.get(part.node)
    if known is None or known.job != key:
        known = fleet.late[part.node] = LatePart(key, dict(part.held))
    return known.held


# --- bytes


def _gather(
    fleet: Fleet,
    job: JobKey,
    node: NodeKey,
    held: dict[OutputChannel, int],
    message: messages.Output,
) -> list[Effect]:
    channel, data = message.channel, _decode(message.data)
    before, kept = held.get(channel, 0), b""
    effects: list[Effect] = []
    if message.offset == before and data:
        sender, kept = fleet.node(node), data[: max(MAX_OUTPUT - before, 0)]
        if sender.unstored + len(kept) > MAX_UNSTORED:
            # It does not wait for what it is told; what was acknowledged last is where it goes on.
            return []
        held[channel] = before + len(data)
        sender.unstored += len(kept)
        if kept:
            effects.append(AppendOutput(job, node.name, channel, before, kept))
    stored = OutputStored(node, job.id, channel, held.get(channel, 0), len(kept))
    return [*effects, OnceDurable(stored)]


def _gathered(
    job: JobKey, node: str, channel: OutputChannel, held: int
) -> tuple[Content, int, list[Effect]]:
    """What was gathered, how much of it was too much, and the mark that says so."""
    if held <= MAX_OUTPUT:
        return Gathered(held), 0, []
    cut = held - MAX_OUTPUT
    mark = b"\n[output cut: %d more bytes]\n" % cut
    append = AppendOutput(job, node, channel, MAX_OUTPUT, mark)
    return Gathered(MAX_OUTPUT + len(mark)), cut, [append]


def _store(job: JobKey, node: str, held: Held, message: messages.Result) -> list[Effect]:
    contents, cuts, effects = list[Content](), list[int](), list[Effect]()
    for channel in CHANNELS:
        content, cut, marks = _content(job, node, channel, held.get(channel, 0), message)
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
    return [*effects, stored]


def _content(
    job: JobKey, node: str, channel: OutputChannel, held: int, message: messages.Result
) -> tuple[Content, int, list[Effect]]:
    text, encoded, size = _sent(message, channel)
    if encoded is not None:
        return _decode(encoded), 0, []
    if text is not None:
        return text.encode("utf-8", "surrogatepass"), 0, []
    if size:
        return _gathered(job, node, channel, held) if held == size else (None, 0, [])
    return (None if size is None else b""), 0, []


def _lacking(node: NodeKey, held: Held, message: messages.Result) -> list[Effect]:
    """Tell the agent where a channel stands of which not all is here."""
    for channel in CHANNELS:
        text, encoded, size = _sent(message, channel)
        there = held.get(channel, 0)
        if text is None and encoded is None and size and there != size:
            return [_acknowledged(node, message.job_id or "", channel, there)]
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
    return _acknowledged(node, message.job_id or "", message.channel, end)


def _acknowledged(node: NodeKey, job_id: str, channel: OutputChannel, size: int) -> Effect:
    return OnceDurable(OutputStored(node, job_id, channel, size))


def _decode(data: str) -> bytes:
    """Base64; what is none is nothing, and the agent sends it again."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return b""
