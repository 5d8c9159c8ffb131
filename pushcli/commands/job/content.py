"""The files that a job's start sends along."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pushcli.errors import UsageError
from pushcli.terminal.context import App
from pushcli.terminal.lazily import LazyModule

if TYPE_CHECKING:
    from pushcli.jobs import job_request
else:
    job_request = LazyModule("pushcli.jobs.job_request")


def require_one_reader(*, names: bool, files: Mapping[str, Path | None]) -> None:
    """Refuse to read standard input twice, before it is read at all: somebody may have to type it.

    Args:
        names: whether names of nodes come from there.
        files: by the option that named each.

    Raises:
        UsageError: another file would come from there, too.
    """
    is_read = names
    for option, file in files.items():
        if str(file) == job_request.STDIN:
            if is_read:
                raise UsageError(
                    "standard input was asked for twice", f"name a file: {option} FILE"
                )
            is_read = True


def content_of(app: App, file: Path | None, *, option: str = "--file") -> str | None:
    """The content of `--file`, or of what the option is called.

    Raises:
        UsageError: it cannot be read.
    """
    if file is None:
        return None
    return job_request.read_file(file, app.stdin, option=option)
