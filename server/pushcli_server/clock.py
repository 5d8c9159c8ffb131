"""The time that the state machines are given."""

import time


class Clock:
    """Seconds since the epoch that only go forward, one per second.

    Deadlines are stored and must hold over a restart, so they are times of day; but a
    clock that is set while the server runs must not fire or stall them.
    """

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        """The time of day at the server's start, plus what has passed since."""
        return time.monotonic() + self._offset
