"""The files that a job's start sends along."""

from pathlib import Path
from typing import TYPE_CHECKING

from pushcli.errors import UsageError
from pushcli.terminal.context import App
from pushcli.terminal.lazily import LazyModule

if TYPE_CHECKING:
    from pushcli.jobs import job_request
else:
    job_request = LazyModule("pushcli.jobs.job_request")


def content_of(app: App, file: Path | None, *, is_read: bool, option: str = "--file") -> str | None:
    """The content of `--file`, or of what the option is called.

    Args:
        is_read: whether something else comes from standard input.

    Raises:
        UsageError: so would the file, or it cannot be read.
    """
    if file is None:
        return None
    if str(file) == job_request.STDIN and is_read:
        raise UsageError("standard input was asked for twice", f"name a file: {option} FILE")
    return job_request.read_file(file, app.stdin, option=option)
