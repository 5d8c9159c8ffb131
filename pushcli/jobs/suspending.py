"""Ctrl-Z while something is drawn: the terminal is given back, and `fg` draws anew."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pushcli.jobs.live import LiveDisplay


@contextmanager
def suspending(live: LiveDisplay) -> Iterator[None]:
    """For this time a process that is stopped leaves a clean terminal behind.

    A shell without job control has its children ignore that signal, and so do we then.
    """
    if signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        was_drawn = live.withdraw()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        # To this thread: it stands here until we are continued.
        signal.pthread_kill(threading.get_ident(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, stop)
        if was_drawn:
            live.restore()

    signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
