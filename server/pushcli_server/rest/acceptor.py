"""Takes connections to REST, as many as there is room for.

Whoever does not fit waits in the kernel's queue, until a connection ends or a stranger has stayed
for too long (`connections.py`).
"""

import asyncio
import logging
import socket
import ssl
import traceback
from asyncio import sslproto
from collections.abc import Callable

from pushcli_server.accepting import Acceptor
from pushcli_server.rest import transport
from pushcli_server.rest.connections import Connections
from pushcli_server.rest.http_protocol import BoundedHttp

HANDSHAKE_TIMEOUT = 10.0
SHUTDOWN_TIMEOUT = 5.0
"""Seconds for TLS to begin and to end."""
_FULL_PAUSE = 0.05
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
        # Left to itself the kernel keeps up to 4 MB for each reader who does not read, and tells
        # of one who does only once he has read a third of them.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._make = make
        self._connections = connections
        self._context = context
        self._loop = loop = asyncio.get_running_loop()
        self._beginning: dict[asyncio.Task[None], BoundedHttp] = {}
        self._reports = (
            _Report(
                lambda: connections.dropped,
                "REST: connections that proved nothing had to make room (%d now, %d dropped since"
                " the last such line)",
            ),
            _Report(
                lambda: connections.refused,
                "REST: all places are taken by requests that are worked on (%d connections now, %d"
                " refused since the last such line)",
            ),
        )
        self._acceptor = Acceptor(
            listener,
            "REST",
            self._begin,
            lambda: connections.make_room(loop.time()),
            full_pause=_FULL_PAUSE,
            spare=lambda: connections.spare(loop.time()),
        )

    def start(self) -> None:
        """Begin to accept."""
        # With TLS each connection has a buffer of this size for good.
        sslproto.SSLProtocol.max_size = _TLS_BUFFER
        transport.install()
        self._acceptor.resume()

    def close(self) -> None:
        """Accept no more, and end what has not begun."""
        self._acceptor.close()
        for task in self._beginning:
            task.cancel()

    async def wait_closed(self) -> None:
        """Nothing is left to wait for."""

    def _begin(self, accepted: socket.socket, _: str) -> None:
        protocol = self._make()
        self._connections.enter(protocol, self._loop.time())
        task = self._loop.create_task(self._connect(accepted, protocol))
        self._beginning[task] = protocol
        protocol.beginning = task
        task.add_done_callback(self._begun)
        for report in self._reports:
            report.write(len(self._connections), self._loop.time())

    async def _connect(self, accepted: socket.socket, protocol: BoundedHttp) -> None:
        tls = {} if self._context is None else _TLS_TIMES
        await self._loop.connect_accepted_socket(
            lambda: protocol, accepted, ssl=self._context, **tls
        )

    def _begun(self, task: asyncio.Task[None]) -> None:
        protocol = self._beginning.pop(task)
        protocol.beginning = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # Its frames hold what ended with it, and that holds it.
            traceback.clear_frames(error.__traceback__)
        # A handshake that fails is the other side's affair: scanners fail all day.
        if task.cancelled() or error is not None or not protocol.is_made:
            self._connections.leave(protocol)
            protocol.parser = None  # type: ignore[assignment]


class _Report:
    """A line of the log about who could not stay; one a minute.

    Args:
        count: how many there were, so far.
        text: takes how many connections there are, and how many could not stay since the last.
    """

    def __init__(self, count: Callable[[], int], text: str) -> None:
        self._count = count
        self._text = text
        self._logged = -_LOG_INTERVAL
        self._told = 0

    def write(self, present: int, now: float) -> None:
        """Write it, if there is anything new."""
        count = self._count()
        if count == self._told or now - self._logged < _LOG_INTERVAL:
            return
        _log.warning(self._text, present, count - self._told)
        self._logged, self._told = now, count


_TLS_TIMES = {
    "ssl_handshake_timeout": HANDSHAKE_TIMEOUT,
    "ssl_shutdown_timeout": SHUTDOWN_TIMEOUT,
}
