"""Messages that were dropped: counted, and logged at most once a second per source."""

import logging
from collections import Counter

_log = logging.getLogger(__name__)


class Drops:
    """What is wrong on the wire leaves a number and, rarely, a line."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._logged: dict[str, float] = {}

    def drop(self, source: str, reason: str, now: float, *, quiet: bool = False) -> None:
        """Count a drop; `source` is the socket it came from, `now` is monotonic."""
        self.counts[source] += 1
        if quiet or now - self._logged.get(source, -1.0) < 1.0:
            return
        self._logged[source] = now
        _log.warning("dropped a message on %s: %s", source, reason)
