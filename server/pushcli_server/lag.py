"""How long the event loop was kept from its work."""

import asyncio
import time
from collections import deque

INTERVAL = 0.01


class LoopLag:
    """Measures blocks of the event loop, in seconds, with a timer that should be punctual."""

    def __init__(self, samples: int = 60_000) -> None:
        self._lags: deque[float] = deque(maxlen=samples)

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due = time.monotonic() + INTERVAL
            await asyncio.sleep(INTERVAL)
            self._lags.append(max(0.0, time.monotonic() - due))

    def report(self) -> str:
        """One line: longest block, and percentiles, since the last report; in ms."""
        lags = sorted(self._lags)
        self._lags.clear()
        if not lags:
            return "event loop: not measured"
        p99, p999 = (lags[min(len(lags) - 1, int(len(lags) * q))] for q in (0.99, 0.999))
        return (
            f"event loop: longest block {lags[-1] * 1000:.1f} ms, "
            f"p99.9 {p999 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms, {len(lags)} samples"
        )
