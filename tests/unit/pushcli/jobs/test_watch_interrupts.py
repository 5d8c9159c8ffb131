"""An interrupt may come at any moment of the wait for a feed's news."""

import gc
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, cast

from pushcli.client.feed import FeedEvent
from pushcli.jobs.watch import _Feed
from pushcli.terminal.context import App


class _Quiet:
    """A server whose job has no news."""

    def job_feed(self, job_id: str, last: str) -> Iterator[list[FeedEvent]]:
        threading.Event().wait()
        yield []

    @property
    def client(self) -> "_Quiet":
        return self


def test_no_interrupt_of_the_wait_is_lost_or_breaks_it() -> None:
    # In a process of its own: Python drops what is raised in a callback of its garbage
    # collector, and a process of tests has one.
    done = subprocess.run(
        [sys.executable, "-m", __name__], capture_output=True, text=True, timeout=19, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted 1000 times\n", "")


def _interrupt_often() -> None:
    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    gc.disable()
    feed = _Feed(cast("App", cast("Any", _Quiet())), "a" * 32, "")
    chance = random.Random(7)
    signal.signal(signal.SIGALRM, interrupt)
    interrupted = 0
    while interrupted < 1000:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.00001 + chance.random() * 0.001)
            while True:
                assert feed.next(0.0004) is None
        except KeyboardInterrupt:
            interrupted += 1
    print(f"interrupted {interrupted} times", flush=True)
    os._exit(0)


if __name__ == "__main__":
    _interrupt_often()
