"""What a job's commands write, printed while they write it (`--follow`).

A thread reads the feed of the job's output and prints, so that a line shows at once whatever else
is waited for; nothing else may write to standard output meanwhile.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from pushcli.errors import PushcliError, ServerError, ServerUnreachable, UsageError
from pushcli.jobs.followed import Line, Lines, name_and_colour
from pushcli.jobs.grep import Grep
from pushcli.jobs.live import LiveDisplay
from pushcli.jobs.output import CHANNELS
from pushcli.terminal.context import App
from pushcli.terminal.formats import Format, to_json_lines
from pushcli.terminal.pasting import same_server

EXTENSION = "output-feed"
PATIENCE = 60.0
"""How long the server may be away (restarted, say) while we follow, in seconds."""
RETRY_PAUSE = 0.5
LAST = 15.0
"""Seconds for the last output of a job that is over."""
_AWAY = (ServerUnreachable, ServerError)


def require_lines(app: App) -> None:
    """Output that is followed is text, or an object a line.

    Raises:
        UsageError: another format is wanted.
    """
    if app.options.format not in {Format.TEXT, Format.NDJSON}:
        raise UsageError(
            f"--follow has no format {app.options.format}", "leave out -F, or give -F ndjson"
        )


def follow(
    app: App, job_id: str, nodes: Sequence[str], channels: Sequence[str], grep: Grep | None
) -> int:
    """Print the output of a job line by line until no more of it comes; it may be over already.

    Returns how many lines were printed.

    Args:
        nodes: of these only; none: of all.
        grep: only lines that match.

    Raises:
        NotFound: there is no such job, or it captures nothing.
        PushcliError: the server refused, or was away for longer than `PATIENCE`.
        KeyboardInterrupt: the operator has seen enough; the job goes on.
    """
    follower = _Follower(app, job_id, nodes, channels, grep=grep)
    try:
        follower.run()
    except KeyboardInterrupt:
        follower.finish()
        app.note("INTERRUPTED: the job goes on, if it was not over")
        raise
    return follower.printed


@contextmanager
def following(app: App, job_id: str, live: LiveDisplay | None) -> Iterator[bool]:
    """Print the output of a job beside what is done here, and its rest at the end.

    Gives whether it is printed; a server that cannot tell it is said to be one.

    Args:
        live: the display that it is printed above; None: there is none.

    Raises:
        PushcliError: at the end: the server did not tell the rest, or it could not be printed.
    """
    if EXTENSION not in app.client.extensions:
        app.note("this server does not tell output while it is written: it is shown at the end")
        yield False
        return
    follower = _Follower(app, job_id, (), CHANNELS, live)
    thread = threading.Thread(target=follower.run_aside, daemon=True, name="output")
    thread.start()
    try:
        yield True
    except BaseException:
        follower.finish()
        raise
    try:
        thread.join(LAST)
    except KeyboardInterrupt:
        follower.finish()
        app.note("INTERRUPTED: the job is over; not all that it wrote was shown:")
        app.note(f"  pushcli job output {job_id}{same_server(app)}")
        raise
    follower.finish()
    if follower.error is not None:
        raise follower.error
    if thread.is_alive():
        app.note(f"UNFINISHED: the rest is shown by pushcli job output {job_id}")


class _Follower:
    def __init__(
        self, app: App, job_id: str, nodes: Sequence[str], channels: Sequence[str],
        live: LiveDisplay | None = None, grep: Grep | None = None,
    ) -> None:  # fmt: skip
        self.printed = 0
        self.error: Exception | None = None
        self._app = app
        self._id = job_id
        self._nodes = tuple(nodes)
        self._channels = frozenset(channels)
        self._live = live
        self._grep = grep
        self._lines = Lines()
        self._lock = threading.Lock()
        self._finished = False

    def run(self) -> None:
        """Print all that comes."""
        last, away_since = "", None
        while True:
            try:
                for events in self._app.client.output_feed(self._id, self._nodes, last):
                    lines = [line for event in events for line in self._lines.add(event)]
                    self._print(lines)
                    if events:
                        last, away_since = events[-1].id, None
                    if self._finished or any(event.name == "end" for event in events):
                        self.finish()
                        return
                error: PushcliError = ServerError("the server broke off the output")
            except _AWAY as caught:
                error = caught
            now = self._app.clock()
            if away_since is None:
                away_since = now
                self._above(
                    partial(self._app.note, f"{error.message}: retrying for {PATIENCE:.0f} s ...")
                )
            if self._finished or now - away_since >= PATIENCE:
                raise error
            self._app.sleep(RETRY_PAUSE)

    def run_aside(self) -> None:
        """The same on a thread of its own: what goes wrong is told at the end."""
        try:
            self.run()
        except (PushcliError, OSError) as error:
            self.error = error

    def finish(self) -> None:
        """Print lines that have no end yet, and nothing more."""
        with self._lock:
            is_first, self._finished = not self._finished, True
            if is_first and self.error is None:
                self._write(self._lines.rest())

    def _print(self, lines: list[Line]) -> None:
        with self._lock:
            if not self._finished:
                self._write(lines)

    def _write(self, lines: list[Line]) -> None:
        nodes = frozenset(self._nodes)
        wanted = [
            line
            for line in lines
            if line.channel in self._channels
            and (not nodes or line.node in nodes)
            and (self._grep is None or self._grep.matches(line.data))
        ]
        self.printed += len(wanted)
        if not wanted:
            return
        if self._app.is_text:
            self._above(partial(self._app.print, "\n".join(map(self._shown, wanted))))
        else:
            self._app.write(to_json_lines([line.as_data(self._id) for line in wanted]))

    def _above(self, write: Callable[[], None]) -> None:
        """Write beside the display, if there is one."""
        if self._live is None:
            write()
        else:
            self._live.above(write)

    def _shown(self, line: Line) -> str:
        name, colour = name_and_colour(line.node)
        return f"{self._app.paint(name, colour)} {line.shown()}"
