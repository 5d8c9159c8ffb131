"""How long a server may take, and how much it may send, before a client gives up."""

import time

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on one request. No server holds a client longer, or fills more of its memory.

    Args:
        connect: seconds to connect, TLS and a proxy included.
        silence: seconds without a byte.
        total: seconds from the request to the end of the answer.
        size: bytes of the answer's body, unpacked.
        patience: seconds to wait, in all, where the server asks to be asked again later.
    """

    connect: float = 10.0
    silence: float = 60.0
    total: float = 600.0
    size: int = 512 * 1024 * 1024
    patience: float = 10.0


class Deadline:
    """The time that is left for one exchange."""

    def __init__(self, *, silence: float, total: float) -> None:
        self._silence = silence
        self._total = total
        self._end = time.monotonic() + total

    def wait(self) -> float:
        """Seconds that the next byte may take.

        Raises:
            TimeoutError: none are left.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(left, self._silence)

    @property
    def exceeded(self) -> float:
        """After a time-out: the bound, in seconds, that was met."""
        return self._total if time.monotonic() >= self._end else self._silence
