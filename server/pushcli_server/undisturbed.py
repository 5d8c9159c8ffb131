"""What belongs together is done together."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

_ENDING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}


@contextmanager
def undisturbed() -> Iterator[None]:
    """Whoever wants to end this process is not heard until the block ends, nor then: it is done."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield
    finally:
        while signal.sigtimedwait(_ENDING, 0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
