"""Ending every job that is not over."""

from collections.abc import Sequence

from pushcli.client.answers import checked
from pushcli.errors import NotOffered, PushcliError
from pushcli.escape import escape_line
from pushcli.jobs.model import JobView
from pushcli.terminal.asking import agrees
from pushcli.terminal.context import App

_NAMED = 5
"""Commands that the question names."""


def abort_all(app: App) -> None:
    """Abort all jobs of the organization, once the operator agrees.

    Raises:
        PushcliError: some could not be aborted; the others were.
    """
    live = [job for job in checked(app.client.jobs(), list[JobView]) if not job.is_over]
    ended: list[dict[str, str]] = []
    if live and not agrees(app, _question(live)):
        return
    failed: list[tuple[JobView, PushcliError]] = []
    try:
        for job in live:
            try:
                status = app.client.abort_job(job.id)
            except NotOffered:
                # Nor is it for any other.
                raise
            except PushcliError as error:
                failed.append((job, error))
                continue
            ended.append({"id": job.id, "status": status})
            if app.is_text:
                app.print(_line(job.id, status))
    finally:
        if not app.is_text:
            app.emit(ended)
    if app.is_text and not live:
        app.print("No job is running.")
    if failed:
        job, why = failed[0]
        kind = type(why) if len(failed) == 1 else PushcliError
        raise kind(f"{_count(len(failed))} not aborted ({job.id}: {why.message})", why.remedy)


def _question(live: Sequence[JobView]) -> str:
    commands = list(dict.fromkeys(job.command for job in live))
    more = f" and {len(commands) - _NAMED} more" if len(commands) > _NAMED else ""
    named = ", ".join(escape_line(command)[:60] for command in commands[:_NAMED])
    return f"Abort {_count(len(live))} ({named}{more})?"


def _count(jobs: int) -> str:
    return "one job" if jobs == 1 else f"{jobs} jobs"


def _line(job_id: str, status: str) -> str:
    if status == "aborted":
        return f"{job_id}: aborted"
    return f"{job_id}: was already over ({escape_line(status)})"
