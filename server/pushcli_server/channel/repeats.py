"""Heartbeats that wait unread behind others of the same node and say the same.

While more comes than can be read, thousands of agents that say once a second that they have
nothing to do would hold up the few messages that matter. Pure: times are seconds of a clock that
only goes forward.
"""

import re
from typing import NamedTuple

_VARIES = re.compile(rb'"sequence"\s*:\s*\d+|"timestamp"\s*:\s*"[^"]*"')
"""What differs between two heartbeats that say the same."""
LARGEST = 1024
"""Bytes of a body that is remembered; an ordinary heartbeat has some 300."""
MOST = 50_000
"""Connections of which one is remembered: of those that end nobody tells."""


class _Taken(NamedTuple):
    body: bytes
    at: float


class Repeats:
    """What was last taken of each connection, if that was a heartbeat.

    Args:
        pause: seconds after one was taken in which another one that says the same tells nothing.
    """

    def __init__(self, pause: float) -> None:
        self._pause = pause
        self._taken: dict[bytes, _Taken] = {}

    def __len__(self) -> int:
        return len(self._taken)

    def is_one(self, connection: bytes, body: bytes, now: float) -> bool:
        """Whether this body says what was said a moment ago. It was not verified: whoever drops it
        for that loses nothing.
        """
        taken = self._taken.get(connection)
        if taken is None or now - taken.at >= self._pause or len(body) > LARGEST:
            return False
        return taken.body == _VARIES.sub(b"", body)

    def heartbeat(self, connection: bytes, body: bytes, now: float) -> None:
        """One was verified and taken."""
        if len(body) > LARGEST:
            self.forget(connection)
        else:
            if len(self._taken) >= MOST:
                self.clear()
            self._taken[connection] = _Taken(_VARIES.sub(b"", body), now)

    def forget(self, connection: bytes) -> None:
        """Something else was taken: what is said then is news."""
        self._taken.pop(connection, None)

    def clear(self) -> None:
        """All is read."""
        self._taken.clear()
