"""What leaves the server, in order, and only after the commit that it rests on."""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from pushcli_server.guarded import guarded

SLICE = 0.004
"""Seconds of the event loop that one turn may take."""


class Releases:
    """A queue of calls, each behind a ticket of the store.

    Tickets rise, and so does the order of the queue: whatever was added earlier is done
    earlier, for one job and for all of them.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[int, Callable[..., object], tuple[Any, ...]]] = deque()
        self._committed = 0
        self._ticket = 0
        self._scheduled = False

    def after(self, ticket: int) -> None:
        """What is added from now on rests on this commit."""
        self._ticket = max(self._ticket, ticket)

    def add(self, call: Callable[..., object], *args: Any) -> None:
        """Call in its turn, as soon as the commit is done."""
        self._queue.append((self._ticket, call, args))
        self._schedule()

    def committed(self, ticket: int) -> None:
        """The store has committed everything up to this ticket."""
        self._committed = ticket
        self._schedule()

    def _schedule(self) -> None:
        if self._queue and self._queue[0][0] <= self._committed and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        self._scheduled = False
        end = time.monotonic() + SLICE
        while self._queue and self._queue[0][0] <= self._committed and time.monotonic() < end:
            _, call, args = self._queue.popleft()
            guarded(call, *args)
        self._schedule()
