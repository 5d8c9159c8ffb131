"""Whose output is to go: what is too old, and the oldest while there is too much. No I/O."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Rules(NamedTuple):
    """How much output is kept.

    Args:
        age: seconds after a job's end for which its output is kept; infinite: for ever.
        size: bytes of all output together.
    """

    age: float
    size: int


class Ended(NamedTuple):
    """A job that is over and has output; `at` in seconds since the epoch."""

    job: str
    at: float


def expired(jobs: Sequence[Ended], now: float, rules: Rules) -> list[str]:
    """Those of these jobs whose output is too old."""
    return [job.job for job in jobs if job.at <= now - rules.age]


def surplus(
    jobs: Sequence[Ended], sizes: Mapping[str, int], stored: int, rules: Rules, *, are_more: bool
) -> list[str]:
    """The first of these jobs without whose output there may be little enough.

    The output of the job that ended last stays, however much it is. Where jobs wrote the same,
    less becomes free than their sizes say: what is left to do another look shows.

    Args:
        jobs: the oldest, in their order.
        sizes: bytes of their output, by job.
        stored: bytes of all output.
        are_more: whether there are jobs with output beside these.
    """
    chosen: list[str] = []
    excess = stored - rules.size
    for job, _ in jobs if are_more else jobs[:-1]:
        if excess <= 0:
            break
        chosen.append(job)
        excess -= sizes.get(job, 0)
    return chosen
