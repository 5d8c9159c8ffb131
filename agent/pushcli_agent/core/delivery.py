"""Results on their way to the server (Push Jobs protocol, section 9).

A server that acknowledges results gets each one again until it does, and large output
before it: in chunks, with a window per channel, from where the server says it stands.
Another server gets each result once. What was aborted, or lost its supervisor, has a result only
for servers that want it (extension `partial`).
"""

import math

from pushcli.protocol import messages
from pushcli.protocol.run import Outcome, OutputChannel
from pushcli_agent.core.backoff import backoff
from pushcli_agent.core.configuration import ServerConfig
from pushcli_agent.core.effects import DiscardSpool, Effect, ResultForm, SendOutput, SendResult
from pushcli_agent.core.state import Agent, Delivery, Live, Stream

WINDOW = 8
"""Chunks of a channel that may be under way."""
SILENCE = 4.0
"""Seconds without an acknowledgement, after which what was under way is sent again."""
REPEAT, MAX_REPEAT = 10.0, 20.0
"""The same for results. On a connection that stands nothing is lost: a server that does not answer
has much to do, as where a whole fleet has a result at once, or nowhere to put it.
"""


def keep(
    agent: Agent,
    job_id: str,
    outcome: Outcome,
    now: float,
    *,
    left_over: bool,
    begun: Live | None = None,
) -> list[Effect]:
    """Take a result on, and send it if there is a connection.

    Args:
        begun: what was sent of the output while the command ran.
    """
    delivery = Delivery(
        job_id,
        outcome,
        left_over,
        {
            "stdout": Stream(outcome.stdout_size, head=_head(outcome, "stdout")),
            "stderr": Stream(outcome.stderr_size, head=_head(outcome, "stderr")),
        },
    )
    if begun is not None:
        delivery.streamed = any(stream.sent for stream in begun.streams.values())
        for channel, stream in delivery.streams.items():
            before = begun.streams[channel]
            stream.held = min(before.held, stream.head)
            stream.sent = min(before.sent, stream.head)
            stream.enough = before.enough
    agent.deliveries[job_id] = delivery
    return send(agent, delivery, now)


def _head(outcome: Outcome, channel: OutputChannel) -> int:
    """How much of a channel's beginning is what it was while the command ran."""
    size, cut_at = outcome.stdout_size, outcome.stdout_cut_at
    if channel == "stderr":
        size, cut_at = outcome.stderr_size, outcome.stderr_cut_at
    return size if cut_at is None else min(cut_at, size)


def configured(agent: Agent, config: ServerConfig) -> list[Effect]:
    """A server that keeps no score of results cannot place one of a previous run."""
    dropped = [
        d.job_id
        for d in agent.deliveries.values()
        if (d.left_over and not config.keeps_results)
        or (d.outcome.lost and not config.accepts_partial)
    ]
    for job_id in dropped:
        del agent.deliveries[job_id]
    return [DiscardSpool(job_id) for job_id in dropped]


def connected(agent: Agent, now: float) -> list[Effect]:
    """A new connection: whatever was under way on the old one is sent again."""
    effects: list[Effect] = []
    for delivery in agent.deliveries.values():
        _restart(delivery)
    for delivery in list(agent.deliveries.values()):
        if delivery.due_at == math.inf:
            effects += send(agent, delivery, now)
    return effects


def disconnected(agent: Agent) -> None:
    """Nothing can be sent until there is a new connection."""
    for delivery in agent.deliveries.values():
        delivery.due_at = math.inf


def acknowledged(agent: Agent, message: messages.AckResult, now: float) -> list[Effect]:
    """The server has stored the result."""
    if agent.deliveries.pop(message.job_id, None) is None:
        return []
    return [DiscardSpool(message.job_id), *_next_stream(agent, now)]


def held(agent: Agent, message: messages.AckOutput, now: float) -> list[Effect]:
    """The server states how much of a channel it holds."""
    delivery = agent.deliveries.get(message.job_id)
    if delivery is None:
        return []
    stream = delivery.streams[message.channel]
    is_news = message.enough is not stream.enough
    if message.size > stream.size or (message.size == stream.held and not is_news):
        return []
    # Less than it once had: it was restarted, or a chunk did not arrive. Or it had enough and wants
    # the end now: what it got beyond that it threw away.
    back = message.size < stream.held or (stream.enough and not message.enough)
    stream.enough = message.enough
    stream.held = message.size
    stream.sent = message.size if back else max(stream.sent, message.size)
    delivery.attempts = 0
    return send(agent, delivery, now)


def time_passed(agent: Agent, now: float) -> list[Effect]:
    """Repeat what was not acknowledged in time."""
    effects: list[Effect] = []
    for delivery in list(agent.deliveries.values()):
        if now >= delivery.due_at:
            attempts = delivery.attempts
            _restart(delivery)
            delivery.attempts = attempts + 1
            effects += send(agent, delivery, now)
    return effects


def send(agent: Agent, delivery: Delivery, now: float) -> list[Effect]:
    """The next that this delivery needs: chunks of output, else the result."""
    config = agent.link.config
    if config is None or not agent.link.connected:
        return []
    if not config.keeps_results:
        del agent.deliveries[delivery.job_id]
        return [_result(delivery, config), DiscardSpool(delivery.job_id)]
    if streams(delivery, config) and not delivery.all_held:
        # One at a time: a node that comes back with much to send leaves room for others.
        if delivery is not _streaming(agent, config):
            delivery.due_at = math.inf
            return []
        delivery.due_at = now + silence(agent, delivery.attempts)
        return _fill(delivery, config)
    delivery.due_at = now + backoff(agent.random, REPEAT, delivery.attempts, MAX_REPEAT)
    return [_result(delivery, config), *_next_stream(agent, now)]


def silence(agent: Agent, attempts: int) -> float:
    """Seconds for which output that was sent so often waits to be acknowledged."""
    return backoff(agent.random, SILENCE, attempts, MAX_REPEAT)


def streams(delivery: Delivery, config: ServerConfig) -> bool:
    """Whether the output goes ahead of the result, in chunks."""
    outcome = delivery.outcome
    size = outcome.stdout_size + outcome.stderr_size
    is_large = size > config.chunk or delivery.streamed
    return outcome.capture and config.accepts_output and is_large


def is_streaming(agent: Agent, config: ServerConfig) -> bool:
    """Whether the output of a command that ended is on its way."""
    return _streaming(agent, config) is not None


def _streaming(agent: Agent, config: ServerConfig) -> Delivery | None:
    waiting = (d for d in agent.deliveries.values() if streams(d, config) and not d.all_held)
    return next(waiting, None)


def _next_stream(agent: Agent, now: float) -> list[Effect]:
    config = agent.link.config
    delivery = None if config is None else _streaming(agent, config)
    if delivery is None or delivery.due_at < math.inf:
        return []
    return send(agent, delivery, now)


def _fill(delivery: Delivery, config: ServerConfig) -> list[Effect]:
    effects: list[Effect] = []
    for channel, stream in delivery.streams.items():
        if stream.enough:
            continue
        head = stream.head if _may_have_begun(delivery, config) else None
        end = min(stream.size, stream.held + WINDOW * config.chunk)
        while stream.sent < end:
            size = min(config.chunk, end - stream.sent)
            effects.append(SendOutput(delivery.job_id, channel, stream.sent, size, head))
            stream.sent += size
    return effects


def _may_have_begun(delivery: Delivery, config: ServerConfig) -> bool:
    """Whether the server may have output from before the command's end."""
    return config.accepts_stream and (delivery.streamed or delivery.left_over)


def _result(delivery: Delivery, config: ServerConfig) -> SendResult:
    form = _form(delivery, config)
    heads = None
    if form is ResultForm.SIZES and _may_have_begun(delivery, config):
        heads = (delivery.streams["stdout"].head, delivery.streams["stderr"].head)
    outcome = delivery.outcome
    cut = outcome.stdout_cut_at is not None or outcome.stderr_cut_at is not None
    return SendResult(
        delivery.job_id,
        outcome,
        form,
        config.keeps_results,
        config.accepts_partial,
        heads,
        cuts=cut and config.accepts_stream,
    )


def _form(delivery: Delivery, config: ServerConfig) -> ResultForm:
    if not delivery.outcome.capture:
        return ResultForm.BARE
    if not config.accepts_output:
        return ResultForm.TEXT
    return ResultForm.SIZES if streams(delivery, config) else ResultForm.INLINE


def _restart(delivery: Delivery) -> None:
    delivery.attempts, delivery.due_at = 0, math.inf
    for stream in delivery.streams.values():
        stream.restart()
