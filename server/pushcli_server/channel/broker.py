"""The command channel: a ROUTER behind CURVE that hands verified messages to the fleet.

The socket is drained in slices, so that neither a flood nor a fleet that answers at once
keeps the event loop from its other work; libzmq's descriptor is edge-triggered, so every
slice ends only when the socket is empty or the next slice is scheduled.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import zmq

from pushcli.protocol import messages, wire
from pushcli.protocol.drops import Dropped, DropReason
from pushcli.protocol.keepalive import keepalive
from pushcli.protocol.timestamps import format_rfc1123
from pushcli_server.channel.crowd import Limits
from pushcli_server.channel.doorman import Doorman
from pushcli_server.channel.drops import Drops
from pushcli_server.channel.repeats import Repeats
from pushcli_server.core.identity import NodeKey
from pushcli_server.guarded import guarded
from pushcli_server.listener import listen

SLICE = 0.004
"""Seconds of the event loop that one turn may take."""
GATHER = 0.003
"""Seconds for which messages gather before a turn takes them, while many come."""
_HEAVY = 500.0
"""Messages in each second that are many."""
_SPAN = 0.05
BEHIND = 0.25
"""Seconds for which messages wait before those are left out that repeat others, and before nobody's
silence is judged: it may be broken unread."""
_OF_SILENCE = 2
"""Which part of the silence that makes a node offline is the longest that it is not heard for
that: a half."""
_FRAMES = 3
"""Of a message that are looked at: one of ours has two, and what has more is refused whole."""
_AT_ONCE, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)
"""Flags as numbers: to combine them anew for each frame takes longer than to send it."""
MAX_MESSAGE_SKEW = 300.0
SEND_QUEUE = 200
RECEIVE_QUEUE = 64
"""Messages of one peer that libzmq keeps; the rest waits on the peer's side."""
MAX_MESSAGE = wire.MAX_HEADER + wire.MAX_BODY_FROM_AGENT + 2048
"""Bytes of a frame: libzmq makes room for one before a peer has proven who it is."""
HANDSHAKE_IVL = 30_000
"""Milliseconds in which it must have: a whole fleet may come at once."""
SETTINGS = ("command_port", "zeromq_listen_address")
"""Where its port and address are set."""

Receive = Callable[[NodeKey, bytes, str, messages.NodeMessage, str], None]
"""Whose key signed it, the peer's name here, its address, the message, its CURVE key (Z85)."""
Owner = Callable[[str], NodeKey | None]
"""Whose node a CURVE key (Z85) is, if it was handed out."""
SessionKey = Callable[[str, str, str], bytes]
"""Of a node, by organization, name and its client's salt."""
SessionSalt = Callable[[NodeKey], str]
"""Of the client that a node has now."""
MaxBody = Callable[[NodeKey], int]
"""How large a body, in bytes, a node's agent takes: a larger one costs its connection."""
ClockDiffers = Callable[[NodeKey, float], None]
"""Whose clock is too far off, and by how many seconds it is ahead."""
IsIdleBeat = Callable[[NodeKey, messages.NodeMessage], bool]
"""Whether all that a node's message says is that it is there still, and has no work."""
Gone = Callable[[NodeKey], None]
"""Whose connection ended, by itself."""
_M = TypeVar("_M", bound=messages.Message)


class _WrongTime(Dropped):
    """A message is to be dropped for its timestamp; `ahead` in seconds."""

    def __init__(self, ahead: float) -> None:
        super().__init__(DropReason.SKEW)
        self.ahead = ahead


class _Traffic:
    """Whether so many messages come that it pays to let some gather."""

    def __init__(self) -> None:
        self.count = 0
        self._since = time.monotonic()
        self._heavy = False

    def is_heavy(self, now: float) -> bool:
        """By the last span of `_SPAN` seconds."""
        if now - self._since > _SPAN:
            self._heavy = self.count > _HEAVY * (now - self._since)
            self._since, self.count = now, 0
        return self._heavy


class Broker:
    """Sends and receives on the command channel.

    Args:
        context: a plain ZeroMQ context.
        curve_secret_key: the server's, Z85.
        owner: which keys prove which nodes.
        session_key: what a node's messages are signed with; asked once a client.
        receive: called with each verified message.
        limits: of its connections.
        clock_differs: called with each message that is verified but for its time.
        max_body: what is sent to a node is no larger.
        mark: what the names of this broker's peers begin with.
        gone: called with a node whose connection ended.
        is_free: whether the other ports leave room for another connection.
        silence: seconds after which TCP gives up a connection whose other end vanished.
        session_salt: of a node's client; another one means another session key.
        now: seconds since the epoch, which messages' timestamps are held against.
        is_idle_beat: what need not be heard again and again while more is to be read.
        drops, received: what is counted here, together with other brokers.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        curve_secret_key: bytes,
        owner: Owner,
        session_key: SessionKey,
        receive: Receive,
        limits: Limits,
        now: Callable[[], float] = time.time,
        mark: bytes = b"",
        *,
        session_salt: SessionSalt = lambda node: "",
        clock_differs: ClockDiffers = lambda node, seconds: None,
        max_body: MaxBody = lambda node: wire.MAX_BODY_TO_EARLIER,
        silence: float,
        gone: Gone = lambda node: None,
        is_free: Callable[[], bool] = lambda: True,
        is_idle_beat: IsIdleBeat = lambda node, message: False,
        drops: Drops | None = None,
        received: Counter[type] | None = None,
    ) -> None:
        self._clock_differs = clock_differs
        self._gone, self._is_free = gone, is_free
        self._is_idle_beat, self._silence = is_idle_beat, silence
        self._max_body = max_body
        self.drops = Drops() if drops is None else drops
        self._received = Counter[type]() if received is None else received
        self._now = now
        self._mark = mark
        self._owner = owner
        self._derive, self._session_salt = session_key, session_salt
        self._session_keys: dict[NodeKey, tuple[str, bytes]] = {}
        self._receive = receive
        self._sequences: dict[bytes, int] = {}
        self._floor = 0
        self._scheduled = False
        self._unread_since = math.inf
        self._repeats = Repeats(silence / _OF_SILENCE)
        self._left_out_at = -math.inf
        self._traffic = _Traffic()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._context, self._limits = context, limits
        self._doorman: Doorman | None = None
        self._socket = socket = context.socket(zmq.ROUTER)
        self._fd = int(socket.getsockopt(zmq.FD))
        socket.curve_server = True
        socket.curve_secretkey = curve_secret_key
        socket.zap_domain = b"pushcli"
        socket.linger = 500
        socket.maxmsgsize = MAX_MESSAGE
        socket.sndhwm = SEND_QUEUE
        socket.rcvhwm = RECEIVE_QUEUE
        socket.handshake_ivl = HANDSHAKE_IVL
        # An agent that has nothing to do sends few heartbeats: TCP watches its connection.
        alive = keepalive(silence)
        socket.tcp_keepalive, socket.tcp_keepalive_idle = 1, alive.idle
        socket.tcp_keepalive_intvl, socket.tcp_keepalive_cnt = alive.interval, alive.probes
        # To a peer that is gone or full a send fails instead of vanishing.
        socket.router_mandatory = True

    def bind(self, host: str, port: int) -> None:
        """Take the port (0: any), or share it with other brokers of ours.

        Raises:
            StartError: it is taken, or not ours.
        """
        numeric = f"[{host}]" if ":" in host else host
        self._socket.ipv6 = ":" in host
        listener = listen(host, port, SETTINGS, shared=True)
        bound = listener.getsockname()[1]
        self._doorman = Doorman(
            self._context, self._socket, bound, self._limits, self._gone, self._is_free
        )
        self._socket.setsockopt(zmq.USE_FD, listener.detach())
        self._socket.bind(f"tcp://{numeric}:{port}")
        self._loop.add_reader(self._fd, self._wake)
        self._schedule()

    @property
    def endpoint(self) -> str:
        """Where it listens, with the port that `*` became."""
        return str(self._socket.get_string(zmq.LAST_ENDPOINT))

    @property
    def connections(self) -> int:
        """How many there are, of nodes and of strangers."""
        return 0 if self._doorman is None else len(self._doorman.crowd)

    def unread_for(self, now: float) -> float:
        """Seconds for which something may have waited to be read; `now` is monotonic."""
        return max(0.0, now - self._unread_since)

    def is_behind(self, now: float) -> bool:
        """Whether a node may have said something that was not read, or was left out."""
        return self.unread_for(now) >= BEHIND or now - self._left_out_at < self._silence

    def close(self) -> None:
        """Stop at once; what was sent has half a second to leave."""
        self._closed = True
        self._loop.remove_reader(self._fd)
        if self._doorman is not None:
            self._doorman.close()
        self._socket.close()

    def send(self, peer: bytes, node: NodeKey, kind: type[_M], **fields: Any) -> bool:
        """Sign and send one message.

        Returns:
            False: the peer is gone, reads too slowly, or takes no message of this size.
        """
        sequence = self._sequences.get(peer, self._floor) + 1
        self._sequences[peer] = sequence
        message = kind(sequence=sequence, timestamp=rfc1123_now(), **fields)
        body = messages.encode(message)
        if len(body) > wire.MAX_BODY_TO_EARLIER and len(body) > self._max_body(node):
            self.drops.drop(node.name, DropReason.TOO_LARGE, time.monotonic())
            return False
        header, body = wire.seal(body, self._session_key(node))
        routing_id, send = peer[len(self._mark) :], self._socket.send
        try:
            # What can fail does so with the first frame.
            send(routing_id, _MORE)
            send(header, _MORE)
            send(body, _AT_ONCE)
        except zmq.Again:
            self.drops.drop(node.name, DropReason.SEND_QUEUE, time.monotonic())
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return False
        finally:
            self._schedule()
        return True

    def forget(self, peer: bytes) -> None:
        """This peer is not used any more."""
        # It may be used again, and its agent takes a number that does not rise for a replay.
        self._floor = max(self._floor, self._sequences.pop(peer, 0))

    def expel(self, node: NodeKey) -> None:
        """End the connections of a node; what was sent on them may be lost."""
        self._session_keys.pop(node, None)
        if self._doorman is not None:
            self._doorman.expel(node)

    def _session_key(self, node: NodeKey) -> bytes:
        """What is signed with between us and the client that the node has now."""
        salt, known = self._session_salt(node), self._session_keys.get(node)
        if known is None or known[0] != salt:
            known = self._session_keys[node] = salt, self._derive(node.org, node.name, salt)
        return known[1]

    def _schedule(self) -> None:
        # Also after a send, which may have swallowed the descriptor's edge. One at a time:
        # slices that were scheduled twice over would add up to one long block.
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self._unread_since = min(self._unread_since, time.monotonic())
            self._loop.call_soon(self._drain)

    def _wake(self) -> None:
        now = time.monotonic()
        self._unread_since = min(self._unread_since, now)
        if not self._traffic.is_heavy(now):
            self._schedule()
        elif not self._scheduled and not self._closed:
            # The descriptor stays readable until the socket was read.
            self._scheduled = True
            self._loop.remove_reader(self._fd)
            self._loop.call_later(GATHER, self._drain_gathered)

    def _drain_gathered(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._fd, self._wake)
            self._drain()

    def _drain(self) -> None:
        self._scheduled = False
        if self._closed:
            return
        end = time.monotonic() + SLICE
        while (now := time.monotonic()) < end:
            try:
                routing_id, frames = self._next_message()
            except zmq.Again:
                self._unread_since = math.inf
                self._repeats.clear()
                return
            self._traffic.count += 1
            # Whatever becomes of one message, those behind it are read: the socket has no
            # edge left that would call us.
            if now - self._unread_since < BEHIND:
                guarded(self._accept, routing_id, frames)
            else:
                guarded(self._accept_news, routing_id, frames, now)
        self._schedule()

    def _accept_news(self, routing_id: bytes, frames: "list[zmq.Frame]", now: float) -> None:
        """A message, while more waits than is read: no heartbeat that repeats the one before."""
        body = frames[-1].bytes
        if self._repeats.is_one(routing_id, body, now):
            self._received[messages.Heartbeat] += 1
            self._left_out_at = now
            return
        self._repeats.forget(routing_id)
        message = self._accept(routing_id, frames)
        if message is None:
            return
        if self._is_idle_beat(NodeKey(message.org, message.node), message):
            self._repeats.heartbeat(routing_id, body, now)

    def _next_message(self) -> "tuple[bytes, list[zmq.Frame]]":
        """Of which peer, and its frames.

        Raises:
            zmq.Again: there is none.
        """
        receive = self._socket.recv
        routing_id = receive(_AT_ONCE)
        frames = [receive(_AT_ONCE, copy=False)]
        while frames[-1].more:
            frame = receive(_AT_ONCE, copy=False)
            # A hostile peer may send millions of them.
            frames[_FRAMES - 1 :] = [frame]
        return routing_id, frames

    def _accept(self, routing_id: bytes, frames: "list[zmq.Frame]") -> messages.NodeMessage | None:
        """A message of whoever it is; it, if it is handed on."""
        address = str(frames[-1].get("Peer-Address"))
        curve_key = str(frames[-1].get("User-Id"))
        node = self._owner(curve_key)
        if node is None:
            # It was known when the connection came. Its agent learns only from the refusal of
            # the next one that it has to ask for another.
            self.drops.drop(address, DropReason.UNKNOWN_KEY, time.monotonic())
            if self._doorman is not None:
                self._doorman.end(frames[-1], address)
            return None
        try:
            message = self._verified([frame.bytes for frame in frames], node)
        except Dropped as error:
            self.drops.drop(node.name, error.reason, time.monotonic())
            if isinstance(error, _WrongTime):
                self._clock_differs(node, error.ahead)
            return None
        if self._doorman is not None:
            self._doorman.prove(frames[-1], node, address)
        self._received[type(message)] += 1
        self._receive(node, self._mark + routing_id, address, message, curve_key)
        return message

    def _verified(self, frames: list[bytes], node: NodeKey) -> messages.NodeMessage:
        """The message of these frames, if all about it is right.

        Raises:
            Dropped: anything else.
        """
        body = wire.unseal(frames, self._session_key(node), wire.MAX_BODY_FROM_AGENT)
        message = messages.decode_node_message(body)
        if (message.org, message.node) != node:
            raise Dropped(DropReason.ANOTHER_NODE)
        ahead = message.time - self._now()
        if abs(ahead) > MAX_MESSAGE_SKEW:
            raise _WrongTime(ahead)
        return message


def rfc1123_now() -> str:
    """Now, as messages carry it."""
    return format_rfc1123(time.time())
