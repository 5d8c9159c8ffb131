"""Who is connected to REST, and who makes room when there are too many, or hold too much.

A connection is proven while it works on a request whose signature was verified. Everything
else is kept for strangers: what they sent is counted, and they go first, those that hold most
or that have been there longest. Whoever goes because others wait to come in is turned away: he is
told so, for which a tenth of all places is kept. Where nobody can go, whoever comes in is. Nothing
here does I/O; moments are seconds of any clock.
"""

from dataclasses import dataclass
from typing import Protocol

MAX_UNPROVEN_BYTES = 33_554_432
"""Of all connections together: what came in before a signature was verified."""
STAY = 2.0
"""Seconds that a stranger may stay when others wait to come in."""
LEAVE = 0.2
"""Seconds that one who is turned away may take for it then: so as many go in a second as if all
places were for those who stay, and nobody were told."""
_LEAVING_SHARE = 10
"""One place in so many is for those who are being turned away."""


class Connection(Protocol):
    """A connection, or one that is still in its TLS handshake."""

    def drop(self) -> None:
        """End it at once, without an answer."""

    def turn_away(self) -> None:
        """Say that there are too many, as soon as anything can be said, and end it then."""


@dataclass(slots=True)
class _Stranger:
    since: float
    held: int = 0


class Connections:
    """All connections of a server.

    Args:
        limit: of their number, those that are being turned away included.
        max_bytes: of what all strangers hold together.
    """

    def __init__(self, limit: int, max_bytes: int = MAX_UNPROVEN_BYTES) -> None:
        self.limit = limit
        self._most_leaving = max(1, limit // _LEAVING_SHARE)
        self.dropped = 0
        """How many strangers had to make room, so far."""
        self.refused = 0
        """How many could not come in because all places were taken by proven ones, so far."""
        self.held = 0
        """Bytes that strangers hold."""
        self._max_bytes = max_bytes
        # In the order in which they became strangers.
        self._strangers: dict[Connection, _Stranger] = {}
        self._proven: set[Connection] = set()
        # In the order in which they were turned away, and when.
        self._leaving: dict[Connection, float] = {}

    def __len__(self) -> int:
        return len(self._strangers) + len(self._proven) + len(self._leaving)

    def enter(self, connection: Connection, now: float) -> None:
        """Count a new one, unless it is counted already; it may be turned away at once."""
        if connection in self._proven or connection in self._leaving:
            return
        if connection not in self._strangers and not self._has_place:
            self.refused += 1
            self._turn_away(connection, now)
        else:
            self._strangers.setdefault(connection, _Stranger(now))

    def leave(self, connection: Connection) -> None:
        """Count one no more; it may be gone already."""
        self._proven.discard(connection)
        self._leaving.pop(connection, None)
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
        """Whether one more may come in; who has been a stranger for too long goes for it.

        Where all are proven nobody goes: who comes in is only told so.
        """
        if self._has_place:
            return True
        oldest = self._oldest_stranger(now)
        if (self._strangers and oldest is None) or not self._may_leave(now):
            return False
        if oldest is not None:
            self.leave(oldest)
            self.dropped += 1
            self._turn_away(oldest, now)
        return True

    @property
    def _has_place(self) -> bool:
        return len(self) - len(self._leaving) < self.limit - self._most_leaving

    def _turn_away(self, connection: Connection, now: float) -> None:
        self._leaving[connection] = now
        connection.turn_away()

    def spare(self, now: float) -> bool:
        """Whether one went at once: the first of those that are to go."""
        leaving = next(iter(self._leaving), None)
        if leaving is not None:
            # Counted when it was turned away.
            self.leave(leaving)
            leaving.drop()
            return True
        oldest = self._oldest_stranger(now)
        if oldest is None:
            return False
        self._drop(oldest)
        return True

    def _oldest_stranger(self, now: float) -> Connection | None:
        """If he has been there for too long."""
        oldest = next(iter(self._strangers), None)
        if oldest is None or now - self._strangers[oldest].since < STAY:
            return None
        return oldest

    def _may_leave(self, now: float) -> bool:
        """Whether there is a place for one to be turned away from."""
        if len(self._leaving) < self._most_leaving:
            return True
        oldest, since = next(iter(self._leaving.items()))
        if now - since < LEAVE:
            return False
        self.leave(oldest)
        oldest.drop()
        return True

    def _drop(self, connection: Connection) -> None:
        self.dropped += 1
        self.leave(connection)
        connection.drop()
