"""The bytes that commands wrote: gathered, with a mark where there is no room, and stored.

Where a job has no room for all of an output its beginning is kept as it comes, and its end once the
command has ended: the agent is asked for it, and a mark between them says how much is left out.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import NamedTuple

from pushcli.protocol import messages
from pushcli.protocol.run import OutputChannel
from pushcli_server.core.fleet_events import (
    AppendOutput,
    BeginTail,
    Content,
    Effect,
    Gathered,
    JoinTail,
    OnceDurable,
    OutputKept,
    OutputStored,
    StoreOutput,
)
from pushcli_server.core.fleet_state import Fleet
from pushcli_server.core.gathering import MAX_TAIL, Budget, Gathering
from pushcli_server.core.identity import JobKey, NodeKey

MAX_UNSTORED = 4 * 1024 * 1024
"""Bytes of a node's chunks that wait for the database; our agents send a fifth of it ahead."""
CHANNELS: tuple[OutputChannel, ...] = ("stdout", "stderr")
Held = Mapping[OutputChannel, Gathering]
"""What was gathered, by channel."""


class _Kept(NamedTuple):
    """What is kept of a channel.

    Args:
        dropped: bytes that are missing.
        cut_at: where the first of them would be; None: nothing is missing.
        effects: what completes the content.
    """

    content: Content = None
    dropped: int = 0
    cut_at: int | None = None
    effects: tuple[Effect, ...] = ()


def gather_chunk(
    fleet: Fleet,
    job: JobKey,
    node: NodeKey,
    held: dict[OutputChannel, Gathering],
    budget: Budget,
    message: messages.Output,
) -> list[Effect]:
    """A chunk: kept if it is the next one; either way the agent learns what is held."""
    channel, data = message.channel, decode(message.data)
    gathering, kept = held.setdefault(channel, Gathering()), b""
    effects = _settle(job, node.name, channel, gathering, message.head)
    if message.offset == gathering.received and data:
        sender, tail = fleet.node(node), gathering.tail
        at = gathering.kept if tail is None else tail.kept
        if tail is not None:
            # There is room for it: it was drawn before it was asked for.
            kept = data[: tail.size - at]
        elif not gathering.is_cut:
            kept = data[: max(budget.beginning - at, 0)]
        if sender.unstored + len(kept) > MAX_UNSTORED:
            # It does not wait for what it is told; what was acknowledged last is where it goes on.
            return effects
        gathering.received += len(data)
        if tail is not None:
            tail.kept += len(kept)
        else:
            kept = kept[: budget.draw(node.name, len(kept))]
            gathering.kept += len(kept)
        sender.unstored += len(kept)
        if kept:
            effects.append(AppendOutput(job, node.name, channel, at, kept, tail=tail is not None))
    stored = OutputStored(
        node, job.id, channel, gathering.received, len(kept), gathering.kept, gathering.is_cut
    )
    return [*effects, OnceDurable(stored)]


def ask_for_the_rest(
    job: JobKey, node: NodeKey, held: Held, budget: Budget, message: messages.Result
) -> list[Effect]:
    """Tell the agent where a channel stands of which not all is here that is to be kept."""
    heads = {"stdout": message.stdout_head, "stderr": message.stderr_head}
    for channel in CHANNELS:
        text, encoded, size = _sent(message, channel)
        gathering = held.get(channel) or Gathering()
        effects = _settle(job, node.name, channel, gathering, heads[channel])
        if size and gathering.is_cut:
            # What there is is for the ends of all channels that have any.
            cuts = sum(each.is_cut for each in held.values())
            room = min(budget.room(node.name) // cuts, budget.channel - gathering.kept)
            if gathering.begin_tail(size, room) and gathering.tail is not None:
                budget.draw(node.name, gathering.tail.size, ended=True)
                effects.append(BeginTail(job, node.name, channel, gathering.kept))
        is_there = gathering.is_cut or gathering.received == size
        is_missing = text is None and encoded is None and size and not is_there
        if effects or is_missing:
            stored = OutputStored(node, message.job_id or "", channel, gathering.received)
            return [*effects, OnceDurable(stored)]
    return []


def keep(
    job: JobKey, node: str, held: Held, budget: Budget, message: messages.Result
) -> list[Effect]:
    """Store what came with the result, or before it."""
    kept = {
        channel: _content(job, node, channel, held.get(channel), budget, message)
        for channel in CHANNELS
    }
    dropped = {"stdout": message.stdout_dropped, "stderr": message.stderr_dropped}
    cuts = {"stdout": message.stdout_cut_at, "stderr": message.stderr_cut_at}
    for channel, one in kept.items():
        known = [at for at in (one.cut_at, cuts[channel]) if at is not None]
        kept[channel] = one._replace(
            dropped=one.dropped + (dropped[channel] or 0), cut_at=min(known, default=None)
        )
    return _stored(job, node, kept)


def keep_what_came(job: JobKey, node: str, held: Held) -> list[Effect]:
    """Store what was gathered of a node whose part is over without a result."""
    if not any(gathering.received for gathering in held.values()):
        return []
    kept = {
        channel: _gathered(job, node, channel, gathering, gathering.received)
        for channel, gathering in held.items()
    }
    return _stored(job, node, kept)


def declined(node: NodeKey, message: messages.Output) -> Effect:
    """The agent need not send it again."""
    end = message.offset + len(decode(message.data))
    stored = OutputStored(node, message.job_id or "", message.channel, end, enough=True)
    return OnceDurable(stored)


def decode(data: str) -> bytes:
    """Base64; what is none is nothing, and the agent sends it again."""
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _stored(job: JobKey, node: str, kept: Mapping[OutputChannel, _Kept]) -> list[Effect]:
    stdout, stderr = (kept.get(channel, _Kept()) for channel in CHANNELS)
    if stdout.content is None and stderr.content is None:
        return []
    stored = StoreOutput(
        job=job,
        node=node,
        stdout=stdout.content,
        stderr=stderr.content,
        stdout_dropped=stdout.dropped,
        stderr_dropped=stderr.dropped,
        stdout_cut_at=stdout.cut_at,
        stderr_cut_at=stderr.cut_at,
    )
    sizes: dict[OutputChannel, int] = {}
    for channel, one in kept.items():
        if one.content is not None:
            sizes[channel] = (
                one.content.size if isinstance(one.content, Gathered) else len(one.content)
            )
    shown = OnceDurable(OutputKept(job, node, sizes))
    return [*stdout.effects, *stderr.effects, stored, shown]


def _content(
    job: JobKey,
    node: str,
    channel: OutputChannel,
    gathering: Gathering | None,
    budget: Budget,
    message: messages.Result,
) -> _Kept:
    text, encoded, size = _sent(message, channel)
    if encoded is not None:
        return _whole(job, node, channel, gathering, budget, decode(encoded))
    if text is not None:
        # As much as one message holds.
        return _Kept(text.encode("utf-8", "surrogatepass"))
    if size and gathering is not None and (gathering.is_cut or gathering.received == size):
        return _gathered(job, node, channel, gathering, size)
    return _Kept(None if size is None or size else b"")


def _gathered(
    job: JobKey, node: str, channel: OutputChannel, gathering: Gathering, size: int
) -> _Kept:
    """What was gathered of so many bytes, with a mark where some are missing."""
    kept, tail = gathering.kept, gathering.tail
    if tail is not None:
        left_out = gathering.left_out
        mark = _left_out(left_out) if left_out else b""
        joined = JoinTail(job, node, channel, kept, mark)
        content = Gathered(kept + len(mark) + tail.kept)
        return _Kept(content, left_out, kept if left_out else None, (joined,))
    if not gathering.is_cut:
        return _Kept(Gathered(kept))
    cut = max(size - kept, 0)
    mark = b"\n[output cut: %d more bytes]\n" % cut
    append = AppendOutput(job, node, channel, kept, mark)
    return _Kept(Gathered(kept + len(mark)), cut, kept, (append,))


def _whole(
    job: JobKey,
    node: str,
    channel: OutputChannel,
    gathering: Gathering | None,
    budget: Budget,
    data: bytes,
) -> _Kept:
    """Output that came with the result, whatever came of it before."""
    before = 0 if gathering is None else gathering.kept
    wanted = min(len(data), budget.channel)
    room = before + budget.draw(node, max(wanted - before, 0), ended=True)
    left_out, cut_at = len(data) - room, None
    if left_out > 0:
        # What readers have seen of it stays where it is.
        cut_at = max(room - min(room // 2, MAX_TAIL), before)
        data = data[:cut_at] + _left_out(left_out) + data[cut_at + left_out :]
    left_out = max(left_out, 0)
    if gathering is None:
        return _Kept(data, left_out, cut_at)
    # What is gathered in a file stays in that file, or it would be left behind.
    append = AppendOutput(job, node, channel, 0, data, cut=True)
    return _Kept(Gathered(len(data)), left_out, cut_at, (append,))


def _left_out(count: int) -> bytes:
    """As agents mark what they leave out."""
    return f"\n... {count:,} bytes left out ...\n".encode()


def _settle(
    job: JobKey, node: str, channel: OutputChannel, gathering: Gathering, head: int | None
) -> list[Effect]:
    """The command ended: what is not as it was while it ran goes."""
    if not gathering.settle(head):
        return []
    return [AppendOutput(job, node, channel, gathering.kept, b"", cut=True)]


def _sent(
    message: messages.Result, channel: OutputChannel
) -> tuple[str | None, str | None, int | None]:
    """A channel as text, in base64, or only its size."""
    if channel == "stdout":
        return message.stdout, message.stdout_base64, message.stdout_size
    return message.stderr, message.stderr_base64, message.stderr_size
