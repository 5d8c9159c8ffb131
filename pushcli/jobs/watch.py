"""A job's progress as a row of snapshots, however they come.

For now by asking again and again, at first often: most jobs are over within a second.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from pushcli.client.answers import checked
from pushcli.errors import ServerError, ServerUnreachable
from pushcli.jobs.model import JobView
from pushcli.terminal.context import App

FIRST_PAUSE = 0.02
GROWTH = 1.15
"""Each pause to the next: a job's end is noticed late by at most this part of its length."""
PATIENCE = 60.0
"""How long a server may be away (restarted, say) while we watch, in seconds."""
RETRY_PAUSE = 0.5


class Snapshot(NamedTuple):
    """A job at one moment, and the server's own words for it."""

    job: JobView
    raw: dict[str, Any]


def snapshots(
    app: App, job_id: str, *, interval: float, note: Callable[[str], None]
) -> Iterator[Snapshot]:
    """The job now and then, up to and with its end.

    Args:
        interval: the longest pause between two looks, in seconds.
        note: is told when the server is away.

    Raises:
        PushcliError: the server refused, or was away for longer than `PATIENCE`.
    """
    pause = min(FIRST_PAUSE, interval)
    while True:
        snapshot = _patiently(app, job_id, note)
        yield snapshot
        if snapshot.job.is_over:
            return
        app.sleep(pause)
        pause = min(pause * GROWTH, interval)


def look(app: App, job_id: str) -> Snapshot:
    """The job as it is now."""
    raw = app.client.job(job_id)
    return Snapshot(checked(raw, JobView), raw)


def _patiently(app: App, job_id: str, note: Callable[[str], None]) -> Snapshot:
    """The job as it is now, or as it is when the server is back: jobs outlive a restart."""
    given_up = None
    while True:
        try:
            return look(app, job_id)
        except (ServerUnreachable, ServerError) as error:
            now = app.clock()
            if given_up is None:
                given_up = now + PATIENCE
                note(f"{error.message}: the job goes on; retrying for {PATIENCE:.0f} s ...")
            if now >= given_up:
                raise
        app.sleep(RETRY_PAUSE)
