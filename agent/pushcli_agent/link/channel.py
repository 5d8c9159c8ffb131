"""The sockets to the server: the encrypted command channel and its heartbeats.

Push Jobs protocol, section 5. The agent's CURVE key is as old as its run: the server
takes a new one for a restart.
"""

import math
import random
import struct
import time
from collections.abc import Iterator

import zmq

from pushcli.protocol import wire
from pushcli.protocol.drops import Dropped
from pushcli.protocol.keepalive import keepalive
from pushcli_agent.core.configuration import ServerConfig
from pushcli_agent.core.events import (
    CommandReceived,
    Connected,
    Disconnected,
    MalformedReceived,
    ServerHeard,
)
from pushcli_agent.link.drops import Drops, Source
from pushcli_agent.link.incoming import Incoming

_REFUSED = (zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
_EVENTS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | _REFUSED[0] | _REFUSED[1]
_LINGER = 500
_RECONNECT = 100
_RECONNECT_MAX = 30_000
AT_ONCE = 6
"""Handshakes that are tried again at once when they are refused. A server that replaces its keys
has two sockets on its port, and every other connection meets the one with the other key: to
wait each time as for one that is down might take longer than it waits to hear of us."""
_QUEUE = 1000
_LONGEST_PATIENCE = 2**31 - 1
_Socket = zmq.Socket[bytes]


class Channel:
    """Connections to one server at a time; none before the first `open`."""

    def __init__(self) -> None:
        self._context: zmq.Context[_Socket] = zmq.Context(io_threads=1)
        self.public_key, self._secret_key = zmq.curve_keypair()
        self.drops = Drops()
        self.sockets: tuple[_Socket, ...] = ()
        """What to poll for input."""

    def open(self, config: ServerConfig) -> None:
        """Connect, in the background, instead of whatever was connected before."""
        self._close_sockets()
        self._session_key = config.session_key
        self._incoming = Incoming(config)
        self._silence = config.silence
        self._beaten_until = -math.inf
        self._address, self._refusals = config.command_addr, 0
        self._command = self._command_socket(config)
        self._monitor = self._command.get_monitor_socket(_EVENTS)
        self._command.connect(self._address)
        self._heartbeats = None if config.is_quiet else self._heartbeat_socket(config)
        self.sockets = (self._command, self._monitor)
        if self._heartbeats is not None:
            self._heartbeats.connect(config.heartbeat_addr)
            self.sockets = (*self.sockets, self._heartbeats)

    def close(self) -> None:
        """The end; what was sent has half a second to leave."""
        self._close_sockets()
        self._context.term()

    def send(self, body: bytes) -> bool:
        """Sign and send; False if there is no connection or it is full."""
        try:
            self._command.send_multipart(wire.seal(body, self._session_key), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(
        self,
    ) -> Iterator[CommandReceived | MalformedReceived | Connected | Disconnected | ServerHeard]:
        """All that has come in.

        Commands come first, so that none of an old connection is taken for one of the
        connection that the monitor tells of: on that the server is mute until we speak.
        """
        sockets = self.sockets
        if not sockets:
            return
        yield from self._commands()
        # Whoever takes the events may have opened other sockets meanwhile.
        if self.sockets is sockets:
            yield from self._connections()
        if self.sockets is sockets:
            yield from self._beats()

    def _commands(self) -> Iterator[CommandReceived | MalformedReceived]:
        for frames in _drain(self._command):
            try:
                event = self._incoming.command(frames)
            except Dropped as error:
                self.drops.drop(Source.COMMANDS, error, time.monotonic())
            else:
                yield event

    def _connections(self) -> Iterator[Connected | Disconnected]:
        for frames in _drain(self._monitor):
            (event,) = struct.unpack_from("=H", frames[0])
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._refusals = 0
                self._incoming.new_connection()
                yield Connected()
            elif event in _REFUSED:
                self._refused()
            else:
                yield Disconnected()

    def _refused(self) -> None:
        """Try at once, from another port of ours; after some times as ZeroMQ does by itself."""
        if self._refusals < AT_ONCE:
            self._refusals += 1
            self._command.disconnect(self._address)
            self._command.connect(self._address)

    def _beats(self) -> Iterator[ServerHeard]:
        if self._heartbeats is None:
            return
        for frames in _drain(self._heartbeats):
            now = time.monotonic()
            try:
                event = self._incoming.broadcast(frames)
            except Dropped as error:
                # A server that replaces its keys signs each heartbeat with both for a while:
                # what one key does not verify is news only when nothing verifies.
                quiet = now < self._beaten_until
                self.drops.drop(Source.HEARTBEATS, error, now, quiet=quiet)
            else:
                self._beaten_until = now + self._silence
                yield event

    def _command_socket(self, config: ServerConfig) -> _Socket:
        socket = self._socket(zmq.DEALER, config.command_addr)
        socket.curve_serverkey = config.curve_public_key.encode("ascii")
        socket.curve_publickey = self.public_key
        socket.curve_secretkey = self._secret_key
        socket.sndhwm = socket.rcvhwm = _QUEUE
        socket.linger = _LINGER
        # Without a connection a send fails at once, instead of arriving when it is stale.
        socket.immediate = True
        # A connection whose other end vanished is given up as soon as heartbeats would be.
        patience = max(3.0, config.offline_threshold * config.interval)
        socket.setsockopt(zmq.TCP_MAXRT, int(min(patience * 1000, _LONGEST_PATIENCE)))
        alive = keepalive(patience)
        socket.tcp_keepalive, socket.tcp_keepalive_idle = 1, alive.idle
        socket.tcp_keepalive_intvl, socket.tcp_keepalive_cnt = alive.interval, alive.probes
        return socket

    def _heartbeat_socket(self, config: ServerConfig) -> _Socket:
        socket = self._socket(zmq.SUB, config.heartbeat_addr)
        socket.rcvhwm = 100
        socket.linger = 0
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        return socket

    def _socket(self, kind: int, address: str) -> _Socket:
        socket = self._context.socket(kind)
        socket.maxmsgsize = wire.MAX_MESSAGE_FROM_SERVER
        # libzmq doubles it each time; a fleet that lost its server should not come in step.
        socket.reconnect_ivl = int(_RECONNECT * (1 + random.random()))  # noqa: S311
        socket.reconnect_ivl_max = _RECONNECT_MAX
        # With IPv6 on, a name that has both kinds of address would be tried by IPv6 only.
        socket.ipv6 = "[" in address
        return socket

    def _close_sockets(self) -> None:
        if self.sockets:
            self._command.disable_monitor()
            self._monitor.close(0)
        for socket in self.sockets:
            socket.close()
        self.sockets = ()


def _drain(socket: _Socket) -> Iterator[list[bytes]]:
    while not socket.closed:
        try:
            yield socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
