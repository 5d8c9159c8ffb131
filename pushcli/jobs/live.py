"""The live display of a job on a terminal.

Between two drawings the cursor rests, hidden, at the display's first character, and nothing is
counted from there: a terminal that is resized, whether or not it wraps its lines anew, carries the
cursor with the text, and the next drawing clears from it down. So no line is left behind, which
displays that go up by the number of lines they drew cannot promise.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import TextIO

import click

from pushcli.escape import escape_line
from pushcli.jobs.screen import ASCII, UNICODE, Line, cut
from pushcli.terminal.context import wants_colour

_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_CLEAR = "\r\x1b[J"
_USUAL = os.terminal_size((80, 24))
_LEAST = 20


class LiveDisplay:
    """Some lines at the end of what is on the screen, drawn anew again and again."""

    def __init__(self, stream: TextIO, env: Mapping[str, str]) -> None:
        self._stream = stream
        self._has_colour = wants_colour(stream, env)
        is_unicode = (stream.encoding or "").lower().startswith("utf")
        self.glyphs = UNICODE if is_unicode else ASCII
        self._is_drawn = False

    def draw(self, lines: list[Line]) -> None:
        """These in place of those before, each cut at the screen's edge."""
        size = self._size()
        room = max(_LEAST, size.columns) - 1
        shown = [self._painted(cut(line, room, self.glyphs.cut)) for line in lines]
        # One line below stays free: a screen that scrolls would lose the first.
        shown = shown[: max(1, size.lines - 1)]
        up = f"\x1b[{len(shown) - 1}A" if len(shown) > 1 else ""
        self._write(_HIDE + _CLEAR + "\r\n".join(shown) + up + "\r")
        self._is_drawn = True

    def note(self, line: str) -> None:
        """A line above the display."""
        self._write((_CLEAR if self._is_drawn else "") + escape_line(line) + "\r\n")

    def clear(self) -> None:
        """Takes it away and gives the cursor back; it may be drawn again."""
        if self._is_drawn:
            self._write(_CLEAR + _SHOW)
            self._is_drawn = False

    def _painted(self, line: Line) -> str:
        if not self._has_colour:
            return "".join(part.text for part in line)
        return "".join(
            click.style(part.text, fg=part.colour or None, bold=part.bold or None)
            if part.colour or part.bold
            else part.text
            for part in line
        )

    def _size(self) -> os.terminal_size:
        with suppress(OSError, ValueError):
            size = os.get_terminal_size(self._stream.fileno())
            if size.columns > 0 and size.lines > 0:
                return size
        return _USUAL

    def _write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)
            self._stream.flush()
