"""The command channel: a ROUTER behind CURVE that hands verified messages to the hub.

The socket is drained in slices, so that neither a flood nor a fleet that answers at once
keeps the event loop from its other work; libzmq's descriptor is edge-triggered, so every
slice ends only when the socket is empty or the next slice is scheduled.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

import zmq

from pushcli import messages, wire
from pushcli.errors import StartError
from pushcli.timestamps import format_rfc1123
from pushcli_server.channel.admissions import Admission, Admissions
from pushcli_server.channel.drops import Drops

SLICE = 0.004
"""Seconds of the event loop that one turn may take."""
MAX_MESSAGE_SKEW = 300.0
BACKLOG = 4096
"""A fleet reconnects at once; libzmq's default of 100 leaves half of it waiting."""
SEND_QUEUE = 1000

Receive = Callable[[Admission, str, bytes, messages.NodeMessage], None]
"""Admission, the peer's address, its routing id, the message."""
_M = TypeVar("_M", bound=messages.Message)


class Broker:
    """Sends and receives on the command channel.

    Args:
        context: a plain ZeroMQ context.
        curve_secret_key: the server's, Z85.
        admissions: which keys prove which nodes.
        receive: called with the admission, the address, the routing id and the message.
        now: seconds since the epoch, which messages' timestamps are held against.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        curve_secret_key: bytes,
        admissions: Admissions,
        receive: Receive,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.drops = Drops()
        self._now = now
        self._admissions = admissions
        self._receive = receive
        self._sequences: dict[bytes, int] = {}
        self._scheduled = False
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._socket = socket = context.socket(zmq.ROUTER)
        self._fd = int(socket.getsockopt(zmq.FD))
        socket.curve_server = True
        socket.curve_secretkey = curve_secret_key
        socket.zap_domain = b"pushcli"
        socket.linger = 500
        socket.maxmsgsize = wire.MAX_MESSAGE
        socket.backlog = BACKLOG
        socket.sndhwm = SEND_QUEUE
        socket.rcvhwm = SEND_QUEUE
        socket.ipv6 = False
        # Dead connections are noticed by TCP too, long after the heartbeats did.
        socket.tcp_keepalive = 1
        # To a peer that is gone or full a send fails instead of vanishing.
        socket.router_mandatory = True

    def bind(self, endpoint: str) -> None:
        """Take the port.

        Raises:
            StartError: it is taken, or not ours.
        """
        bind(self._socket, endpoint, "command_port")
        self._loop.add_reader(self._fd, self._schedule)
        self._schedule()

    @property
    def endpoint(self) -> str:
        """Where it listens, with the port that `*` became."""
        return str(self._socket.get_string(zmq.LAST_ENDPOINT))

    def close(self) -> None:
        """Stop at once; what was sent has half a second to leave."""
        self._closed = True
        self._loop.remove_reader(self._fd)
        self._socket.close()

    def send(self, peer: bytes, session_key: bytes, kind: type[_M], **fields: Any) -> bool:
        """Sign and send one message; False if the peer is gone or reads too slowly."""
        sequence = self._sequences.get(peer, 0) + 1
        self._sequences[peer] = sequence
        message = kind(sequence=sequence, timestamp=rfc1123_now(), **fields)
        frames = wire.seal(messages.encode(message), session_key)
        try:
            self._socket.send_multipart([peer, *frames], zmq.NOBLOCK)
        except zmq.Again:
            self.drops.drop(peer.hex(), "its send queue is full", time.monotonic())
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return False
        finally:
            self._schedule()
        return True

    def forget(self, peer: bytes) -> None:
        """This routing id is not used any more."""
        self._sequences.pop(peer, None)

    def _schedule(self) -> None:
        # Also after a send, which may have swallowed the descriptor's edge. One at a time:
        # slices that were scheduled twice over would add up to one long block.
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        self._scheduled = False
        if self._closed:
            return
        end = time.monotonic() + SLICE
        while time.monotonic() < end:
            try:
                frames = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            self._take(frames)
        self._schedule()

    def _take(self, frames: "list[zmq.Frame]") -> None:
        key = str(frames[-1].get("User-Id"))
        admission = self._admissions.owner(key)
        if admission is None:
            self.drops.drop(str(frames[-1].get("Peer-Address")), "unknown key", time.monotonic())
            return
        try:
            message = _verified([frame.bytes for frame in frames[1:]], admission, self._now())
        except ValueError as error:
            self.drops.drop(admission.node, str(error), time.monotonic())
            return
        address = str(frames[-1].get("Peer-Address"))
        self._receive(admission, address, frames[0].bytes, message)


def bind(socket: "zmq.Socket[bytes]", endpoint: str, setting: str) -> None:
    """Bind, with errors that name the setting.

    Raises:
        StartError: the endpoint is taken, not ours, or no endpoint.
    """
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        raise StartError(
            f"cannot listen on {endpoint}: {error.strerror}",
            f"end what uses it or change {setting} in server.toml",
        ) from error


def rfc1123_now() -> str:
    """Now, as messages carry it."""
    return format_rfc1123(time.time())


def _verified(frames: list[bytes], admission: Admission, now: float) -> messages.NodeMessage:
    """The message of these frames, if all about it is right.

    Raises:
        ValueError: it is to be dropped; the text says why.
    """
    body = wire.unseal(frames, admission.session_key, wire.MAX_BODY_FROM_AGENT)
    message = messages.decode_node_message(body)
    if message.node != admission.node or message.org != admission.org:
        raise ValueError("it speaks for another node")
    if abs(message.time - now) > MAX_MESSAGE_SKEW:
        raise ValueError("its timestamp is too far off")
    return message
