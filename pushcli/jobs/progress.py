"""What the operator sees while a job votes and runs; all of it on standard error.

On a terminal a display that redraws itself, elsewhere a line per change of phase.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from pushcli.escape import escape_line
from pushcli.jobs.model import VOTING, JobView
from pushcli.jobs.wording import phase, vote
from pushcli.terminal.context import App, is_terminal

if TYPE_CHECKING:
    from pushcli.jobs.live import LiveDisplay

DISPLAY_AFTER = 0.3
"""Seconds until the display appears: a job that is over sooner neither flickers nor waits
for the display's code to load."""


class Progress(Protocol):
    """Where snapshots and remarks go while we wait."""

    def show(self, job: JobView) -> None:
        """The job as it is now."""

    def note(self, line: str) -> None:
        """A remark, in one line."""


@contextmanager
def progress(app: App) -> Iterator[Progress]:
    """The fitting one for this standard error; ends with the terminal as it was."""
    if app.quiet or not is_terminal(app.stderr):
        yield Lines(app)
        return
    display = Display(app)
    try:
        yield display
    finally:
        display.close()


class Lines:
    """A line per change of phase."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._status = ""

    def show(self, job: JobView) -> None:
        """Says which phase it is, once; the end is for others to tell."""
        if not self._status and job.status not in VOTING:
            # It was over before we could look; it was held all the same.
            self._app.remark(f"{vote(job)} ...")
        if job.status == self._status or job.is_over:
            return
        self._status = job.status
        self._app.remark(f"{phase(job)} ...")

    def note(self, line: str) -> None:
        """The remark."""
        self._app.note(escape_line(line))


class Display:
    """The live display, once the job has lasted long enough for one."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._began = app.clock()
        self._live: LiveDisplay | None = None

    def show(self, job: JobView) -> None:
        """Redraws."""
        elapsed = self._app.clock() - self._began
        if self._live is None:
            if elapsed < DISPLAY_AFTER or job.is_over:
                return
            from pushcli.jobs.live import LiveDisplay  # noqa: PLC0415 - Rich takes 80 ms

            self._live = LiveDisplay(self._app.stderr, self._app.env)
        self._live.update(job, elapsed)

    def note(self, line: str) -> None:
        """The remark, above the display."""
        if self._live is None:
            self._app.note(escape_line(line))
        else:
            self._live.note(line)

    def close(self) -> None:
        """Takes the display away and gives the cursor back."""
        if self._live is not None:
            self._live.close()
