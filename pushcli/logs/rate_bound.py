"""How often the same thing is said in a log, whoever causes it: the rest is counted."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

PERIOD = 60.0
"""Seconds."""
MOST = 30
"""Lines of one kind about one source in that time."""
MOST_OF_A_KIND = 120
"""Lines of one kind, whoever it is about."""
_REMEMBERED = 2048


@dataclass(slots=True)
class _Window:
    began: float
    said: int = 0
    left_out: int = 0


class RateBound:
    """Says which lines are written. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._windows: OrderedDict[Hashable, _Window] = OrderedDict()

    def admits(self, kind: Hashable, source: Hashable, now: float) -> bool:
        """Whether one more line of this kind about this source is written."""
        for key, most in (((kind, source), MOST), ((kind,), MOST_OF_A_KIND)):
            window = self._windows.get(key)
            if window is None or (not window.left_out and now - window.began >= PERIOD):
                self._windows.pop(key, None)
                window = self._windows[key] = _Window(now)
            if window.said >= most:
                window.left_out += 1
                return False
            window.said += 1
        while len(self._windows) > _REMEMBERED:
            self._windows.popitem(last=False)
        return True

    def left_out(self, now: float) -> list[tuple[Hashable, int]]:
        """By kind, how many lines were not written in periods that are over; told once."""
        over = [
            (key, window)
            for key, window in self._windows.items()
            if window.left_out and now - window.began >= PERIOD
        ]
        found: dict[Hashable, int] = {}
        for key, window in over:
            del self._windows[key]
            kind = key[0] if isinstance(key, tuple) else key
            found[kind] = found.get(kind, 0) + window.left_out
        return list(found.items())
