"""Which jobs go, or whose output: what is too old, and the oldest while there is too much.

And whether a clock may say what is old: one that is far ahead when the server starts would have
everything deleted at once.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

DAY = 86_400.0
_SILENCE = 7 * DAY
"""Seconds in which a server that is in use writes something."""


class Rules(NamedTuple):
    """How much is kept, of jobs or of their output.

    Args:
        age: seconds after a job's end for which it is kept; infinite: for ever.
        size: of all together: a number of jobs, or bytes of output.
    """

    age: float
    size: int

    def without_age(self) -> "Rules":
        """The same, but that nothing is too old."""
        return Rules(math.inf, self.size)


class Ended(NamedTuple):
    """A job that is over, since `at` (seconds since the epoch)."""

    job: str
    at: float


def is_plausible(now: float, written: float | None, ran: float) -> bool:
    """Whether ages may be told by this clock.

    Somebody wrote something in the week before yesterday, or the server has run by it for a day, in
    which people saw it. What was written since yesterday proves nothing: it has its time from this
    very clock. A server that was off for months deletes a day after its start.

    Args:
        now: seconds since the epoch, by this clock.
        written: when the newest record was made that is a day old by this clock; None: none is.
        ran: seconds that the server has run, which no clock's setting changes.
    """
    return written is None or ran >= DAY or now - DAY - written <= _SILENCE


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
