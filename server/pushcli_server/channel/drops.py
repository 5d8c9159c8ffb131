"""Messages that were dropped: counted, and logged at most once a second per peer."""

import logging
from collections import Counter, OrderedDict

_log = logging.getLogger(__name__)
_REMEMBERED = 1024


class Drops:
    """What a hostile or broken peer sends leaves a number and, rarely, a line."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._logged: OrderedDict[str, float] = OrderedDict()

    def drop(self, peer: str, reason: str, now: float) -> None:
        """Count a drop; `peer` is who sent it (a node, else an address), `now` monotonic."""
        self.counts[reason] += 1
        if now - self._logged.get(peer, -1.0) < 1.0:
            return
        self._logged[peer] = now
        self._logged.move_to_end(peer)
        if len(self._logged) > _REMEMBERED:
            self._logged.popitem(last=False)
        _log.warning("dropped a message from %s: %s", peer, reason)
