"""How long the event loop was kept from its work."""

import asyncio
import time
from collections import deque
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
    """

    def __init__(self, observe: Callable[[Sample], None], samples: int = 6_000) -> None:
        self._observe = observe
        self._samples: deque[Sample] = deque(maxlen=samples)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due, used = time.monotonic() + INTERVAL, time.thread_time()
            await asyncio.sleep(INTERVAL)
            lag = max(0.0, time.monotonic() - due)
            sample = Sample(lag, time.thread_time() - used)
            self._samples.append(sample)
            self._observe(sample)

    def report(self) -> str:
        """One line about the time since the last report, in ms."""
        samples = sorted(self._samples)
        self._samples.clear()
        if not samples:
            return "event loop: not measured"
        p99, p999 = (samples[min(len(samples) - 1, int(len(samples) * q))] for q in (0.99, 0.999))
        worst = max(sample.used for sample in samples)
        return (
            f"event loop: longest block {samples[-1].lag * 1000:.1f} ms, "
            f"p99.9 {p999.lag * 1000:.1f} ms, p99 {p99.lag * 1000:.1f} ms; "
            f"most processor time in one {worst * 1000:.1f} ms; {len(samples)} samples"
        )
