"""Messages that were dropped: counted, and logged at most once a second per source."""

import enum
import logging
from collections import Counter

from pushcli.protocol.drops import Dropped, DropReason

_log = logging.getLogger(__name__)


class Source(enum.StrEnum):
    """Where they came from."""

    COMMANDS = "the command channel"
    HEARTBEATS = "the heartbeat channel"


class Drops:
    """What is wrong on the wire leaves a number and, rarely, a line."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[Source, DropReason]] = Counter()
        self._logged: dict[Source, float] = {}

    def drop(self, source: Source, why: Dropped, now: float, *, quiet: bool = False) -> None:
        """Count a drop; `now` is monotonic."""
        self.counts[source, why.reason] += 1
        if quiet or now - self._logged.get(source, -1.0) < 1.0:
            return
        self._logged[source] = now
        _log.warning("dropped a message on %s: %s", source.value, why)
