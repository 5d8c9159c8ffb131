"""A log of server-sent events: encoded once, read by any number of cursors.

Push Jobs protocol, section 8. A reader holds a position, never an event; what it has not
read yet costs nothing more than the log itself.
"""

import asyncio
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec

_encode = msgspec.json.Encoder().encode
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC, which its text ends with


class Event(NamedTuple):
    """One event: its number in the log, its time (microseconds), its bytes on the wire."""

    number: int
    microseconds: int
    data: bytes


def timestamp(microseconds: int) -> str:
    """`2014-07-10 05:17:44.995958Z`, as events carry it.

    Microseconds since the epoch as an integer: a float of today cannot hold them all.
    """
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return f"{moment.isoformat(' ', 'microseconds')}Z"


def encode_event(name: str, event_id: str, microseconds: int, fields: dict[str, Any]) -> bytes:
    """One event as it goes over the wire, the timestamp first in its data."""
    data = _encode({"timestamp": timestamp(microseconds), **fields})
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), event_id.encode(), data)


class FeedLog:
    """Events with rising ids (`PREFIX-N`) and strictly rising timestamps.

    An event is added first, so that it can be stored, and shown to readers later.

    Args:
        prefix: of the ids, `job` or `org`.
        stored: events that the previous run of the server left, in order.
    """

    def __init__(self, prefix: str, stored: list[Event] | None = None) -> None:
        self._prefix = prefix
        self._events: list[Event] = list(stored or ())
        self._first = self._events[0].number if self._events else 1
        self._last_time = self._events[-1].microseconds if self._events else 0
        self.end = self._next
        """The number after the last event that readers may see."""
        self._news = asyncio.Event()
        self.readers = 0
        self.complete = False

    @property
    def first(self) -> int:
        """The number of the oldest event that is kept."""
        return self._first

    @property
    def _next(self) -> int:
        return self._first + len(self._events)

    def add(self, name: str, now: float, fields: dict[str, Any]) -> Event:
        """Add an event (`now` in seconds) that readers do not see yet."""
        self._last_time = max(int(now * 1_000_000), self._last_time + 1)
        number = self._next
        data = encode_event(name, f"{self._prefix}-{number}", self._last_time, fields)
        event = Event(number, self._last_time, data)
        self._events.append(event)
        return event

    def show(self, event: Event, *, last: bool = False) -> None:
        """Let readers see everything up to this event; after the last one they end."""
        self.end = max(self.end, event.number + 1)
        self.complete = self.complete or last
        self._news.set()
        self._news = asyncio.Event()

    def finish(self) -> None:
        """Nothing comes any more: readers end."""
        self.complete = True
        self._news.set()
        self._news = asyncio.Event()

    def forget_before(self, seconds: float) -> int:
        """Drop shown events that are older; returns the number of the oldest that is left.

        The newest one stays: its number is what the next run of the server goes on from.
        """
        limit = int(seconds * 1_000_000)
        shown = self.end - self._first
        old = 0
        while old < min(shown, len(self._events) - 1) and self._events[old].microseconds < limit:
            old += 1
        del self._events[:old]
        self._first += old
        return self._first

    def position(self, last_event_id: str) -> int | None:
        """The number of the event after this one; None for an id that is not in the log."""
        prefix, _, number = last_event_id.rpartition("-")
        if prefix != self._prefix or not (number.isascii() and number.isdigit()):
            return None
        if len(number) > 18 or not self._first <= int(number) < self.end:
            return None
        return int(number) + 1

    def since(self, seconds: float) -> int:
        """The number of the first event that is not older than this."""
        limit = int(seconds * 1_000_000)
        shown = self._events[: self.end - self._first]
        return next((event.number for event in shown if event.microseconds >= limit), self.end)

    def read(self, position: int, limit: int) -> tuple[bytes, int]:
        """Events from `position` on, about `limit` bytes of them, and the next position."""
        position = max(position, self._first)
        parts: list[bytes] = []
        size = 0
        while position < self.end and size < limit:
            data = self._events[position - self._first].data
            parts.append(data)
            size += len(data)
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
