"""How commands ended: results and output, in time, again, or too late (Push Jobs protocol, 9).

What an agent spools it sends until it is acknowledged, which happens once it is stored.
"""

import base64
import binascii
from collections.abc import Mapping

from pushcli.protocol import messages, run_wire
from pushcli.protocol.run import OutputChannel
from pushcli_server.core import job_events as on_job
from pushcli_server.core.fleet_events import (
    AppendOutput,
    Content,
    Effect,
    Gathered,
    OnceDurable,
    OutputStored,
    PartFound,
    ResultStored,
    SaveLateResult,
    StoreOutput,
)
from pushcli_server.core.identity import JobKey
from pushcli_server.core.job import Job
from pushcli_server.core.node import Node
from pushcli_server.core.states import NodeState

MAX_OUTPUT = 64 * 1024 * 1024
"""Bytes of a channel that are kept, whatever an agent sends; its own cap is lower."""
CHANNELS: tuple[OutputChannel, ...] = ("stdout", "stderr")
_REPORTED = frozenset({NodeState.SUCCEEDED, NodeState.FAILED})


def output(job: Job | None, node: Node, message: messages.Output) -> list[Effect]:
    """A chunk: kept if it is the next one; either way the agent learns what is held.

    Args:
        job: the live one that it names, if there is one.
    """
    job_id, channel = message.job_id or "", message.channel
    data = _decode(message.data)
    if job is None or not job.spec.run.capture or not job.has_unfinished(node.name):
        # Nobody waits for it any more; the result that follows decides what is kept.
        return [_acknowledged(node, job_id, channel, message.offset + len(data))]
    held = job.held.get((node.name, channel), 0)
    effects: list[Effect] = []
    if message.offset == held and data:
        held += len(data)
        job.held[node.name, channel] = held
        if held <= MAX_OUTPUT:
            effects.append(AppendOutput(job.key, node.name, channel, message.offset, data))
    return [*effects, _acknowledged(node, job_id, channel, held)]


def ask_for_the_rest(job: Job, node: Node, message: messages.Result) -> list[Effect]:
    """What is to be sent before the result can count, because the job captures."""
    if not job.spec.run.capture:
        return []
    held = {channel: job.held.get((node.name, channel), 0) for channel in CHANNELS}
    lacking = [channel for channel in CHANNELS if _lacks(message, channel, held[channel])]
    return [_acknowledged(node, job.id, channel, held[channel]) for channel in lacking[:1]]


def keep_output(job: Job, node: Node, message: messages.Result) -> list[Effect]:
    """Store what came with the result, or before it."""
    held = {channel: job.held.pop((node.name, channel), 0) for channel in CHANNELS}
    return _store(job.key, node.name, held, message) if job.spec.run.capture else []


def received(node: Node, message: messages.Result) -> on_job.ResultReceived:
    """What the job is told of a result."""
    succeeded = isinstance(message, messages.Succeeded)
    return on_job.ResultReceived(
        node.name, succeeded, message.spooled, run_wire.outcome_of(message)
    )


def acknowledge(node: Node, job_id: str) -> Effect:
    """Once all is stored, the agent may forget the result."""
    return OnceDurable(ResultStored(node.key, job_id))


def late(job: Job, node: Node, message: messages.Result) -> list[Effect]:
    """A spooled result of a node whose part was over without it."""
    held = {channel: job.held.get((node.name, channel), 0) for channel in CHANNELS}
    found = PartFound(
        node=node.key,
        message=message,
        state=job.nodes[node.name],
        capture=job.spec.run.capture,
        held=held,
    )
    return late_or_foreign(found)


def late_or_foreign(found: PartFound) -> list[Effect]:
    """A spooled result for a job that does not wait for it, or is not this node's at all.

    The state stays, the result is kept beside it; missing output is not asked for. What was
    reported already, or means nothing here, is acknowledged so that it is not repeated.
    """
    node, message = found.node, found.message
    key = JobKey(node.org, message.job_id or "")
    effects: list[Effect] = []
    if found.state is not None and found.state not in _REPORTED:
        if found.capture:
            effects += _store(key, node.name, found.held, message)
        succeeded = isinstance(message, messages.Succeeded)
        effects.append(SaveLateResult(key, node.name, succeeded, run_wire.outcome_of(message)))
    return [*effects, OnceDurable(ResultStored(node, key.id))]


def _store(
    job: JobKey, node: str, held: Mapping[OutputChannel, int], message: messages.Result
) -> list[Effect]:
    stdout, stderr = (_content(message, channel, held.get(channel, 0)) for channel in CHANNELS)
    if stdout is None and stderr is None:
        return []
    return [StoreOutput(job=job, node=node, stdout=stdout, stderr=stderr)]


def _content(message: messages.Result, channel: OutputChannel, held: int) -> Content:
    text, encoded, size = _sent(message, channel)
    if encoded is not None:
        return _decode(encoded)
    if text is not None:
        return text.encode("utf-8", "surrogatepass")
    if size:
        return Gathered() if held == size else None
    return None if size is None else b""


def _lacks(message: messages.Result, channel: OutputChannel, held: int) -> bool:
    text, encoded, size = _sent(message, channel)
    return text is None and encoded is None and bool(size) and held != size


def _sent(
    message: messages.Result, channel: OutputChannel
) -> tuple[str | None, str | None, int | None]:
    """A channel as text, in base64, or only its size."""
    if channel == "stdout":
        return message.stdout, message.stdout_base64, message.stdout_size
    return message.stderr, message.stderr_base64, message.stderr_size


def _acknowledged(node: Node, job_id: str, channel: OutputChannel, size: int) -> Effect:
    return OnceDurable(OutputStored(node.key, job_id, channel, size))


def _decode(data: str) -> bytes:
    """Base64; what is none is nothing, and the agent sends it again."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return b""
