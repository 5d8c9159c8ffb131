"""Bounds on the connections of a ROUTER, which libzmq itself accepts without end.

Its monitor tells of each connection; one too many is shut down, which libzmq takes for a peer
that hung up. Before a peer has proven who it is, libzmq keeps a frame of it for as long as a
handshake may take: so the number of such connections bounds what strangers fill.
"""

import asyncio
import contextlib
import logging
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import cast

import zmq

from pushcli_server.channel.crowd import Crowd, Limits, network
from pushcli_server.core.identity import NodeKey
from pushcli_server.guarded import guarded

_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED
_AT_ONCE = 200
"""Events that one turn of the event loop handles."""
_QUIET = 60.0
_log = logging.getLogger(__name__)


class Doorman:
    """Watches the connections of one bound socket, on the running event loop.

    Args:
        is_free: whether the other ports leave room.
        gone: called with a node whose last proven connection ended by itself.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        watched: "zmq.Socket[bytes]",
        port: int,
        limits: Limits,
        gone: Callable[[NodeKey], None],
        is_free: Callable[[], bool],
    ) -> None:
        self._gone = gone
        self.refused = 0
        """Connections that were one too many."""
        self.crowd = Crowd(limits, is_free)
        self._port = port
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._told_at = float("-inf")
        self._watched = watched
        address = f"inproc://doorman-{id(self)}"
        watched.monitor(address, _EVENTS)
        self._events = context.socket(zmq.PAIR)
        # libzmq's I/O thread would stand still while its events are not read.
        self._events.rcvhwm = 0
        self._events.linger = 0
        self._events.connect(address)
        self._fd = int(self._events.getsockopt(zmq.FD))
        self._loop.add_reader(self._fd, self._drain)
        self._drain()

    def prove(self, frame: zmq.Frame, node: NodeKey, host: str) -> None:
        """A message of a node was verified: the connection that it came on is not a stranger's.

        Args:
            host: where the message came from.

        The monitor tells of handshakes, too, but not of which connection.
        """
        if self.crowd.has_unproven:
            fd = int(frame.get(zmq.SRCFD))
            # As in `end`: the number may be another connection's by now.
            if self.crowd.address(fd) != network(host):
                return
            surplus = self.crowd.prove(fd, node)
            if surplus is not None:
                self._end(surplus)

    def expel(self, node: NodeKey) -> None:
        """End the connections of a node."""
        for connection in self.crowd.owned(node):
            self._end(connection)

    def end(self, frame: zmq.Frame, host: str) -> None:
        """End the connection that this frame came on, from this address."""
        fd = int(frame.get(zmq.SRCFD))
        # The frame may have waited for longer than its connection was there.
        if self.crowd.address(fd) == network(host):
            self._end(fd)

    def close(self) -> None:
        """Watch no longer; before the watched socket is closed."""
        self._closed = True
        self._loop.remove_reader(self._fd)
        self._watched.disable_monitor()
        self._events.close()

    def _drain(self) -> None:
        if self._closed:
            return
        for _ in range(_AT_ONCE):
            try:
                frames = self._events.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            guarded(self._handle, *struct.unpack("=HI", frames[0]))
        # The descriptor has no edge left that would call us for the rest.
        self._loop.call_soon(self._drain)

    def _handle(self, event: int, fd: int) -> None:
        if event == zmq.EVENT_ACCEPTED:
            self._accepted(fd)
        elif (node := self.crowd.forget(fd)) is not None:
            self._gone(cast("NodeKey", node))

    def _accepted(self, fd: int) -> None:
        with contextlib.suppress(OSError), _copied(fd) as connection:
            # It may be gone already, and its number another's.
            if connection.getsockname()[1] != self._port:
                return
            address = network(connection.getpeername()[0])
            if not self.crowd.admit(fd, address):
                self._refuse(connection, address)

    def _end(self, fd: int) -> None:
        self.crowd.forget(fd)
        with contextlib.suppress(OSError), _copied(fd) as connection:
            if connection.getsockname()[1] == self._port:
                connection.shutdown(socket.SHUT_RDWR)

    def _refuse(self, connection: socket.socket, address: str) -> None:
        self.refused += 1
        now = time.monotonic()
        if now - self._told_at >= _QUIET:
            self._told_at = now
            _log.warning(
                "command port: %d connections are too many so far, the last from %s",
                self.refused, address,
            )  # fmt: skip
        connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def _copied(fd: int) -> Iterator[socket.socket]:
    """A copy, which stays this connection whatever libzmq does with its own meanwhile."""
    try:
        connection = socket.fromfd(fd, socket.AF_INET, socket.SOCK_STREAM)
    except OSError:
        # No descriptor is left for one, and this connection is among those that used them up.
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, fileno=fd)
        try:
            yield connection
        finally:
            connection.detach()
        return
    with connection:
        yield connection
