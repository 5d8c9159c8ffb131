"""Where jobs of the original server come from."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import msgspec

from pushcli_server.importing.original_job import OriginalJob

MAX_OUTPUT = 4 * 1024 * 1024
"""Bytes of a channel that are taken over: agents of the original send 63,000."""


class Unreadable(Exception):
    """One job, or its output, cannot be read; the text says why, in one line."""


class Named(NamedTuple):
    """A job, and the organization that it is said to belong to."""

    job_id: str
    org: str


class Captured(msgspec.Struct, frozen=True):
    """What a command wrote to stdout or stderr.

    Args:
        size: bytes that there are; of more than `MAX_OUTPUT` only the first are in `data`.
    """

    data: bytes
    size: int


class Output(msgspec.Struct, frozen=True):
    """What a command wrote on a node."""

    node: str
    stdout: Captured
    stderr: Captured


class Source(Protocol):
    """Jobs of the original server. Whatever cannot be reached raises a `PushcliError`."""

    @property
    def name(self) -> str:
        """For people; without a password."""
        ...

    def jobs(self) -> Iterator[list[Named]]:
        """All jobs, some at a time."""
        ...

    def job(self, job_id: str) -> OriginalJob | None:
        """One of them; None: it is not there any more.

        Raises:
            Unreadable: it cannot be read.
        """
        ...

    def outputs(self, job: OriginalJob) -> Iterator[Output]:
        """What was captured of a job.

        Raises:
            Unreadable: it, or the rest of it, cannot be read.
        """
        ...

    def close(self) -> None:
        """Ask no more."""
        ...
