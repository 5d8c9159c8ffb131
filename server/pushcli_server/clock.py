"""The time that the state machines are given, and the date that people are told."""

import time
from collections.abc import Callable


def since_boot() -> float:
    """Seconds that only go forward, one per second, also while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Clock:
    """Two times: one for deadlines, which nobody can set, and the date.

    They agree when the server starts. Deadlines are stored as dates, to hold over a restart.

    Args:
        steady: seconds that only go forward.
        date: seconds since the epoch, by a clock that may be set at any time.
    """

    def __init__(
        self, steady: Callable[[], float] = since_boot, date: Callable[[], float] = time.time
    ) -> None:
        self._steady = steady
        self._date = date
        self._origin = date() - steady()

    def now(self) -> float:
        """For deadlines: the date of the server's start, plus the seconds since."""
        return self._steady() + self._origin

    def date(self) -> float:
        """Seconds since the epoch, as the machine's clock has it now."""
        return self._date()

    def offset(self) -> float:
        """What to add to a time for deadlines to have its date."""
        return self.date() - self.now()
