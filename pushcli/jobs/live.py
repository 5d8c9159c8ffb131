"""The live display of a job on a terminal. Rich is imported here, so import this late.

Everything that a peer sent goes in as `Text`, never as markup.
"""

from collections.abc import Mapping
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pushcli.escape import escape_line
from pushcli.jobs.model import PENDING, JobView
from pushcli.jobs.wording import phase
from pushcli.terminal.colours import colour

_TROUBLE = ("failed", "crashed", "timed_out", "aborted", "nacked", "unavailable")


class LiveDisplay:
    """Phase, bar, counts by state and the nodes in trouble, redrawn at each snapshot."""

    def __init__(self, stream: TextIO, env: Mapping[str, str]) -> None:
        self._console = Console(
            file=stream, highlight=False, markup=False, emoji=False,
            no_color=bool(env.get("NO_COLOR")),
        )  # fmt: skip
        # No thread of its own: a snapshot comes at least every second or so.
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def update(self, job: JobView, elapsed: float) -> None:
        """Redraws; `elapsed` in seconds."""
        self._live.update(picture(job, elapsed), refresh=True)

    def note(self, line: str) -> None:
        """A line above the display."""
        self._console.print(Text(escape_line(line)))

    def close(self) -> None:
        """Takes it away and shows the cursor again."""
        self._live.stop()


def picture(job: JobView, elapsed: float) -> RenderableType:
    """What the display shows of a job."""
    counts = job.counts
    total = sum(counts.values())
    done = total - sum(counts.get(state, 0) for state in PENDING)
    head = Table.grid(padding=(0, 2))
    head.add_row(
        Text(phase(job), style="bold"),
        ProgressBar(total=max(total, 1), completed=done, width=30),
        Text(f"{elapsed:.0f} s"),
    )
    return Group(head, _counts(counts), *_trouble(job))


def _counts(counts: Mapping[str, int]) -> Text:
    parts = (
        Text(f"{count} {escape_line(state)}", style=colour(state))
        for state, count in counts.items()
    )
    return Text("  ").append_text(Text(", ").join(parts))


def _trouble(job: JobView) -> list[Text]:
    """A line per state that needs attention, cut at the screen's edge."""
    return [
        Text(
            f"  {state}: {', '.join(map(escape_line, job.nodes[state]))}",
            style=colour(state), overflow="ellipsis", no_wrap=True,
        )
        for state in _TROUBLE
        if job.nodes.get(state)
    ]  # fmt: skip
