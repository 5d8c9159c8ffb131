"""Event feeds as a client reads them: server-sent events, bytes in and events out. No I/O."""

import msgspec

from pushcli.errors import ServerError

MEDIA_TYPE = "text/event-stream"
SILENCE = 40.0
"""Seconds: a server that has nothing to tell says so every 15 s."""
MAX_EVENT = 32 * 1024 * 1024
"""Bytes of one event: a job of 100,000 nodes with long names, told in one `summary`, is below."""


class FeedEvent(msgspec.Struct, frozen=True, gc=False):
    """One event, as the server wrote it.

    Args:
        name: what happened, such as `run_complete`.
        id: what the feed is resumed after (`Last-Event-ID`).
        data: JSON.
    """

    name: str
    id: str
    data: bytes


class EventParser:
    """Cuts a stream into events, wherever its blocks end.

    Comments and fields that we do not know are left out, as the standard has it
    (https://html.spec.whatwg.org/multipage/server-sent-events.html).
    """

    def __init__(self) -> None:
        self._rest = b""
        self._name, self._id = b"", b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, block: bytes) -> list[FeedEvent]:
        """The events that are whole with this block.

        Raises:
            ServerError: an event is longer than any that a server sends.
        """
        text = self._rest + block
        # A carriage return at the end may be half of a line's end.
        held = text.endswith(b"\r")
        lines = (text[:-1] if held else text).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *whole, rest = lines.split(b"\n")
        self._rest = rest + (b"\r" if held else b"")
        events = [event for line in whole if (event := self._line(line)) is not None]
        if self._size + len(self._rest) > MAX_EVENT:
            raise ServerError(f"the server sent an event of more than {MAX_EVENT} bytes")
        return events

    def _line(self, line: bytes) -> FeedEvent | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        self._size += len(line)
        if field == b"event":
            self._name = value
        elif field == b"id" and b"\0" not in value:
            self._id = value
        elif field == b"data":
            self._data.append(value)
        return None

    def _dispatch(self) -> FeedEvent | None:
        name, data = self._name, b"\n".join(self._data)
        self._name, self._data, self._size = b"", [], 0
        if not data:
            return None
        return FeedEvent(_text(name), _text(self._id), data)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
