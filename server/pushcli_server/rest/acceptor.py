"""Takes connections, as many as there is room for.

asyncio's own way to accept logs a traceback for each connection that finds no descriptor, many
thousands in a second, and knows no limit. Here whoever does not fit waits in the kernel's queue,
until a connection ends or a stranger has stayed for too long (`connections.py`).
"""

import asyncio
import logging
import socket
import ssl
from asyncio import selector_events, sslproto
from collections.abc import Callable

from pushcli_server.rest.connections import Connections
from pushcli_server.rest.http_protocol import BUFFER, BoundedHttp

HANDSHAKE_TIMEOUT = 10.0
SHUTDOWN_TIMEOUT = 5.0
"""Seconds for TLS to begin and to end."""
_AT_ONCE = 64
"""Connections, before others get the event loop."""
_FULL_PAUSE = 0.05
_FAILURE_PAUSE = 0.2
_LOG_INTERVAL = 60.0
_TLS_BUFFER = 16_384
_SEND_BUFFER = 131_072

_log = logging.getLogger(__name__)


class HttpAcceptor:
    """What listens; stands where uvicorn has asyncio's server.

    Args:
        make: a new connection's protocol.
        context: None: no TLS.
    """

    def __init__(
        self,
        listener: socket.socket,
        make: Callable[[], BoundedHttp],
        connections: Connections,
        context: ssl.SSLContext | None,
    ) -> None:
        self._listener = listener
        self._make = make
        self._connections = connections
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._beginning: dict[asyncio.Task[None], BoundedHttp] = {}
        self._pause: asyncio.TimerHandle | None = None
        self._logged = -_LOG_INTERVAL
        self._dropped = 0

    def start(self) -> None:
        """Begin to accept."""
        # A connection reads so much at once; with TLS each has a buffer of this size for good.
        sslproto.SSLProtocol.max_size = _TLS_BUFFER
        selector_events._SelectorSocketTransport.max_size = BUFFER  # type: ignore[attr-defined]
        self._listener.setblocking(False)
        # Left to itself the kernel keeps up to 4 MB for each reader who does not read, and tells
        # of one who does only once he has read a third of them.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._listen()

    def close(self) -> None:
        """Accept no more, and end what has not begun."""
        if self._pause is not None:
            self._pause.cancel()
        if self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener.fileno())
        for task in self._beginning:
            task.cancel()

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""

    def _listen(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener.fileno())
        self._pause = self._loop.call_later(seconds, self._listen)

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            if not self._connections.make_room(self._loop.time()):
                self._warn(f"there are {self._connections.limit} connections, which is the limit")
                self._rest(_FULL_PAUSE)
                return
            try:
                accepted, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                break
            except OSError as error:
                self._warn(f"cannot accept connections: {error.strerror}")
                self._connections.spare(self._loop.time())
                self._rest(_FAILURE_PAUSE)
                return
            self._begin(accepted)
        if self._connections.dropped > self._dropped:
            self._warn("connections that proved nothing had to make room")

    def _begin(self, accepted: socket.socket) -> None:
        protocol = self._make()
        self._connections.enter(protocol, self._loop.time())
        task = self._loop.create_task(self._connect(accepted, protocol))
        self._beginning[task] = protocol
        protocol.beginning = task
        task.add_done_callback(self._begun)

    async def _connect(self, accepted: socket.socket, protocol: BoundedHttp) -> None:
        accepted.setblocking(False)
        tls = {} if self._context is None else _TLS_TIMES
        await self._loop.connect_accepted_socket(
            lambda: protocol, accepted, ssl=self._context, **tls
        )

    def _begun(self, task: asyncio.Task[None]) -> None:
        protocol = self._beginning.pop(task)
        protocol.beginning = None
        # A handshake that fails is the other side's affair: scanners fail all day.
        if task.cancelled() or task.exception() is not None or not protocol.is_made:
            self._connections.leave(protocol)

    def _warn(self, text: str) -> None:
        now = self._loop.time()
        if now - self._logged < _LOG_INTERVAL:
            return
        dropped = self._connections.dropped - self._dropped
        self._logged, self._dropped = now, self._connections.dropped
        _log.warning(
            "REST: %s (%d now, %d dropped since the last such line)",
            text,
            len(self._connections),
            dropped,
        )


_TLS_TIMES = {
    "ssl_handshake_timeout": HANDSHAKE_TIMEOUT,
    "ssl_shutdown_timeout": SHUTDOWN_TIMEOUT,
}
