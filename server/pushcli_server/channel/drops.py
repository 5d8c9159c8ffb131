"""Messages that were dropped: counted, and logged at most once a second per peer."""

import logging
from collections import Counter, OrderedDict

from pushcli.protocol.drops import DropReason

_log = logging.getLogger(__name__)
_REMEMBERED = 1024
_LINES = 60.0
"""Lines for all peers together at once, and in every minute that goes by."""


class Drops:
    """What a hostile or broken peer sends leaves a number and, rarely, a line."""

    def __init__(self) -> None:
        self.counts: Counter[DropReason] = Counter()
        self._logged: OrderedDict[str, float] = OrderedDict()
        self._lines, self._counted_at = _LINES, 0.0

    def drop(self, peer: str, reason: DropReason, now: float) -> None:
        """Count a drop; `peer` is who sent it (a node, else an address), `now` monotonic."""
        self.counts[reason] += 1
        if now - self._logged.get(peer, -1.0) < 1.0 or not self._may_log(now):
            return
        self._logged[peer] = now
        self._logged.move_to_end(peer)
        if len(self._logged) > _REMEMBERED:
            self._logged.popitem(last=False)
        _log.warning("dropped a message from %s: %s", peer, reason.value, extra={"peer": peer})

    def _may_log(self, now: float) -> bool:
        earned = (now - self._counted_at) * _LINES / 60
        self._lines, self._counted_at = min(_LINES, self._lines + earned), now
        if self._lines < 1:
            return False
        self._lines -= 1
        return True
