"""Sharing what there is little of among requestors: room for bodies, turns at long questions.

Nobody gets so much that others get nothing: each has a limit of his own, and what does not fit
waits for a while and is refused then (503).
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Hashable

from pushcli_server.rest.errors import Refused

WAIT = 10.0
"""Seconds to wait for a share."""
MAX_WAITING = 32
"""Of one requestor."""


class Shares:
    """Some amount, and who holds how much of it.

    Args:
        total: all that there is.
        each: what one requestor may hold; what he asks for at once is at most this.
        what: for the refusal, `too many ... at once`.
    """

    def __init__(self, total: int, each: int, what: str) -> None:
        self.left = total
        self._each = each
        self._what = what
        self._held: Counter[Hashable] = Counter()
        self._waiting: Counter[Hashable] = Counter()
        self._returned = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def share(self, who: Hashable, amount: int = 1) -> AsyncIterator[None]:
        """Hold so much while the block runs.

        Raises:
            Refused: 503, there was none in time, or too many of the requestor's wait already.
        """
        await self._reserve(who, amount)
        try:
            yield
        finally:
            self.left += amount
            _subtract(self._held, who, amount)
            async with self._returned:
                self._returned.notify_all()

    async def _reserve(self, who: Hashable, amount: int) -> None:
        if not self._fits(who, amount):
            await self._wait(who, amount)
        self.left -= amount
        self._held[who] += amount

    async def _wait(self, who: Hashable, amount: int) -> None:
        if self._waiting[who] >= MAX_WAITING:
            raise self._refused()
        self._waiting[who] += 1
        try:
            async with asyncio.timeout(WAIT), self._returned:
                await self._returned.wait_for(lambda: self._fits(who, amount))
        except TimeoutError:
            raise self._refused() from None
        finally:
            _subtract(self._waiting, who, 1)

    def _fits(self, who: Hashable, amount: int) -> bool:
        return amount <= self.left and self._held[who] + amount <= self._each

    def _refused(self) -> Refused:
        text = f"too many {self._what} at once; try again"
        return Refused(503, [text], {"Retry-After": "1"})


def _subtract(counter: Counter[Hashable], who: Hashable, amount: int) -> None:
    counter[who] -= amount
    if counter[who] <= 0:
        del counter[who]
