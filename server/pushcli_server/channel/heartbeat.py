"""The heartbeat broadcast: plain text, signed with the server's RSA keys."""

import asyncio
import time
from collections.abc import Callable, Sequence

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli.protocol import messages, wire
from pushcli_server.channel import zmtp
from pushcli_server.channel.broker import rfc1123_now
from pushcli_server.channel.crowd import Limits
from pushcli_server.channel.publisher import Publisher
from pushcli_server.listener import listen

SETTINGS = ("server_heartbeat_port", "zeromq_listen_address")
"""Where its port and address are set."""


class HeartbeatBroadcast:
    """Says every interval (seconds) that this incarnation of the server lives."""

    def __init__(self, *, server: str, incarnation_id: str, interval: float) -> None:
        self._keys: Sequence[RSAPrivateKey] = ()
        self._server = server
        self._incarnation_id = incarnation_id
        self._interval = interval
        self._sequence = 0
        self._publisher: Publisher | None = None

    def bind(self, host: str, port: int, limits: Limits, is_free: Callable[[], bool]) -> None:
        """Take the port of this numeric address, and serve whoever subscribes.

        Args:
            is_free: whether the other ports leave room for another connection.

        Raises:
            StartError: it is taken, or not ours.
        """
        self._publisher = Publisher(listen(host, port, SETTINGS), limits, is_free)

    def serve(self, keys: Sequence[RSAPrivateKey]) -> None:
        """Send each heartbeat once for each of these keys from now on, signed with it.

        An agent drops those that the key it knows did not sign.
        """
        self._keys = keys

    @property
    def connections(self) -> int:
        """How many there are."""
        return 0 if self._publisher is None else self._publisher.connections

    async def run(self) -> None:
        """Beat until cancelled, without drift."""
        due = time.monotonic()
        while self._publisher is not None:
            await self._publisher.publish(self._beat())
            due = max(due + self._interval, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    def _beat(self) -> bytes:
        """One heartbeat, as it is sent (about 1 ms a key, for the signature)."""
        message = messages.ServerHeartbeat(
            sequence=self._sequence,
            timestamp=rfc1123_now(),
            server=self._server,
            incarnation_id=self._incarnation_id,
        )
        self._sequence += 1
        body = messages.encode(message)
        return b"".join(zmtp.message(wire.seal_broadcast(body, key)) for key in self._keys)

    def close(self) -> None:
        """No more heartbeats."""
        if self._publisher is not None:
            self._publisher.close()
            self._publisher = None
