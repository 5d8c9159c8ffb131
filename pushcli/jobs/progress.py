"""What the operator sees while a job votes and runs; all of it on standard error.

On a terminal a display that redraws itself, elsewhere a line per change of phase.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from pushcli.client.answers import checked
from pushcli.client.feed import FeedEvent
from pushcli.errors import PushcliError
from pushcli.escape import escape_line
from pushcli.jobs.for_programs import event_as_data
from pushcli.jobs.model import VOTING, NodeResult
from pushcli.jobs.screen import MOST_LINES
from pushcli.jobs.tracker import MOST_EXPLAINED, Tracker
from pushcli.jobs.wording import phase, vote
from pushcli.terminal.context import App, can_redraw
from pushcli.terminal.formats import Format, to_json_lines

if TYPE_CHECKING:
    from pushcli.jobs.live import LiveDisplay

DISPLAY_AFTER = 0.3
"""Seconds until the display appears: a job that is over sooner does not flicker."""
_MOST_BELOW = 3
"""Lines of the display where output scrolls above it."""
_REDRAW = 0.15
"""Seconds between two drawings at least: a terminal shows more to nobody."""
_EXPLAIN, _EXPLAIN_AGAIN = 1.0, 5.0
"""Seconds between two questions about nodes in trouble, and where nothing new is known of."""


class Progress(Protocol):
    """Where a job's course and remarks go while we wait."""

    def receive(self, events: Sequence[FeedEvent]) -> None:
        """What its feed just told."""

    def show(self, tracker: Tracker) -> None:
        """The job as it is now."""

    def note(self, line: str) -> None:
        """A remark, in one line."""

    def clear(self) -> None:
        """Leave the screen to somebody else, until the job is shown again."""


@contextmanager
def progress(
    app: App, job_id: str, *, is_new: bool = True, quietly: bool = False,
    beside_output: bool = False, below: "LiveDisplay | None" = None,
) -> Iterator[Progress]:  # fmt: skip
    """The fitting one for these streams; ends with the terminal as it was.

    Args:
        is_new: whether the job begins now.
        quietly: nothing but remarks.
        beside_output: output is printed meanwhile; a display would be drawn over it.
        below: but for this one, which is short, and which it is written above.
    """
    if quietly or app.quiet:
        yield Silence(app)
        return
    if app.options.format is Format.NDJSON:
        yield Events(app, job_id)
        return
    if not can_redraw(app.stderr, app.env) or (beside_output and below is None):
        yield Lines(app)
        return
    from pushcli.jobs.live import LiveDisplay  # noqa: PLC0415 - only where it is needed
    from pushcli.jobs.suspending import suspending  # noqa: PLC0415

    live = below or LiveDisplay(app.stderr, app.env)
    try:
        with suspending(live):
            most = MOST_LINES if below is None else _MOST_BELOW
            yield Display(app, job_id, live, is_new=is_new, most_lines=most)
    finally:
        live.clear()


class Silence:
    """Remarks alone."""

    def __init__(self, app: App) -> None:
        self._app = app

    def receive(self, events: Sequence[FeedEvent]) -> None:
        """Nothing."""

    def show(self, tracker: Tracker) -> None:
        """Nothing."""

    def note(self, line: str) -> None:
        """The remark."""
        self._app.note(escape_line(line))

    def clear(self) -> None:
        """Nothing: what was said stays."""


class Events(Silence):
    """Each event as a line of JSON on standard output, for programs."""

    def __init__(self, app: App, job_id: str) -> None:
        super().__init__(app)
        self._id = job_id

    def receive(self, events: Sequence[FeedEvent]) -> None:
        """Writes them, but for the job's own object, which comes at the end anyway."""
        lines = [
            event_as_data(self._id, event.name, event.data)
            for event in events
            if event.name != "summary"
        ]
        if lines:
            self._app.write(to_json_lines(lines))


class Lines(Silence):
    """A line per change of phase."""

    def __init__(self, app: App) -> None:
        super().__init__(app)
        self._status = ""

    def show(self, tracker: Tracker) -> None:
        """Says which phase it is, once; the end is for others to tell."""
        if not self._status and tracker.status not in VOTING:
            # It was over before we could look; it was held all the same.
            self._app.note(f"{vote(tracker)} ...")
        if tracker.status == self._status:
            return
        self._status = tracker.status
        if not tracker.is_over:
            self._app.note(f"{phase(tracker)} ...")


class Display:
    """The live display, once the job has lasted long enough for one."""

    def __init__(
        self, app: App, job_id: str, live: "LiveDisplay", *, is_new: bool, most_lines: int
    ) -> None:
        self._app = app
        self._id = job_id
        self._live = live
        self._is_new = is_new
        self._most_lines = most_lines
        self._began = app.clock()
        self._drawn_at = self._asked_at = self._began - 60

    def receive(self, events: Sequence[FeedEvent]) -> None:
        """Nothing: what they amount to is shown."""

    def show(self, tracker: Tracker) -> None:
        """Redraws, unless it just did."""
        now = self._app.clock()
        if tracker.is_over or now - self._began < DISPLAY_AFTER or now - self._drawn_at < _REDRAW:
            return
        from pushcli.jobs.screen import screen  # noqa: PLC0415 - only where it is needed

        self._explain(tracker, now)
        elapsed, live = self._elapsed(tracker, now), self._live
        lines = screen(
            tracker, job_id=self._id, elapsed=elapsed, glyphs=live.glyphs, room=live.room
        )
        live.draw(lines[: self._most_lines])
        self._drawn_at = now

    def note(self, line: str) -> None:
        """The remark, above the display."""
        self._live.note(line)
        self._drawn_at = self._began - 60

    def clear(self) -> None:
        """Takes the display away and gives the cursor back; nothing is written above it then."""
        self._live.hold()
        self._drawn_at = self._began - 60

    def _elapsed(self, tracker: Tracker, now: float) -> float:
        """Seconds since the job began: of one that runs already by its server's clock and ours."""
        if self._is_new or tracker.began_at is None:
            return now - self._began
        return max(0.0, time.time() - tracker.began_at)

    def _explain(self, tracker: Tracker, now: float) -> None:
        """Ask why nodes are in trouble, now and then; not knowing costs no display."""
        pause = _EXPLAIN if tracker.unexplained() else _EXPLAIN_AGAIN
        if now - self._asked_at < pause:
            return
        self._asked_at = now
        try:
            found = self._app.client.troubled_nodes(self._id, MOST_EXPLAINED)
            if found is not None:
                tracker.explain(checked(found, list[NodeResult]))
        except PushcliError:
            return
