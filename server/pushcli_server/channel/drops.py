"""Messages that were dropped: counted, and logged at most once a second per peer."""

import logging
from collections import Counter, OrderedDict

import msgspec

from pushcli.protocol.drops import DropReason

_log = logging.getLogger(__name__)
_REMEMBERED = 1024
_LINES = 60.0
"""Lines for all peers together at once, and in every minute that goes by."""
_OF_OURS = frozenset({DropReason.SEND_QUEUE, DropReason.TOO_LARGE})
"""Why a message of ours is not sent."""
_PAUSE = 1.0
_PAUSES = {DropReason.UNKNOWN_KEY: 60.0}
"""Seconds between two lines about a peer. Behind one address there may be many of unknown keys,
and each comes again and again."""


class _Logged(msgspec.Struct, gc=False):
    at: float
    left_out: int = 0


class Drops:
    """What a hostile or broken peer sends leaves a number and, rarely, a line."""

    def __init__(self) -> None:
        self.counts: Counter[DropReason] = Counter()
        self._logged: OrderedDict[str, _Logged] = OrderedDict()
        self._lines, self._counted_at = _LINES, 0.0

    def drop(self, peer: str, reason: DropReason, now: float) -> None:
        """Count a drop; `peer` is the other end (a node, else an address), `now` monotonic."""
        self.counts[reason] += 1
        before = self._logged.get(peer)
        if before is not None and now - before.at < _PAUSES.get(reason, _PAUSE):
            before.left_out += 1
            return
        if not self._may_log(now):
            return
        self._logged[peer] = _Logged(now)
        self._logged.move_to_end(peer)
        if len(self._logged) > _REMEMBERED:
            self._logged.popitem(last=False)
        left_out = f" ({before.left_out} more before it)" if before and before.left_out else ""
        way = "to" if reason in _OF_OURS else "from"
        _log.warning(
            "dropped a message %s %s: %s%s",
            way, peer, reason.value, left_out, extra={"peer": peer},
        )  # fmt: skip

    def _may_log(self, now: float) -> bool:
        earned = (now - self._counted_at) * _LINES / 60
        self._lines, self._counted_at = min(_LINES, self._lines + earned), now
        if self._lines < 1:
            return False
        self._lines -= 1
        return True
