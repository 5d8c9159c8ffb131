"""The heartbeat broadcast: PUB, plain text, signed with the server's RSA keys."""

import asyncio
import time
from collections.abc import Sequence

import zmq
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli.errors import StartError
from pushcli.protocol import messages, wire
from pushcli_server.channel.broker import rfc1123_now
from pushcli_server.listener import BACKLOG


class HeartbeatBroadcast:
    """Says every interval (seconds) that this incarnation of the server lives."""

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        *,
        server: str,
        incarnation_id: str,
        interval: float,
    ) -> None:
        self._keys: Sequence[RSAPrivateKey] = ()
        self._server = server
        self._incarnation_id = incarnation_id
        self._interval = interval
        self._sequence = 0
        self._socket = context.socket(zmq.PUB)
        self._socket.linger = 0
        self._socket.backlog = BACKLOG
        # Subscriptions are all that a peer may send here.
        self._socket.maxmsgsize = 1024
        self._socket.sndhwm = 10

    def bind(self, endpoint: str) -> None:
        """Take the port.

        Raises:
            StartError: it is taken, or not ours.
        """
        self._socket.ipv6 = "[" in endpoint
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise StartError(
                f"cannot listen on {endpoint}: {error.strerror}",
                "end what uses it or change server_heartbeat_port in server.toml",
            ) from error

    def serve(self, keys: Sequence[RSAPrivateKey]) -> None:
        """Send each heartbeat once for each of these keys from now on, signed with it.

        An agent drops those that the key it knows did not sign.
        """
        self._keys = keys

    async def run(self) -> None:
        """Beat until cancelled or closed, without drift."""
        due = time.monotonic()
        while not self._socket.closed:
            self.beat()
            due = max(due + self._interval, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    def beat(self) -> None:
        """Send one heartbeat (about 1 ms a key, for the signature)."""
        message = messages.ServerHeartbeat(
            sequence=self._sequence,
            timestamp=rfc1123_now(),
            server=self._server,
            incarnation_id=self._incarnation_id,
        )
        self._sequence += 1
        body = messages.encode(message)
        for key in self._keys:
            self._socket.send_multipart(wire.seal_broadcast(body, key))

    def close(self) -> None:
        """No more heartbeats."""
        self._socket.close()
