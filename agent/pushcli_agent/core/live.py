"""The output of the command that runs, on its way to the server while it grows.

The rate is bounded, and so is what is under way; a part of a chunk waits until what went before
it is acknowledged, so that a busy server gets fewer and larger ones. Output of commands that
ended goes first. What is left when this one ends goes ahead of its result (see `delivery`).
"""

import math

from pushcli.protocol import messages
from pushcli_agent.core import delivery
from pushcli_agent.core.configuration import ServerConfig
from pushcli_agent.core.effects import Effect, LookAtOutput, SendOutput
from pushcli_agent.core.events import OutputGrown
from pushcli_agent.core.state import Agent, Live

LOOK = 0.1
"""Seconds between two looks at how much there is."""
WINDOW = 4
"""Chunks that may be under way, of both channels together: heartbeats go the same way."""
RATE = 1024 * 1024
"""Bytes a second that an agent sends of commands that run."""
BURST = 256 * 1024


def begin(agent: Agent, job_id: str, now: float) -> None:
    """A command runs whose output is captured."""
    agent.live = Live(job_id, now + LOOK, allowance=BURST, allowed_at=now)


def restart(agent: Agent, now: float) -> None:
    """A new connection: whatever was under way on the old one is sent again."""
    if (live := agent.live) is not None:
        live.look_at, live.due_at, live.attempts = now, math.inf, 0
        for stream in live.streams.values():
            # Another server, or its next run, may have room.
            stream.enough = False
            stream.restart()


def grown(agent: Agent, event: OutputGrown, now: float) -> list[Effect]:
    """There is so much by now."""
    live = agent.live
    if live is None or live.job_id != event.job_id:
        return []
    stdout, stderr = live.streams["stdout"], live.streams["stderr"]
    stdout.size, stderr.size = max(stdout.size, event.stdout), max(stderr.size, event.stderr)
    return _send(agent, live, now)


def held(agent: Agent, message: messages.AckOutput, now: float) -> list[Effect]:
    """The server states how much of a channel it holds."""
    live = agent.live
    if live is None or live.job_id != message.job_id:
        return []
    stream = live.streams[message.channel]
    if message.size > stream.size:
        return []
    is_back = message.size < stream.held
    stream.held, stream.enough = message.size, message.enough
    stream.sent = message.size if is_back else max(stream.sent, message.size)
    live.attempts, live.due_at = 0, math.inf
    return _send(agent, live, now)


def time_passed(agent: Agent, now: float) -> list[Effect]:
    """See how much there is, and repeat what was not acknowledged in time."""
    live, config = agent.live, agent.link.config
    if live is None or config is None or not agent.link.connected or not config.accepts_stream:
        return []
    effects: list[Effect] = []
    if now >= live.due_at:
        live.attempts, live.due_at = live.attempts + 1, math.inf
        for stream in live.streams.values():
            stream.restart()
        effects += _send(agent, live, now)
    if now >= live.look_at:
        live.look_at = now + LOOK
        effects.append(LookAtOutput(live.job_id))
    return effects


def _send(agent: Agent, live: Live, now: float) -> list[Effect]:
    config = agent.link.config
    if config is None or not agent.link.connected or not config.accepts_stream:
        return []
    passed = max(now - live.allowed_at, 0.0)
    live.allowance, live.allowed_at = min(live.allowance + passed * RATE, BURST), now
    effects = [] if delivery.is_streaming(agent, config) else _fill(live, config)
    if live.due_at == math.inf and _under_way(live):
        live.due_at = now + delivery.silence(agent, live.attempts)
    return effects


def _fill(live: Live, config: ServerConfig) -> list[Effect]:
    effects: list[Effect] = []
    for channel, stream in live.streams.items():
        while stream.sent < stream.size and not stream.enough:
            size = min(config.chunk, stream.size - stream.sent)
            is_part = size < config.chunk
            if (is_part and stream.sent > stream.held) or size > live.allowance:
                break
            if _under_way(live) + size > WINDOW * config.chunk:
                break
            effects.append(SendOutput(live.job_id, channel, stream.sent, size))
            stream.sent += size
            live.allowance -= size
    return effects


def _under_way(live: Live) -> int:
    return sum(stream.sent - stream.held for stream in live.streams.values())
