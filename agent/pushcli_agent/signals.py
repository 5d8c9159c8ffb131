"""Signals as the loop sees them: a descriptor to poll, and what was asked for."""

import os
import signal
from types import FrameType


class Signals:
    """SIGTERM and SIGINT stop, SIGUSR1 reconfigures, SIGHUP reopens the log.

    Args:
        orphans: whether SIGCHLD is to be noticed.
    """

    def __init__(self, *, orphans: bool = False) -> None:
        self._seen: set[int] = set()
        self.fd, self._write = os.pipe()
        for end in (self.fd, self._write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        heard = [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP]
        for number in [*heard, signal.SIGCHLD] if orphans else heard:
            signal.signal(number, self._handle)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._seen.add(number)

    @property
    def stop(self) -> bool:
        """Whether the agent is to end."""
        return bool(self._seen & {signal.SIGTERM, signal.SIGINT})

    def clear(self) -> None:
        """The descriptor is to be quiet until the next signal."""
        try:
            while os.read(self.fd, 64):
                pass
        except BlockingIOError:
            pass

    def consume_reconfigure(self) -> bool:
        """Whether a reconfigure was asked for since the last call."""
        return self._consume(signal.SIGUSR1)

    def consume_hangup(self) -> bool:
        """Whether the log is to be reopened."""
        return self._consume(signal.SIGHUP)

    def consume_child(self) -> bool:
        """Whether a child ended."""
        return self._consume(signal.SIGCHLD)

    def _consume(self, number: int) -> bool:
        seen = number in self._seen
        self._seen.discard(number)
        return seen
