"""Jobs as people name them: by the id, by its beginning, or as the last one that they started.

Every command that takes a job's id takes all three: its parameter is of the type
`pushcli.terminal.params.JobId`, and `job_id` makes the whole id of it.
"""

from collections.abc import Sequence

from pushcli.client import foreign
from pushcli.errors import NotFound, UsageError
from pushcli.escape import escape_line
from pushcli.jobs.pages import ListedJob, page_of
from pushcli.protocol.names import LAST_JOB, is_job_id
from pushcli.terminal.context import App

SHORT = 8
"""Digits of an id where it is shown to be read; more where that names several jobs."""
_NAMED = 5
"""Candidates in one line."""
_LONGEST = 30
"""Characters of a candidate's command."""


def job_id(app: App, named: str) -> str:
    """The whole id of the job; nobody is asked about one that is whole already.

    Args:
        named: `@last`, an id, or the beginning of one.

    Raises:
        NotFound: there is no such job, or none that may be read.
        UsageError: there are several.
    """
    if is_job_id(named):
        return named
    return _last(app) if named == LAST_JOB else _begun(app, named)


def _last(app: App) -> str:
    try:
        found = page_of(app.client.own_job_page({"limit": "1"}))
    except NotFound:
        if "own-jobs" in app.client.extensions:
            raise
        what = f"tell which job is {LAST_JOB}"
        raise foreign.cannot(app.client.extensions, what, "see `pushcli job list`") from None
    if not found.jobs:
        raise NotFound(
            f"{escape_line(app.client.name)} has not started a job yet", "see `pushcli job list`"
        )
    return found.jobs[0].id


def _begun(app: App, prefix: str) -> str:
    query = {"id_prefix": prefix, "limit": str(_NAMED + 1)}
    found = page_of(app.client.job_page(query)).jobs
    # An older server lists them all.
    fitting = [job for job in found if job.id.startswith(prefix)]
    if not fitting:
        raise NotFound(f"there is no job {prefix}", "see `pushcli job list`")
    if len(fitting) > 1:
        raise UsageError(
            f"several jobs begin with {prefix}", f"give more of {_candidates(fitting)}"
        )
    return fitting[0].id


def _candidates(jobs: Sequence[ListedJob]) -> str:
    digits = shortest([job.id for job in jobs])
    shown = [f"{job.id[:digits]} ({_short(job.command)})" for job in jobs[:_NAMED]]
    return ", ".join(shown) + ", ..." * (len(jobs) > _NAMED)


def _short(command: str) -> str:
    text = escape_line(command)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def shortest(ids: Sequence[str]) -> int:
    """How many digits tell these ids apart, `SHORT` at least."""
    digits = SHORT
    while len({one[:digits] for one in ids}) < len(set(ids)):
        digits += 1
    return digits
