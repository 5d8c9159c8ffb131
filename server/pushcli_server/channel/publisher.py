"""The heartbeat port: whoever connects as a SUB socket gets what is published, and nothing else.

A message is made once and written to all. Nobody is known here: what a peer can make the
server keep is less than one frame of its own, and `MAX_UNSENT` bytes that it does not read.
"""

import asyncio
import contextlib
import enum
import itertools
import logging
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator

from pushcli_server.accepting import Acceptor
from pushcli_server.channel.crowd import Crowd, Limits, Pace, network
from pushcli_server.channel.zmtp import Connection, Violation

MAX_UNSENT = 16_384
"""Bytes that wait for a peer that does not read, beside as many in the kernel."""
HANDSHAKE_TIMEOUT = 30.0
SLICE = 0.002
"""Seconds of the event loop that a turn of publishing, accepting or reading may take, each."""
BURST, RATE = 2000, 200.0
"""Connections of an address at once, and in each second that goes by."""
_LOOK_AGAIN = 1.0
"""Seconds after which others may have made room."""
_READ = 4096
_STEP = 16
_UNACKNOWLEDGED = 60_000
_QUIET = 60.0
_log = logging.getLogger(__name__)


class Loss(enum.StrEnum):
    """Why a connection is closed that keeps to the protocol."""

    HANDSHAKE_TIMEOUT = "its handshake takes too long"
    READS_TOO_SLOWLY = "it reads too slowly"
    TOO_MANY = "its address has too many connections"
    TOO_FAST = "its address connects too often"


class _Peer:
    __slots__ = ("address", "connection", "deadline", "fd", "socket", "unsent")

    def __init__(self, sock: socket.socket, address: str, now: float, timeout: float) -> None:
        self.socket = sock
        self.fd = sock.fileno()
        self.address = address
        self.connection = Connection(now)
        self.deadline = now + timeout
        self.unsent = b""


class _Share:
    """Of each turn of the event loop, `SLICE` for one kind of work."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._left = SLICE
        self._renewing = False

    def has_time(self) -> bool:
        """Whether this turn has time left for it."""
        return self._left > 0

    @contextlib.contextmanager
    def spent(self) -> Iterator[None]:
        """Some of the work is done here."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._left -= time.monotonic() - started
            if not self._renewing:
                self._renewing = True
                # It runs in the next turn, before what the selector finds then.
                self._loop.call_soon(self._renew)

    def _renew(self) -> None:
        self._left, self._renewing = SLICE, False


class Publisher:
    """Serves subscribers on the running event loop.

    Args:
        listener: it listens already; it is closed with the publisher.
        limits: beyond their total others wait until one leaves; those that an address has too
            many are closed.
        is_free: whether the other ports leave room for another one.
    """

    def __init__(
        self,
        listener: socket.socket,
        limits: Limits,
        is_free: Callable[[], bool] = lambda: True,
        *,
        handshake_timeout: float = HANDSHAKE_TIMEOUT,
    ) -> None:
        self.drops: Counter[Violation | Loss] = Counter()
        """Connections that were closed, by reason; there are no other reasons."""
        self._crowd = Crowd(limits, is_free)
        self._pace = Pace(BURST, RATE)
        self._handshake_timeout = handshake_timeout
        self._loop = asyncio.get_running_loop()
        # One for each, so that neither keeps the other from its turn.
        self._accepting, self._reading = _Share(self._loop), _Share(self._loop)
        self._peers: set[_Peer] = set()
        self._subscribers: set[_Peer] = set()
        self._handshakes: dict[_Peer, None] = {}
        self._sweeping: asyncio.TimerHandle | None = None
        self._told_at, self._untold = float("-inf"), 0
        self.port: int = listener.getsockname()[1]
        _prepare(listener)
        self._acceptor = Acceptor(
            listener,
            "heartbeat port",
            self._admit,
            lambda: self._crowd.has_room,
            has_time=self._accepting.has_time,
            full_pause=_LOOK_AGAIN,
        )
        self._acceptor.resume()

    @property
    def connections(self) -> int:
        """How many there are, subscribers or not yet."""
        return len(self._peers)

    @property
    def subscribers(self) -> int:
        """How many get what is published."""
        return len(self._subscribers)

    async def publish(self, data: bytes) -> None:
        """Write to all subscribers, in slices: whoever comes meanwhile gets the next."""
        end = time.monotonic() + SLICE
        for number, peer in enumerate(tuple(self._subscribers)):
            if not number % _STEP and time.monotonic() > end:
                await asyncio.sleep(0)
                end = time.monotonic() + SLICE
            if peer in self._subscribers:
                self._send(peer, data)

    def close(self) -> None:
        """Hang up on everybody."""
        self._acceptor.close()
        for peer in list(self._peers):
            self._close(peer)
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _admit(self, sock: socket.socket, host: str) -> None:
        with self._accepting.spent():
            self._accepted(sock, network(host), time.monotonic())

    def _accepted(self, sock: socket.socket, address: str, now: float) -> None:
        surplus = None
        # libzmq comes again by itself. To let it wait would make all other addresses wait too.
        if not self._pace.allows(address, now):
            surplus = Loss.TOO_FAST
        elif not self._crowd.admit(sock.fileno(), address):
            surplus = Loss.TOO_MANY
        if surplus is not None:
            sock.close()
            self._count(address, surplus)
            return
        peer = _Peer(sock, address, now, self._handshake_timeout)
        self._peers.add(peer)
        self._handshakes[peer] = None
        self._loop.add_reader(peer.fd, self._read, peer)
        if self._sweeping is None:
            self._sweep()
        self._send(peer, peer.connection.greeting())

    def _read(self, peer: _Peer) -> None:
        # If not, the selector calls again in the next turn.
        if self._reading.has_time():
            with self._reading.spent():
                self._receive(peer)

    def _receive(self, peer: _Peer) -> None:
        try:
            data = peer.socket.recv(_READ)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            self._close(peer)
            return
        connection = peer.connection
        reply = connection.receive(data, time.monotonic())
        if connection.closed is not None:
            self._drop(peer, connection.closed)
            return
        if connection.ready and peer not in self._subscribers:
            del self._handshakes[peer]
            self._crowd.prove(peer.fd)
            self._subscribers.add(peer)
        if reply:
            self._send(peer, reply)

    def _send(self, peer: _Peer, data: bytes) -> None:
        if not peer.unsent:
            try:
                sent = peer.socket.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                self._close(peer)
                return
            if sent == len(data):
                return
            data = data[sent:]
            self._loop.add_writer(peer.fd, self._flush, peer)
        peer.unsent += data
        if len(peer.unsent) > MAX_UNSENT:
            self._drop(peer, Loss.READS_TOO_SLOWLY)

    def _flush(self, peer: _Peer) -> None:
        unsent, peer.unsent = peer.unsent, b""
        self._loop.remove_writer(peer.fd)
        self._send(peer, unsent)

    def _drop(self, peer: _Peer, reason: Violation | Loss) -> None:
        self._close(peer)
        self._count(peer.address, reason)

    def _close(self, peer: _Peer) -> None:
        self._peers.discard(peer)
        self._subscribers.discard(peer)
        self._handshakes.pop(peer, None)
        self._loop.remove_reader(peer.fd)
        if peer.unsent:
            self._loop.remove_writer(peer.fd)
        self._crowd.forget(peer.fd)
        peer.socket.close()
        self._acceptor.resume()

    def _sweep(self) -> None:
        """Close those whose handshake takes too long: the first are the oldest."""
        self._sweeping = None
        now = time.monotonic()
        for peer in tuple(itertools.islice(self._handshakes, _STEP)):
            if peer.deadline <= now:
                self._drop(peer, Loss.HANDSHAKE_TIMEOUT)
        if (first := next(iter(self._handshakes), None)) is not None:
            pause = min(1.0, max(0.0, first.deadline - now))
            self._sweeping = self._loop.call_later(pause, self._sweep)

    def _count(self, address: str, reason: Violation | Loss) -> None:
        self.drops[reason] += 1
        self._untold += 1
        now = time.monotonic()
        if now - self._told_at >= _QUIET:
            _log.warning(
                "heartbeat port: closed %d connections, the last from %s: %s",
                self._untold, address, reason.value,
            )  # fmt: skip
            self._told_at, self._untold = now, 0


def _prepare(listener: socket.socket) -> None:
    """What every accepted connection inherits."""
    # A beat is worth nothing once the next one is there.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MAX_UNSENT)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED)
