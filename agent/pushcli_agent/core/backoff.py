"""How long to wait before something is tried or sent again."""

from collections.abc import Callable


def backoff(random: Callable[[], float], first: float, attempts: int, longest: float) -> float:
    """Seconds to wait after so many attempts: twice as long each time, and up to a half shorter, so
    that a fleet whose messages came at once does not send them again at once.
    """
    return min(first * 2.0 ** min(attempts, 16), longest) * (0.5 + 0.5 * random())
