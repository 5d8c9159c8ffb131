"""uvicorn's server over our acceptor, with a limit to the number of connections."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn

from pushcli_server.rest.acceptor import HttpAcceptor
from pushcli_server.rest.connections import Connections
from pushcli_server.rest.http_protocol import BoundedHttp

_SWEEP = 1.0
"""Seconds between two looks at who does not read."""


class HttpServer(uvicorn.Server):
    """uvicorn, but for signals, which are ours, and for how connections come in.

    Args:
        connections: all of them, with their limit.
        protocol: of each.
        answered: called with the status of each answer that the application does not give.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        connections: Connections,
        protocol: type[BoundedHttp] = BoundedHttp,
        answered: Callable[[int], None] = lambda status: None,
    ) -> None:
        super().__init__(config)
        self._answered = answered
        self._protocol = protocol
        self.connections = connections
        self._swept = 0.0

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections on these sockets."""
        await self.lifespan.startup()
        acceptors = [
            HttpAcceptor(listener, self._make, self.connections, self.config.ssl)
            for listener in sockets or ()
        ]
        for acceptor in acceptors:
            acceptor.start()
        self.servers = acceptors  # type: ignore[assignment]  # what is asked of them, they have
        self.started = True

    async def on_tick(self, counter: int) -> bool:
        """uvicorn's ten times a second: whether to end."""
        now = asyncio.get_running_loop().time()
        if now - self._swept >= _SWEEP:
            self._swept = now
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedHttp):
                    connection.sweep(now)
        return await super().on_tick(counter)

    def _make(self) -> BoundedHttp:
        return self._protocol(
            self.config,
            self.server_state,
            self.lifespan.state,
            connections=self.connections,
            answered=self._answered,
        )
