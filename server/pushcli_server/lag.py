"""How long the event loop was kept from its work."""

import asyncio
import time
from array import array
from collections.abc import Callable
from typing import NamedTuple

INTERVAL = 0.01


class Sample(NamedTuple):
    """How late a timer was, and how much processor time its thread had used; seconds."""

    lag: float
    used: float


class LoopLag:
    """Measures blocks of the event loop with a timer that should be punctual.

    A block that used little of the processor was not ours: the machine had other work.

    Args:
        observe: is given each sample.
        samples: how many of the last ones are told of. They are numbers side by side: as objects
            they would take eight times the memory, and ten minutes to get there.
    """

    def __init__(self, observe: Callable[[Sample], None], samples: int = 60_000) -> None:
        self._observe = observe
        self._lags, self._used = (array("d", bytes(8 * samples)) for _ in range(2))
        self._size, self._count = samples, 0

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due, used = time.monotonic() + INTERVAL, time.thread_time()
            await asyncio.sleep(INTERVAL)
            lag = max(0.0, time.monotonic() - due)
            sample = Sample(lag, time.thread_time() - used)
            self.keep(sample)
            self._observe(sample)

    def keep(self, sample: Sample) -> None:
        """One more; it takes the oldest one's place."""
        place = self._count % self._size
        self._lags[place], self._used[place] = sample
        self._count += 1

    def report(self) -> str:
        """One line about the time since the last report, in ms."""
        count = min(self._count, self._size)
        self._count = 0
        if not count:
            return "event loop: not measured"
        lags, used = sorted(self._lags[:count]), sorted(self._used[:count])
        p99, p999 = (int(count * q) for q in (0.99, 0.999))
        return (
            f"event loop: longest block {lags[-1] * 1000:.1f} ms, "
            f"p99.9 {lags[p999] * 1000:.1f} ms, p99 {lags[p99] * 1000:.1f} ms; "
            f"processor time in one: most {used[-1] * 1000:.1f} ms, "
            f"p99.9 {used[p999] * 1000:.1f} ms; {count} samples"
        )
