"""The command channel over all keys that are valid: a broker for each."""

import contextlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import zmq

from pushcli.errors import StartError
from pushcli.protocol import messages
from pushcli_server import listener
from pushcli_server.channel.broker import (
    SETTINGS,
    Broker,
    ClockDiffers,
    Gone,
    IsIdleBeat,
    MaxBody,
    Owner,
    Receive,
    SessionSalt,
)
from pushcli_server.channel.crowd import Limits
from pushcli_server.channel.drops import Drops
from pushcli_server.core.identity import NodeKey
from pushcli_server.secrets import Secrets

_MARK = 4
_M = TypeVar("_M", bound=messages.Message)


class CommandChannel:
    """Talks to agents that know any of the valid keys.

    A peer is named by its broker's mark and the routing id that ZeroMQ gave it.

    Args:
        context: a plain ZeroMQ context.
        owner: which keys prove which nodes, whatever key of ours they know.
        session_salt: of a node's client.
        limits: of the connections, with each key.
        is_free: whether the other ports leave room for another connection.
        silence: seconds after which a connection is given up whose other end vanished.
        max_body: how large a message each node's agent takes.
        is_idle_beat: what need not be heard again and again while more is to be read.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        owner: Owner,
        session_salt: SessionSalt,
        limits: Limits,
        max_body: MaxBody,
        silence: float,
        is_free: Callable[[], bool],
        is_idle_beat: IsIdleBeat = lambda node, message: False,
    ) -> None:
        self._is_free, self._is_idle_beat = is_free, is_idle_beat
        self._max_body = max_body
        self._silence = silence
        self._limits = limits
        self._context = context
        self._owner, self._session_salt = owner, session_salt
        self._host, self._port = "", 0
        self._marks = itertools.count()
        self._brokers: dict[bytes, Broker] = {}
        self.drops = Drops()
        self.received = Counter[type]()
        """Verified messages by their type."""
        self._mark_of: dict[bytes, bytes] = {}

    def bind(self, host: str, port: int) -> None:
        """Take the port of this numeric address; nobody is served before `serve`.

        Raises:
            StartError: it is taken, or not ours.
        """
        self._host, self._port = host, port
        listener.require_free(self._host, port, SETTINGS)

    def serve(
        self,
        valid: Iterable[Secrets],
        receive: Receive,
        clock_differs: ClockDiffers,
        gone: Gone,
    ) -> None:
        """Serve agents that know these keys, and no others: those are cut off.

        Args:
            receive: called with each verified message.
            clock_differs: called with each that is verified but for its time.
            gone: called with each node whose connection ended.

        Raises:
            StartError: the port is not ours any more.
        """
        wanted = {secrets.curve_public: secrets for secrets in valid}
        for curve_public, secrets in wanted.items():
            if curve_public not in self._mark_of:
                self._open(secrets, receive, clock_differs, gone)
        for curve_public in self._mark_of.keys() - wanted.keys():
            self._close(curve_public)

    def _open(
        self, secrets: Secrets, receive: Receive, clock_differs: ClockDiffers, gone: Gone
    ) -> None:
        mark = next(self._marks).to_bytes(_MARK, "big")
        with contextlib.ExitStack() as undoing:
            try:
                broker = Broker(
                    self._context,
                    secrets.curve_secret,
                    self._owner,
                    secrets.session_key,
                    receive,
                    self._limits,
                    mark=mark,
                    session_salt=self._session_salt,
                    clock_differs=clock_differs,
                    max_body=self._max_body,
                    gone=gone,
                    is_free=self._is_free,
                    is_idle_beat=self._is_idle_beat,
                    silence=self._silence,
                    drops=self.drops,
                    received=self.received,
                )
                undoing.callback(broker.close)
                broker.bind(self._host, self._port)
            except zmq.ZMQError as error:
                raise StartError(
                    f"cannot serve on {self._host} port {self._port}: {error.strerror}"
                ) from error
            undoing.pop_all()
        self._brokers[mark] = broker
        self._mark_of[secrets.curve_public] = mark

    def send(self, peer: bytes, node: NodeKey, kind: type[_M], **fields: Any) -> bool:
        """Sign and send one message; False if it was not sent, as `Broker.send` says."""
        broker = self._brokers.get(peer[:_MARK])
        return broker is not None and broker.send(peer, node, kind, **fields)

    def forget(self, peer: bytes) -> None:
        """This peer is not used any more."""
        if (broker := self._brokers.get(peer[:_MARK])) is not None:
            broker.forget(peer)

    @property
    def connections(self) -> int:
        """How many there are, of nodes and of strangers."""
        return sum(broker.connections for broker in self._brokers.values())

    def unread_for(self, now: float) -> float:
        """Seconds for which something may have waited to be read; `now` is monotonic."""
        return max((broker.unread_for(now) for broker in self._brokers.values()), default=0.0)

    def is_behind(self, now: float) -> bool:
        """Whether a node may have said something that was not heard; `now` is monotonic."""
        return any(broker.is_behind(now) for broker in self._brokers.values())

    def expel(self, node: NodeKey) -> None:
        """End all connections of a node; it comes back only with a key that is valid."""
        for broker in self._brokers.values():
            broker.expel(node)

    def close(self) -> None:
        """Stop at once; what was sent has half a second to leave."""
        for curve_public in list(self._mark_of):
            self._close(curve_public)

    def _close(self, curve_public: bytes) -> None:
        self._brokers.pop(self._mark_of.pop(curve_public)).close()
