"""The live display of a job on a terminal.

Between two drawings the cursor rests, hidden, at the display's first character, and nothing is
counted from there: a terminal that is resized, whether or not it wraps its lines anew, carries the
cursor with the text, and the next drawing clears from it down. So no line is left behind, which
displays that go up by the number of lines they drew cannot promise.
"""

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TextIO

import click

from pushcli.escape import escape_line
from pushcli.jobs.screen import ASCII, UNICODE, Line, cut
from pushcli.terminal.context import App, can_redraw, wants_colour

_HIDE, _SHOW = "\x1b[?25l", "\x1b[?25h"
_CLEAR = "\r\x1b[J"
_CUT_OFF, _WRAP = "\x1b[?7l", "\x1b[?7h"
"""What becomes of a line that is too long: drawn for a terminal that was resized on the way."""
_USUAL = os.terminal_size((80, 24))
_LEAST = 20


class LiveDisplay:
    """Some lines at the end of what is on the screen, drawn anew again and again.

    A thread may write lines `above` it while another one draws it.
    """

    def __init__(self, stream: TextIO, env: Mapping[str, str]) -> None:
        self._stream = stream
        self._has_colour = wants_colour(stream, env)
        is_unicode = (stream.encoding or "").lower().startswith("utf")
        self.glyphs = UNICODE if is_unicode else ASCII
        self._is_drawn = False
        self._lines: list[Line] = []
        # Taken again by whoever has it: a signal's handler interrupts the one who draws.
        self._turn = threading.Condition(threading.RLock())
        self._is_held = False

    @property
    def room(self) -> int:
        """Columns of a line, as the terminal is now."""
        return max(_LEAST, self._size().columns) - 1

    def draw(self, lines: list[Line]) -> None:
        """These in place of those before, each cut at the screen's edge.

        A process in the background draws nothing: the screen is somebody else's.
        """
        with self._turn:
            self._lines = lines
            self._release()
            if self._is_in_front():
                self._is_drawn = True
                self._write(self._frame())

    def above(self, write: Callable[[], None]) -> None:
        """Have something write whole lines, which go above the display; waits while it is held."""
        with self._turn:
            self._turn.wait_for(lambda: not self._is_held)
            if not self._is_drawn:
                write()
                return
            self._write(_CLEAR)
            try:
                write()
            finally:
                # Unless it was withdrawn meanwhile.
                if self._is_drawn:
                    self._write(self._frame())

    def note(self, line: str) -> None:
        """A line above the display."""
        with self._turn:
            self._write((_CLEAR if self._is_drawn else "") + escape_line(line) + "\r\n")

    def clear(self) -> None:
        """Takes it away and gives the cursor back; it may be drawn again."""
        with self._turn:
            self._release()
            if self._is_drawn:
                self._write(_CLEAR + _SHOW)
                self._is_drawn = False

    def hold(self) -> None:
        """The same, and nothing is written above it until it is drawn or cleared again."""
        with self._turn:
            self.clear()
            self._is_held = True

    def _release(self) -> None:
        self._is_held = False
        self._turn.notify_all()

    def withdraw(self) -> bool:
        """For the handler of a signal: takes it away; whether there was anything."""
        was_drawn = self._is_drawn
        if was_drawn:
            self._is_drawn = False
            self._write_at_once(_CLEAR + _SHOW)
        return was_drawn

    def restore(self) -> None:
        """For the handler of a signal: draws again what was taken away."""
        if self._is_in_front():
            self._is_drawn = True
            self._write_at_once(self._frame())

    def _frame(self) -> str:
        room = self.room
        shown = [self._painted(cut(line, room, self.glyphs.cut)) for line in self._lines]
        # One line below stays free: a screen that scrolls would lose the first.
        shown = shown[: max(1, self._size().lines - 1)]
        up = f"\x1b[{len(shown) - 1}A" if len(shown) > 1 else ""
        return _HIDE + _CUT_OFF + _CLEAR + "\r\n".join(shown) + _WRAP + up + "\r"

    def _is_in_front(self) -> bool:
        try:
            return os.tcgetpgrp(self._stream.fileno()) == os.getpgrp()
        except (OSError, ValueError):
            return True

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

    def _write_at_once(self, text: str) -> None:
        """Past the stream's buffer, whose owner may be the one that is interrupted."""
        with suppress(OSError):
            os.write(
                self._stream.fileno(), text.encode(self._stream.encoding or "ascii", "replace")
            )


def shared_display(app: App) -> LiveDisplay | None:
    """One that output may be written above; None: it would not stand below it, or is not wanted."""
    is_one_screen = can_redraw(app.stderr, app.env) and app.stdout.isatty()
    return LiveDisplay(app.stderr, app.env) if is_one_screen and app.is_text else None
