"""An interrupt may come at any moment of the wait for a feed's news."""

import random
import signal
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, cast

import pytest

from pushcli.client.feed import FeedEvent
from pushcli.jobs.watch import _Feed
from pushcli.terminal.context import App


class _Quiet:
    """A server whose job has no news."""

    def job_feed(self, job_id: str, last: str) -> Iterator[list[FeedEvent]]:
        time.sleep(5)
        yield []

    @property
    def client(self) -> "_Quiet":
        return self


@pytest.mark.timeout(30)
def test_no_interrupt_of_the_wait_is_lost_or_breaks_it() -> None:
    feed = _Feed(cast("App", cast("Any", _Quiet())), "a" * 32, "")

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    chance = random.Random(7)
    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(1000):
            with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - wherever in the loop
                signal.setitimer(signal.ITIMER_REAL, 0.00001 + chance.random() * 0.001)
                while True:
                    assert feed.next(0.0004) is None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
