"""Lines of output out of pieces of it: each line once, whatever comes again. No I/O."""

import base64
import zlib

import msgspec

from pushcli.client.answers import checked
from pushcli.client.feed import FeedEvent
from pushcli.errors import ServerError
from pushcli.escape import decode, escape_line
from pushcli.jobs.for_programs import line_head

MAX_LINE = 65_536
"""Bytes of a line that are shown as one; a longer one is shown in parts."""
_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green",
            "bright_magenta", "bright_yellow", "bright_blue")  # fmt: skip
Part = tuple[str, str]
"""A node and its channel."""


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line of a node's output, without its end."""

    node: str
    channel: str
    data: bytes

    def shown(self) -> str:
        """The line behind its mark, safe on a terminal: `|` for standard output, else `!`."""
        return f"{'|' if self.channel == 'stdout' else '!'} {decode(self.data)}"

    def as_data(self, job_id: str) -> dict[str, str]:
        """For programs: `line`, or `line_base64` where it is not UTF-8."""
        part = {"node": self.node, "channel": self.channel}
        head = {**line_head("output", job_id), **part}
        try:
            return {**head, "line": self.data.decode()}
        except UnicodeDecodeError:
            return {**head, "line_base64": base64.b64encode(self.data).decode()}


class Piece(msgspec.Struct, frozen=True, gc=False):
    """Bytes of a channel from `offset` on, as the feed tells them."""

    node: str
    channel: str
    offset: int
    text: str | None = None
    base64: str | None = None

    @property
    def data(self) -> bytes:
        """The bytes.

        Raises:
            ServerError: they are not what they should be.
        """
        if self.text is not None:
            return self.text.encode("utf-8", "surrogatepass")
        try:
            return base64.b64decode(self.base64 or "", validate=True)
        except ValueError as error:
            raise ServerError("the server sent output that is not base64") from error


class Lines:
    """The lines of all parts, as they become whole."""

    def __init__(self) -> None:
        self._seen: dict[Part, int] = {}
        self._rest: dict[Part, bytes] = {}

    def add(self, event: FeedEvent) -> list[Line]:
        """The lines that are whole with this event of the feed.

        Raises:
            ServerError: it is none that we understand.
        """
        if event.name != "output":
            return []
        try:
            piece = checked(msgspec.json.decode(event.data), Piece)
        except msgspec.DecodeError as error:
            raise ServerError("the server sent an event that is not JSON") from error
        return self.cut(piece)

    def cut(self, piece: Piece) -> list[Line]:
        """The lines that are whole with this piece; what came before is left out."""
        part, data = (piece.node, piece.channel), piece.data
        seen = self._seen.get(part, 0)
        new = data[max(seen - piece.offset, 0) :]
        if not new:
            return []
        self._seen[part] = piece.offset + len(data)
        *whole, rest = (self._rest.get(part, b"") + new).split(b"\n")
        while len(rest) > MAX_LINE:
            whole.append(rest[:MAX_LINE])
            rest = rest[MAX_LINE:]
        self._rest[part] = rest
        return [Line(*part, shown) for line in whole for shown in _bounded(line)]

    def rest(self) -> list[Line]:
        """Last lines without an end, once nothing more comes."""
        left = [Line(*part, data) for part, data in self._rest.items() if data]
        self._rest.clear()
        return left


def _bounded(line: bytes) -> list[bytes]:
    if len(line) <= MAX_LINE:
        return [line]
    return [line[at : at + MAX_LINE] for at in range(0, len(line), MAX_LINE)]


def name_and_colour(node: str) -> tuple[str, str]:
    """A node's name, safe on a terminal, and the colour that it always has."""
    return escape_line(node), _COLOURS[zlib.crc32(node.encode()) % len(_COLOURS)]
