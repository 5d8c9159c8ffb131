"""A log of server-sent events: encoded once, read by any number of cursors.

Push Jobs protocol, section 8. A reader holds a position, never an event; what it has not
read yet costs nothing more than the log itself.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def timestamp(microseconds: int) -> str:
    """`2014-07-10 05:17:44.995958Z`, as events carry it.

    Microseconds since the epoch as an integer: a float of today cannot hold them all.
    """
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%fZ")


def encode_event(name: str, event_id: str, microseconds: int, fields: dict[str, Any]) -> bytes:
    """One event as it goes over the wire, the timestamp first in its data."""
    data = _encode({"timestamp": timestamp(microseconds), **fields})
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), event_id.encode(), data)


class FeedLog:
    """Events with rising ids (`PREFIX-N`) and strictly rising timestamps.

    Args:
        prefix: of the ids, `job` or `org`.
        first: the number of the first event to come.
        keep: seconds for which events are kept; None keeps all.
    """

    def __init__(self, prefix: str, first: int = 1, keep: float | None = None) -> None:
        self._prefix = prefix
        self._keep = keep
        self._events: list[tuple[float, bytes]] = []
        self._first = first
        self._last_time = 0
        self._news = asyncio.Event()
        self.complete = False

    @property
    def end(self) -> int:
        """The number that the next event will get."""
        return self._first + len(self._events)

    def append(self, name: str, now: float, fields: dict[str, Any]) -> None:
        """Add an event; all waiting readers go on."""
        self._last_time = max(int(now * 1_000_000), self._last_time + 1)
        event = encode_event(name, f"{self._prefix}-{self.end}", self._last_time, fields)
        self._events.append((now, event))
        self.prune(now)
        self._wake()

    def finish(self) -> None:
        """No event comes any more; readers end after the last one."""
        self.complete = True
        self._wake()

    def prune(self, now: float) -> None:
        """Drop events that are older than `keep`."""
        if self._keep is None:
            return
        oldest = now - self._keep
        old = next((i for i, (t, _) in enumerate(self._events) if t >= oldest), len(self._events))
        del self._events[:old]
        self._first += old

    def position(self, last_event_id: str) -> int | None:
        """The number of the event after this one; None for an id that is not in the log."""
        prefix, _, number = last_event_id.rpartition("-")
        if prefix != self._prefix or not (number.isascii() and number.isdigit()):
            return None
        if len(number) > 18 or not self._first - 1 <= int(number) < self.end or int(number) < 1:
            return None
        return int(number) + 1

    @property
    def first(self) -> int:
        """The number of the oldest event that is kept."""
        return self._first

    def read(self, position: int, limit: int) -> tuple[bytes, int]:
        """Events from `position` on, about `limit` bytes of them, and the next position."""
        position = max(position, self._first)
        parts: list[bytes] = []
        size = 0
        while position < self.end and size < limit:
            event = self._events[position - self._first][1]
            parts.append(event)
            size += len(event)
            position += 1
        return b"".join(parts), position

    async def news(self, position: int, timeout: float) -> bool:  # noqa: ASYNC109
        """Wait until there is an event at `position`, or the log is complete.

        Returns:
            False if the time (seconds) ran out first.
        """
        try:
            async with asyncio.timeout(timeout):
                while position >= self.end and not self.complete:
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
