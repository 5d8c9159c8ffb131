"""How far the fetching of output is: a line on a terminal, once it takes longer."""

from collections.abc import Iterator
from contextlib import contextmanager

from pushcli import durations
from pushcli.jobs.interrupts import as_interrupts
from pushcli.jobs.live import LiveDisplay
from pushcli.jobs.screen import Glyphs, Line, bar
from pushcli.jobs.suspending import suspending
from pushcli.terminal.context import App, can_redraw

SHOWN_AFTER = 0.3
"""Seconds until it appears: what is there sooner does not flicker."""
_REDRAW = 0.15


class FetchBar:
    """Counts what came, and shows it.

    Args:
        live: where; None: nowhere.
    """

    def __init__(self, app: App, total: int, live: LiveDisplay | None) -> None:
        self._app = app
        self._total = total
        self._live = live
        self._size = 0
        self._began = self._drawn_at = app.clock()

    def note(self, done: int, content: bytes | None) -> None:
        """So many outputs are there; content: of the last one."""
        self._size += len(content or b"")
        now = self._app.clock()
        if self._live is None or now - self._began < SHOWN_AFTER or now - self._drawn_at < _REDRAW:
            return
        self._drawn_at = now
        elapsed, live = now - self._began, self._live
        line = progress_line(done, self._total, self._size, elapsed, live.glyphs, live.room)
        live.draw([line])


@contextmanager
def fetch_bar(app: App, total: int) -> Iterator[FetchBar]:
    """A bar for so many outputs; it is taken away at the end. In a pipe it shows nothing."""
    if app.quiet or not can_redraw(app.stderr, app.env):
        yield FetchBar(app, total, None)
        return
    live = LiveDisplay(app.stderr, app.env)
    try:
        with as_interrupts(), suspending(live):
            yield FetchBar(app, total, live)
    finally:
        live.clear()


def progress_line(
    done: int, total: int, size: int, elapsed: float, glyphs: Glyphs, room: int
) -> Line:
    """`Output ━━━───  812 of 2,000 fetched · 3.1 MB   2 s`."""
    count = f"{done:,} of {total:,} fetched{glyphs.between}{size / 1e6:.1f} MB"
    return bar("Output", done, total, f"{count}   {durations.words(elapsed)}", glyphs, room)
