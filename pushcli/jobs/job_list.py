"""`pushcli job list`: the jobs that somebody looks for, the newest first."""

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pushcli.client import foreign
from pushcli.errors import NotFound, PushcliError, UsageError
from pushcli.jobs.for_programs import job_as_data
from pushcli.jobs.named import SHORT, shortest
from pushcli.jobs.outcome import outcome
from pushcli.jobs.pages import JobPage, ListedJob, page_of
from pushcli.protocol import limits
from pushcli.terminal.colours import colour
from pushcli.terminal.context import App, is_terminal
from pushcli.terminal.table import write_table
from pushcli.terminal.times import times_column

ME = "me"
"""Whoever asks, as `requestor`."""
OUTCOMES = ("succeeded", "failed")
"""Of complete jobs."""
STATUSES = ("voting", "running", "complete", *OUTCOMES, "quorum_failed", "aborted", "timed_out")


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What is looked for; None, or nothing, makes no difference.

    Args:
        most: jobs that are shown.
        statuses: of the jobs, or `OUTCOMES`.
        requestor: who started them; `ME`: who asks.
        command: a glob.
        since: seconds since the epoch.
    """

    most: int
    statuses: tuple[str, ...] = ()
    requestor: str | None = None
    command: str | None = None
    node: str | None = None
    since: float | None = None

    def query(self) -> dict[str, str]:
        """As the server takes it, but for the number of jobs and the page."""
        given = {
            "status": ",".join(self.statuses) or None,
            "requestor": None if self.requestor == ME else self.requestor,
            "command": self.command,
            "node": self.node,
            "since": None if self.since is None else str(self.since),
        }
        return {name: value for name, value in given.items() if value is not None}


def show_list(app: App, looked: Looked) -> None:
    """The newest of these jobs.

    Raises:
        UsageError: what is looked for cannot be, or an older server cannot look for it.
    """
    if unknown := [status for status in looked.statuses if status not in STATUSES]:
        raise UsageError(f"invalid status {unknown[0]!r}", f"one of {', '.join(STATUSES)}")
    found = list(islice(_found(app, looked), looked.most + 1))
    shown = found[: looked.most]
    if app.is_text:
        _write(app, [job for job, _ in shown])
    else:
        app.emit([job_as_data(raw) for _, raw in shown])
    if len(found) > len(shown):
        app.note(f"These are the newest {len(shown)}; --max shows more")
    if not found and app.is_text:
        # A misspelt user or node is no error here; an empty screen would look like a fault.
        app.note("No job matches" if looked.query() or looked.requestor else "No jobs yet")


def _found(app: App, looked: Looked) -> Iterator[tuple[ListedJob, dict[str, Any]]]:
    query = looked.query()
    left, after = looked.most + 1, None
    while left > 0:
        asked = {**query, "limit": str(min(left, limits.MAX_JOBS))}
        page = _page(app, looked, asked if after is None else {**asked, "after": after})
        pairs = list(zip(page.jobs, page.raw, strict=True))
        if not page.paged:
            yield from _picked(app, pairs, looked)
            return
        yield from pairs
        left, after = left - len(pairs), page.next
        if after is None:
            return


def _page(app: App, looked: Looked, query: dict[str, str]) -> JobPage:
    if looked.requestor != ME:
        return page_of(app.client.job_page(query))
    try:
        return page_of(app.client.own_job_page(query))
    except NotFound:
        if "own-jobs" in app.client.extensions:
            raise
        raise _cannot(app, "--by") from None


def _picked(
    app: App, pairs: list[tuple[ListedJob, dict[str, Any]]], looked: Looked
) -> list[tuple[ListedJob, dict[str, Any]]]:
    """Of all the jobs of an older server, which tells less of them."""
    if looked.node is not None:
        raise _cannot(app, "--node")
    if looked.requestor not in (None, ME):
        raise _cannot(app, "--by")
    if outcomes := [status for status in looked.statuses if status in OUTCOMES]:
        raise _cannot(app, f"--status {outcomes[0]}")
    fits = re.compile(fnmatch.translate(looked.command or "*")).match
    return [
        (job, raw)
        for job, raw in pairs
        if (not looked.statuses or job.status in looked.statuses)
        and fits(job.command)
        and (looked.since is None or job.created >= looked.since)
    ]


def _cannot(app: App, option: str) -> PushcliError:
    what = f"look for jobs with {option}"
    return foreign.cannot(app.client.extensions, what, f"leave out {option}")


def _write(app: App, jobs: list[ListedJob]) -> None:
    """A table for people; programs have the columns of before first, and everything whole."""
    when = times_column(app, "created")
    if not is_terminal(app.stdout):
        rows = [
            (job.id, job.status, when.text(job.created), job.command, *_more(job)) for job in jobs
        ]
        write_table(app, _COLUMNS, rows)
        return
    digits = 32 if app.is_wide else shortest([job.id for job in jobs] or ["0" * SHORT])
    outcomes = [outcome(job) for job in jobs]
    rows = [
        (job.id[:digits], when.text(job.created), job.who, job.command, _count(job), ended.text,
         job.origin or "", _number(job.quorum), job.batch or "")
        for job, ended in zip(jobs, outcomes, strict=True)
    ]  # fmt: skip
    write_table(
        app,
        ("job", when.title, "who", "command", "nodes", "outcome", "from", "quorum", "batch"),
        rows,
        cut={"command": 12, "who": 6, "outcome": 20},
        extra=("from", "quorum", "batch"),
        tints={"outcome": [colour(ended.state) for ended in outcomes]},
        right={"nodes", "quorum"},
    )


_COLUMNS = (
    "id", "status", "created", "command", "who", "nodes", "outcome", "from", "quorum", "batch",
)  # fmt: skip


def _more(job: ListedJob) -> tuple[str, ...]:
    ended = outcome(job)
    quorum, batch = _number(job.quorum), job.batch or ""
    return job.who, _count(job), ended.text, job.origin or "", quorum, batch


def _count(job: ListedJob) -> str:
    return _number(job.node_count)


def _number(number: int | None) -> str:
    return "" if number is None else str(number)
