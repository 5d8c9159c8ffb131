"""Many timers on the event loop for the price of one handle."""

import asyncio
import heapq
import math
import time
from collections.abc import Callable
from itertools import count

from pushcli_server.clock import Clock
from pushcli_server.guarded import guarded

SLICE = 0.004
"""Seconds of the event loop that one turn may take."""
LONGEST_NAP = 1.0
"""Seconds after which the clock is looked at again: the loop's own clock stands still while
the machine sleeps."""
STALL = 1.0
"""Seconds of being late that are no load but a standstill."""


class Timers:
    """Calls functions at times of a clock; a time that is infinite never comes.

    Args:
        on_stall: called with the seconds for which the program stood still, before anything
            that became due meanwhile.
    """

    def __init__(self, clock: Clock, on_stall: Callable[[float], None]) -> None:
        self._clock = clock
        self._on_stall = on_stall
        self._due = math.inf
        self._loop = asyncio.get_running_loop()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._tie = count()
        self._handle: asyncio.TimerHandle | None = None
        self._closed = False

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call once `when` has come, on the loop."""
        if math.isinf(when) or self._closed:
            return
        heapq.heappush(self._heap, (when, next(self._tie), call))
        if self._heap[0][0] == when:
            self._arm()

    def close(self) -> None:
        """Nothing is called any more."""
        self._closed = True
        self._heap.clear()
        if self._handle is not None:
            self._handle.cancel()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._heap:
            now = self._clock.now()
            delay = min(max(0.0, self._heap[0][0] - now), LONGEST_NAP)
            self._due = now + delay
            self._handle = self._loop.call_later(delay, self._fire)

    def _fire(self) -> None:
        self._handle = None
        late = self._clock.now() - self._due
        if late > STALL:
            guarded(self._on_stall, late)
        end = time.monotonic() + SLICE
        while self._heap and self._heap[0][0] <= self._clock.now() and time.monotonic() < end:
            guarded(heapq.heappop(self._heap)[2])
        self._arm()
