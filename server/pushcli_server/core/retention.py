"""Which jobs go, or whose output: what is too old, and the oldest while there is too much."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Rules(NamedTuple):
    """How much is kept, of jobs or of their output.

    Args:
        age: seconds after a job's end for which it is kept; infinite: for ever.
        size: of all together: a number of jobs, or bytes of output.
    """

    age: float
    size: int


class Ended(NamedTuple):
    """A job that is over, since `at` (seconds since the epoch)."""

    job: str
    at: float


def expired(jobs: Sequence[Ended], now: float, rules: Rules) -> list[str]:
    """Those of these jobs that are too old, or their output."""
    return [job.job for job in jobs if job.at <= now - rules.age]


def surplus(
    jobs: Sequence[Ended], sizes: Mapping[str, int], stored: int, rules: Rules, *, are_more: bool
) -> list[str]:
    """The first of these jobs without which, or their output, there may be little enough.

    The job that ended last stays, however large it is. Where jobs wrote the same, less becomes free
    than their sizes say: what is left to do another look shows.

    Args:
        jobs: the oldest, in their order.
        sizes: what counts of each, by job.
        stored: what counts of all.
        are_more: whether there are jobs beside these.
    """
    chosen: list[str] = []
    excess = stored - rules.size
    for job, _ in jobs if are_more else jobs[:-1]:
        if excess <= 0:
            break
        chosen.append(job)
        excess -= sizes.get(job, 0)
    return chosen
