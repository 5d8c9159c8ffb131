"""Which event concerns what.

`handle(agent, event, now)` changes the state and returns what is to be done, in order;
`agent.deadline()` says when `TimePassed` is due. Duplicate, late and unknown messages of
the server are ordinary events; an impossible call of our own raises.
"""

from typing import assert_never

from pushcli.protocol import messages
from pushcli_agent.core import delivery, link, live, notes, work
from pushcli_agent.core.effects import Effect
from pushcli_agent.core.events import (
    CommandReceived,
    CommitRefused,
    ConfigFailed,
    Configured,
    Connected,
    Disconnected,
    Event,
    JobEnded,
    MalformedReceived,
    OutputGrown,
    ReconfigureRequested,
    ServerHeard,
    Started,
    SupervisorStarted,
    TimePassed,
    WhitelistChanged,
)
from pushcli_agent.core.state import Agent


def handle(agent: Agent, event: Event, now: float) -> list[Effect]:
    """Take one event in; what is to be done comes out, in order.

    Raises:
        ValueError: an event that cannot be, such as a refusal of what was not asked.
    """
    effects = _handle(agent, event, now)
    link.note_change(agent, now)
    return effects


def _handle(agent: Agent, event: Event, now: float) -> list[Effect]:
    match event:
        case Started():
            return [*work.adopt(agent, event, now), *link.fetch(agent)]
        case Configured():
            effects = link.configured(agent, event.config, now)
            return effects + notes.configured(agent, event.facts)
        case ConfigFailed():
            return link.config_failed(agent, event, now)
        case Connected():
            return link.connected(agent, now)
        case Disconnected():
            return link.disconnected(agent, now)
        case CommandReceived() | MalformedReceived():
            return _received(agent, event, now)
        case ServerHeard():
            return link.server_heard(agent, event.message, now)
        case SupervisorStarted():
            return work.supervisor_started(agent, event)
        case CommitRefused():
            return work.refused(agent, event)
        case JobEnded():
            return work.ended(agent, event, now)
        case OutputGrown():
            return live.grown(agent, event, now)
        case WhitelistChanged():
            return notes.whitelist_changed(agent, event.digest)
        case ReconfigureRequested():
            return link.reconfigure(agent, now)
        case TimePassed():
            due = delivery.time_passed(agent, now)
            return [*link.time_passed(agent, now), *due, *live.time_passed(agent, now)]
        case _:
            assert_never(event)


def _received(agent: Agent, event: CommandReceived | MalformedReceived, now: float) -> list[Effect]:
    # What a lost connection left behind cannot be answered; the server will send it again.
    if not agent.link.connected:
        return []
    effects = link.proven(agent, now)
    if isinstance(event, MalformedReceived):
        return effects + work.malformed(event.kind, event.reason)
    return effects + _command(agent, event.message, now)


def _command(agent: Agent, message: messages.CommandMessage, now: float) -> list[Effect]:
    match message:
        case messages.Commit():
            return work.commit(agent, message)
        case messages.Run():
            return work.run(agent, message, now)
        case messages.Abort():
            return work.abort(agent)
        case messages.AckResult():
            return delivery.acknowledged(agent, message, now)
        case messages.AckOutput():
            return delivery.held(agent, message, now) or live.held(agent, message, now)
        case messages.Whitelist():
            return notes.whitelist(agent, message)
        case messages.Check():
            return notes.check(agent, message)
        case messages.Ack():
            return []
        case messages.Beat():
            return link.beaten(agent, message, now)
        case _:
            assert_never(message)
