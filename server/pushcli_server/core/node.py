"""A node's presence (Push Jobs protocol, section 7): offline, in rehab, or online.

`handle(node, event, now)` changes the node and returns what is to be done, in order. It
sees only messages that were verified: the key was handed out to this node and signed them.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import assert_never

import msgspec

from pushcli.protocol import extensions, messages
from pushcli_server.core.identity import NodeKey

ABORT_INTERVAL = 1.0
"""Between aborts that go unanswered, in seconds."""
DEAF_GRACE = 4.0
"""An old agent that kills a command on abort is deaf and mute for about 3 s."""
QUIET_INTERVALS, LONGEST_QUIET = 10, 30.0
"""Of a quiet agent's heartbeats: so many intervals are one, or so many seconds."""
SETTLE = 1.0
"""How long to wait for the other answers when several aborts were sent."""
REVOKED = "revoked"
"""In place of a fingerprint: the key counts no more."""
REMEMBERED_INCARNATIONS = 8


class Phase(StrEnum):
    """Where a node stands."""

    OFFLINE = "offline"
    REHAB = "rehab"
    ONLINE = "online"


class Interest(Enum):
    """What the job that a message names is to us and to this node."""

    NONE = auto()
    """It names none."""
    ACTIVE = auto()
    """Live, and this node's part is not over."""
    OVER = auto()
    """Live, but this node's part is over (or it never had one)."""
    ENDED = auto()
    """Ended within the last 5 s."""
    UNKNOWN = auto()


class Patience(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The heartbeat's settings: `interval` in seconds, the threshold in intervals."""

    interval: float = 1.0
    offline_threshold: int = 3

    @property
    def quiet_interval(self) -> float:
        """Seconds between the heartbeats of agents of whom nothing is asked (extension `quiet`)."""
        return max(self.interval, min(QUIET_INTERVALS * self.interval, LONGEST_QUIET))

    @property
    def silence(self) -> float:
        """Seconds without a message that make a node offline; 0.7 of an interval of jitter."""
        return (self.offline_threshold + 0.7) * self.interval


@dataclass(slots=True, kw_only=True)
class Node:
    """One node. Times are seconds of the clock that `handle` is given."""

    key: NodeKey
    patience: Patience
    phase: Phase = Phase.OFFLINE
    incarnation: str | None = None
    retired: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED_INCARNATIONS))
    retired_at: float = -math.inf
    peer: bytes | None = None
    """The routing id of its current connection."""
    last_peer: bytes | None = None
    """The connection that it spoke on last, also while it is offline."""
    is_quiet: bool = False
    """It sends few heartbeats (extension `quiet`), since the first."""
    sequence: int = -1
    heard_at: float = -math.inf
    """When its current incarnation was heard last."""
    extensions: frozenset[str] = frozenset()
    agent: str | None = None
    """What its agent says that it is: `pushcli/0.2.0`; an old one says nothing."""
    adopting: bool = False
    """It restarted and said that it still has its jobs: no abort on its first message."""
    aborts: int = 0
    """Sent on this connection and not answered yet."""
    abort_at: float = math.inf
    settle_at: float = math.inf
    offline_at: float = math.inf
    reset_on_return: bool = False
    conflict_until: float = -math.inf
    address: str = ""
    rival_address: str = ""
    """Where the other machine of this name was heard from."""
    clock_ahead: float | None = None
    """Seconds by which its clock was ahead of ours, if what it said last was refused for it."""
    peer_key: str = ""
    """The CURVE key (Z85) of the connection that is its own."""
    curve_key: str | None = None
    """The key (Z85) of the newest configuration that was accepted."""
    is_proven: bool = False
    """Whether a message came under that key."""
    previous_curve_key: str | None = None
    """The one before it under which messages came."""
    client_key: str = ""
    """Fingerprint of its client's key by which `curve_key` was admitted, `REVOKED` if that counts
    no more; empty: not known.
    """
    previous_client_key: str = ""
    session_salt: str = ""
    """Of its client: a session key ends with the client that it was for."""
    configured_at: float = 0.0
    """When the node last got its configuration."""
    unstored: int = 0
    """Bytes of its output that wait for the database."""
    wake_at: float = math.inf
    """When the `TimePassed` comes that was asked for."""

    @property
    def org(self) -> str:
        """The organization that it belongs to."""
        return self.key.org

    @property
    def name(self) -> str:
        """Its name within the organization."""
        return self.key.name

    @property
    def spools(self) -> bool:
        """Whether it keeps its results until they are acknowledged."""
        return extensions.RESULTS in self.extensions

    @property
    def silence(self) -> float:
        """Seconds without a message that make it offline."""
        return self.patience.silence + (self.patience.quiet_interval if self.is_quiet else 0.0)

    @property
    def is_settled(self) -> bool:
        """Whether an idle heartbeat of its old agent, on its connection, is no news."""
        is_there = self.phase is Phase.ONLINE and self.is_proven
        return is_there and not self.aborts and not self.extensions

    def available(self, now: float) -> bool:
        """Whether it may be asked to commit to a job."""
        return self.phase is Phase.ONLINE and now >= self.conflict_until

    def deadline(self) -> float:
        """When `TimePassed` is due."""
        return min(self.offline_at, self.abort_at, self.settle_at)

    def why_unavailable(self, now: float) -> str:
        """One line for the operator."""
        if now < self.conflict_until:
            if self.address == self.rival_address:
                # As where the agent of Chef Push Jobs still runs beside ours.
                return f"conflict: two agents use this name (both at {self.address})"
            where = f"{self.address} and {self.rival_address}"
            return f"conflict: two machines use this name ({where})"
        why = str(Phase.OFFLINE) if self.phase is Phase.OFFLINE else "being reset (rehab)"
        if self.clock_ahead is None:
            return why
        way = "ahead of" if self.clock_ahead > 0 else "behind"
        return f"{why}: its clock is {abs(self.clock_ahead):.0f} s {way} the server's"


# --- events


class Received(msgspec.Struct, frozen=True, gc=False):
    """A verified message on a connection; `interest` is about the job that it names."""

    peer: bytes
    message: messages.NodeMessage
    interest: Interest
    address: str = ""
    """Of the peer, for the operator."""


class Configured(msgspec.Struct, frozen=True, gc=False):
    """The node's own client fetched its configuration; `new_key`: its agent restarted."""

    new_key: bool
    extensions: frozenset[str]
    adopts: frozenset[str]


class ResetRequested(msgspec.Struct, frozen=True, gc=False):
    """A job wants it aborted and idle."""


class Expelled(msgspec.Struct, frozen=True, gc=False):
    """Its client was deleted: what it runs will never be reported."""


class Revoked(msgspec.Struct, frozen=True, gc=False):
    """The key of its client by which it was admitted counts no more."""


class ClockDiffers(msgspec.Struct, frozen=True, gc=False):
    """What it said was refused: its clock is so many seconds ahead of ours, or behind."""

    seconds: float


class Stalled(msgspec.Struct, frozen=True, gc=False):
    """We stood still: what it said meanwhile may not have been read yet."""


class Asked(msgspec.Struct, frozen=True, gc=False):
    """It was asked for something that it answers at once."""


class ConnectionEnded(msgspec.Struct, frozen=True, gc=False):
    """A connection of it is gone, and no other was proven to be its own."""


class TimePassed(msgspec.Struct, frozen=True, gc=False):
    """The `deadline()` is reached."""


Event = (
    Received
    | Configured
    | ResetRequested
    | Expelled
    | Revoked
    | ClockDiffers
    | Stalled
    | Asked
    | ConnectionEnded
    | TimePassed
)


# --- effects


class SendAbort(msgspec.Struct, frozen=True, gc=False):
    """Send `abort` to the current peer."""


class SendAck(msgspec.Struct, frozen=True, gc=False):
    """Send `ack` to the current peer."""


class SendBeat(msgspec.Struct, frozen=True, gc=False):
    """Answer a heartbeat that came from this peer; `ask`: for another one."""

    peer: bytes
    ask: bool = False


class Forward(msgspec.Struct, frozen=True, gc=False):
    """The message belongs to the jobs."""

    message: messages.NodeMessage


class NotifyDown(msgspec.Struct, frozen=True, gc=False):
    """Its jobs are to know that it went silent."""

    spools: bool


class NotifyRestarted(msgspec.Struct, frozen=True, gc=False):
    """Its jobs, but for these, are gone with the previous run of the agent."""

    keeps: frozenset[str]


class NotifyDeleted(msgspec.Struct, frozen=True, gc=False):
    """Its jobs are to know that nothing will be heard of it any more."""


class NotifyReconnected(msgspec.Struct, frozen=True, gc=False):
    """Same agent, new connection."""


class NotifyOutOfRehab(msgspec.Struct, frozen=True, gc=False):
    """It has dropped everything, and what it said until then was not heard."""


class SaveNode(msgspec.Struct, frozen=True, gc=False):
    """Store its incarnation."""


Effect = (
    SendAbort
    | SendAck
    | SendBeat
    | Forward
    | NotifyDown
    | NotifyRestarted
    | NotifyDeleted
    | NotifyReconnected
    | NotifyOutOfRehab
    | SaveNode
)


def handle(node: Node, event: Event, now: float) -> list[Effect]:
    """Take one event in; what is to be done comes out, in order."""
    match event:
        case Received():
            return _received(node, event, now)
        case Configured():
            return _configured(node, event, now)
        case ResetRequested():
            return _reset(node, now)
        case Expelled():
            return _expelled(node)
        case Revoked():
            return _revoked(node)
        case ClockDiffers():
            node.clock_ahead = event.seconds
            return []
        case Stalled():
            if node.phase is not Phase.OFFLINE:
                node.offline_at = max(node.offline_at, now + node.silence + DEAF_GRACE)
            return []
        case Asked():
            # While a whole fleet answers, an answer waits for its turn.
            _expect(node, now + DEAF_GRACE)
            return []
        case ConnectionEnded():
            # It may be one before the current one: whoever is there answers.
            if not node.is_quiet or node.peer is None:
                return []
            _expect(node, now)
            return [SendBeat(node.peer, ask=True)]
        case TimePassed():
            return _time_passed(node, now)
        case _:
            assert_never(event)


def beat(node: Node, sequence: int, now: float) -> None:
    """An idle heartbeat of a node that `is_settled`: what `handle` would make of it, for less."""
    node.heard_at, node.clock_ahead = now, None
    if sequence > node.sequence:
        node.sequence = sequence
        node.offline_at = now + node.patience.silence


def _expect(node: Node, now: float) -> None:
    """A quiet agent is to be heard as soon as any other."""
    if node.is_quiet:
        node.offline_at = min(node.offline_at, now + node.patience.silence)


def _configured(node: Node, event: Configured, now: float) -> list[Effect]:
    node.extensions = event.extensions
    node.is_quiet = node.is_quiet and extensions.QUIET in node.extensions
    if not event.new_key:
        return []
    node.is_quiet = False
    node.adopting = bool(event.adopts) and extensions.ADOPT in event.extensions
    if node.incarnation is None:
        return []
    # Out of service at once, so that a job started now finds it so; it has no connection yet.
    node.phase, node.peer = Phase.REHAB, None
    node.aborts, node.abort_at, node.settle_at = 0, math.inf, math.inf
    node.offline_at = now + node.patience.silence + DEAF_GRACE
    return [NotifyRestarted(event.adopts if node.adopting else frozenset())]


def _received(node: Node, event: Received, now: float) -> list[Effect]:
    message = event.message
    if message.incarnation_id in node.retired:
        if not _is_silent(node, now):
            # Two machines under one name: the one that was displaced goes on talking.
            if now - node.retired_at > 2 * node.patience.interval:
                node.conflict_until = now + _longest_silence(node)
                node.rival_address = event.address
            return _answer(node, event)
        # The one that displaced it has stopped: the name is this one's again.
        node.retired.remove(message.incarnation_id)
        node.conflict_until = -math.inf
    node.heard_at, node.clock_ahead = now, None
    effects: list[Effect] = []
    if message.incarnation_id != node.incarnation:
        effects += _new_incarnation(node, message.incarnation_id, now)
    node.address = event.address
    if event.peer != node.peer:
        effects += _new_connection(node, event.peer)
    if message.sequence <= node.sequence:
        return effects
    node.sequence = message.sequence
    in_rehab = node.phase is Phase.REHAB
    effects += _in_rehab(node, event, now) if in_rehab else _online(node, event, now)
    if isinstance(message, messages.Heartbeat):
        node.is_quiet = extensions.QUIET in node.extensions
    deaf = DEAF_GRACE if node.phase is Phase.REHAB or node.aborts else 0.0
    node.offline_at = now + node.silence + deaf
    return [*effects, *_answer(node, event)]


def _answer(node: Node, event: Received) -> list[Effect]:
    """Also to one that was displaced: it would take the server for dead."""
    answers = extensions.QUIET in node.extensions and isinstance(event.message, messages.Heartbeat)
    return [SendBeat(event.peer)] if answers else []


def _longest_silence(node: Node) -> float:
    quiet = extensions.QUIET in node.extensions
    return node.patience.silence + (node.patience.quiet_interval if quiet else 0.0)


def _is_silent(node: Node, now: float) -> bool:
    """Whether the current incarnation has stopped, by all that may delay it."""
    return now - node.heard_at > node.silence + DEAF_GRACE


def _new_incarnation(node: Node, incarnation: str, now: float) -> list[Effect]:
    known = node.incarnation is not None
    if node.incarnation is not None:
        node.retired.append(node.incarnation)
        node.retired_at = now
    node.incarnation, node.peer, node.sequence = incarnation, None, -1
    if node.adopting:
        node.adopting, node.phase = False, Phase.ONLINE
        return [SaveNode()]
    node.phase, node.reset_on_return = Phase.OFFLINE, True
    return [SaveNode(), NotifyRestarted(frozenset())] if known else [SaveNode()]


def _new_connection(node: Node, peer: bytes) -> list[Effect]:
    """An old agent wants to hear something at once, or it takes the channel for dead."""
    node.peer, node.sequence = peer, -1
    node.aborts, node.abort_at, node.settle_at = 0, math.inf, math.inf
    if node.phase is Phase.REHAB:
        return []
    if node.reset_on_return:
        node.phase, node.reset_on_return = Phase.REHAB, False
        return []
    node.phase = Phase.ONLINE
    return [SendAck(), NotifyReconnected()]


def _in_rehab(node: Node, event: Received, now: float) -> list[Effect]:
    match event.message:
        case messages.Aborted() if node.aborts:
            node.aborts -= 1
            if node.aborts == 0:
                return _leave_rehab(node)
            node.settle_at = min(node.settle_at, now + SETTLE)
            return []
        case messages.Succeeded(spooled=True) | messages.Failed(spooled=True) | messages.Output():
            return [Forward(event.message)]
        case messages.Facts() | messages.WhitelistReport() | messages.Checked():
            return [Forward(event.message)]
        case messages.NackCommit() if event.interest is Interest.ACTIVE:
            # It crossed our abort, and stays true: another job waits for no vote of this node.
            return [Forward(event.message), *([] if node.aborts else _send_abort(node, now))]
        case _:
            return [] if node.aborts else _send_abort(node, now)


def _online(node: Node, event: Received, now: float) -> list[Effect]:
    message = event.message
    match message, event.interest:
        case messages.Aborted(), _ if node.aborts:
            node.aborts -= 1
            return []
        # Naming no job it may stand for a result that an old agent could not encode.
        case messages.Aborted(), Interest.ACTIVE | Interest.OVER | Interest.NONE:
            return [Forward(message)]
        case messages.Aborted(), _:
            return []
        case messages.Succeeded(spooled=True) | messages.Failed(
            spooled=True
        ) | messages.Output(), _:
            return [Forward(message)]
        case messages.Facts() | messages.WhitelistReport() | messages.Checked(), _:
            return [Forward(message)]
        case messages.Heartbeat(), Interest.NONE | Interest.ACTIVE:
            return [Forward(message)]
        case _, Interest.ENDED:
            return []
        case messages.Heartbeat(), _:
            return _enter_rehab(node, now)
        case _, Interest.ACTIVE | Interest.OVER:
            return [Forward(message)]
        case _:
            return _enter_rehab(node, now)


def _reset(node: Node, now: float) -> list[Effect]:
    match node.phase:
        case Phase.ONLINE:
            return _enter_rehab(node, now)
        case Phase.OFFLINE:
            node.reset_on_return = True
            return []
        case Phase.REHAB:
            # What it is being reset from may have reached it after our last abort.
            return _send_abort(node, now) if node.peer else []
        case _:
            assert_never(node.phase)


def _enter_rehab(node: Node, now: float) -> list[Effect]:
    node.phase = Phase.REHAB
    node.offline_at = max(node.offline_at, now + DEAF_GRACE)
    return _send_abort(node, now)


def _leave_rehab(node: Node) -> list[Effect]:
    """Aborts that are still unanswered stay counted: their answers may come yet."""
    node.phase = Phase.ONLINE
    node.abort_at = node.settle_at = math.inf
    return [NotifyOutOfRehab()]


def _send_abort(node: Node, now: float) -> list[Effect]:
    if not node.aborts:
        _expect(node, now + DEAF_GRACE)
    node.aborts += 1
    node.abort_at = now + ABORT_INTERVAL
    return [SendAbort()]


def _expelled(node: Node) -> list[Effect]:
    _go_offline(node)
    return [NotifyDeleted()]


def _revoked(node: Node) -> list[Effect]:
    """It may be back, with another key, and go on with what it runs."""
    if node.phase is Phase.OFFLINE:
        return []
    _go_offline(node)
    return [NotifyDown(node.spools)]


def _go_offline(node: Node) -> None:
    node.phase, node.peer = Phase.OFFLINE, None
    node.aborts, node.abort_at = 0, math.inf
    node.settle_at = node.offline_at = math.inf


def _time_passed(node: Node, now: float) -> list[Effect]:
    if now >= node.offline_at:
        _go_offline(node)
        return [NotifyDown(node.spools)]
    if now >= node.settle_at:
        return _leave_rehab(node)
    if now >= node.abort_at:
        return _send_abort(node, now)
    return []
