"""Who is connected to REST, and who makes room when there are too many, or hold too much.

A connection is proven while it works on a request whose signature was verified. Everything
else is kept for strangers: what they sent is counted, and they go first, those that hold most
or that have been there longest. Nothing here does I/O; moments are seconds of any clock.
"""

from dataclasses import dataclass
from typing import Protocol

MAX_UNPROVEN_BYTES = 33_554_432
"""Of all connections together: what came in before a signature was verified."""
STAY = 2.0
"""Seconds that a stranger may stay when others wait to come in."""


class Connection(Protocol):
    """A connection, or one that is still in its TLS handshake."""

    def drop(self) -> None:
        """End it at once, without an answer."""


@dataclass(slots=True)
class _Stranger:
    since: float
    held: int = 0


class Connections:
    """All connections of a server.

    Args:
        limit: of their number.
        max_bytes: of what all strangers hold together.
    """

    def __init__(self, limit: int, max_bytes: int = MAX_UNPROVEN_BYTES) -> None:
        self.limit = limit
        self.dropped = 0
        """How many had to make room, so far."""
        self.held = 0
        """Bytes that strangers hold."""
        self._max_bytes = max_bytes
        # In the order in which they became strangers.
        self._strangers: dict[Connection, _Stranger] = {}
        self._proven: set[Connection] = set()

    def __len__(self) -> int:
        return len(self._strangers) + len(self._proven)

    def enter(self, connection: Connection, now: float) -> None:
        """Count a new one, unless it is counted already."""
        if connection not in self._proven:
            self._strangers.setdefault(connection, _Stranger(now))

    def leave(self, connection: Connection) -> None:
        """Count one no more; it may be gone already."""
        self._proven.discard(connection)
        stranger = self._strangers.pop(connection, None)
        if stranger is not None:
            self.held -= stranger.held

    def prove(self, connection: Connection) -> None:
        """The signature of its request was verified."""
        if connection in self._strangers:
            self.leave(connection)
            self._proven.add(connection)

    def rest(self, connection: Connection, now: float) -> None:
        """It has its answer: what comes next has to be proven anew."""
        if connection in self._proven or connection in self._strangers:
            self.leave(connection)
            self._strangers[connection] = _Stranger(now)

    def hold(self, connection: Connection, size: int) -> None:
        """Say how many bytes it holds by now; those that hold most go when it is too much."""
        stranger = self._strangers.get(connection)
        if stranger is None:
            return
        self.held += size - stranger.held
        stranger.held = size
        while self.held > self._max_bytes:
            self._drop(max(self._strangers, key=lambda each: self._strangers[each].held))

    def make_room(self, now: float) -> bool:
        """Whether one more may come in; who has been a stranger for too long goes for it."""
        return len(self) < self.limit or self.spare(now)

    def spare(self, now: float) -> bool:
        """Whether one went: the oldest stranger, if he has been there for too long."""
        oldest = next(iter(self._strangers), None)
        if oldest is None or now - self._strangers[oldest].since < STAY:
            return False
        self._drop(oldest)
        return True

    def _drop(self, connection: Connection) -> None:
        self.dropped += 1
        self.leave(connection)
        connection.drop()
