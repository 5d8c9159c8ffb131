"""Where jobs of the original server come from."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import msgspec

from pushcli_server.importing.original_job import OriginalJob

MAX_OUTPUT = 4 * 1024 * 1024
"""Bytes of a channel that are taken over: agents of the original send 63,000."""


class Unreadable(Exception):
    """One job, or its output, cannot be read; the text says why, in one line."""


class Passing(Unreadable):
    """A part of it cannot be read just now: the job is left for a later run."""


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


class Read(NamedTuple):
    """A job as it was read, or why it cannot be.

    Args:
        outputs: what was captured of it; `Unreadable` while it is gone through: it, or the rest of
            it, cannot be read; `Passing`, that it can later.
    """

    job_id: str
    job: OriginalJob | Unreadable
    outputs: Iterable[Output] = ()


class Source(Protocol):
    """Jobs of the original server. Whatever cannot be reached raises a `PushcliError`."""

    @property
    def name(self) -> str:
        """For people; without a password."""
        ...

    def jobs(self) -> tuple[int, Iterator[list[Named]]]:
        """All jobs, some at a time, and how many they are; more or fewer while it is in use."""
        ...

    def read(self, job_ids: Sequence[str], *, outputs: bool) -> Iterator[Read]:
        """These jobs, but for those that are not there any more.

        The memory that they take is bounded as long as none of them is kept.

        Args:
            job_ids: valid ones, at most as many as come from `jobs` at a time.
            outputs: whether their output is wanted, too.
        """
        ...

    def close(self) -> None:
        """Ask no more."""
        ...
