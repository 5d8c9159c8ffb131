"""How far a `pushcli migrate` is: a bar on a terminal, elsewhere a line now and then."""
# ruff: noqa: PLC0415 - only where it is needed

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pushcli.terminal.context import App, can_redraw

if TYPE_CHECKING:
    from pushcli.jobs.live import LiveDisplay

SHOWN_AFTER = 0.3
"""Seconds until the bar appears: what is done sooner does not flicker."""
EVERY = 5.0
"""Seconds between two lines."""
_REDRAW = 0.15
Looked = Callable[[str, int, int], None]
"""Takes what is looked at (`jobs`), how many were so far, and how many there are."""


@contextmanager
def progress(app: App, *, writes: bool) -> Iterator[Looked]:
    """Shows what it is told; a bar is taken away at the end.

    Args:
        writes: whether something is taken over; whoever interrupts that is told what it means.
    """
    try:
        with _shown(app) as looked_at:
            yield looked_at
    except KeyboardInterrupt:
        stays = "what was taken over stays; run it again: it goes on"
        app.note(f"INTERRUPTED: {stays if writes else 'nothing was taken over'}")
        raise


@contextmanager
def _shown(app: App) -> Iterator[Looked]:
    if app.quiet or not can_redraw(app.stderr, app.env):
        yield _lines(app)
        return
    from pushcli.jobs.interrupts import as_interrupts
    from pushcli.jobs.live import LiveDisplay
    from pushcli.jobs.suspending import suspending

    live = LiveDisplay(app.stderr, app.env)
    try:
        with as_interrupts(), suspending(live):
            yield _bar(app, live)
    finally:
        live.clear()


def _lines(app: App) -> Looked:
    told = app.clock()

    def looked_at(what: str, count: int, of: int) -> None:
        nonlocal told
        if app.clock() - told >= EVERY:
            told = app.clock()
            app.remark(f"looked at {count:,} of {of:,} {what}")

    return looked_at


def _bar(app: App, live: "LiveDisplay") -> Looked:
    from pushcli import durations
    from pushcli.jobs.screen import bar

    began, drawn = app.clock(), app.clock() + SHOWN_AFTER - _REDRAW

    def looked_at(what: str, count: int, of: int) -> None:
        nonlocal drawn
        now = app.clock()
        if now - drawn < _REDRAW:
            return
        drawn = now
        beside = f"{count:,} of {of:,}   {durations.words(now - began)}"
        live.draw([bar(what.capitalize(), count, of, beside, live.glyphs, live.room)])

    return looked_at
