"""Whether something grows: a line through samples, and what is too steep. Pure."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

HOUR = 3600.0
FEWEST = 10
"""Samples that a line needs."""


class Sample(NamedTuple):
    """What was seen `at` so many seconds after the begin."""

    at: float
    value: float


class Bound(NamedTuple):
    """How much growth is none.

    Args:
        slope: in an hour.
        noise: of the whole line: less than this is never growth, however short the run was.
    """

    slope: float
    noise: float


class Trend(NamedTuple):
    """The line of least squares through some samples.

    Args:
        begin, end: seconds; the line has the values `first` and `last` there.
    """

    begin: float
    end: float
    first: float
    last: float

    @property
    def growth(self) -> float:
        """From the begin to the end."""
        return self.last - self.first

    @property
    def slope(self) -> float:
        """Growth in an hour."""
        return self.growth / (self.end - self.begin) * HOUR


def fitted(samples: Sequence[Sample], since: float) -> Trend | None:
    """The line through the samples since then; None: there are too few."""
    found = [sample for sample in samples if sample.at >= since]
    if len(found) < FEWEST:
        return None
    times = [sample.at for sample in found]
    slope, intercept = statistics.linear_regression(times, [sample.value for sample in found])
    begin, end = times[0], times[-1]
    return Trend(begin, end, intercept + slope * begin, intercept + slope * end)


def is_flat(trend: Trend, bound: Bound) -> bool:
    """Whether it does not grow. What shrinks is flat, too."""
    return trend.slope <= bound.slope or trend.growth <= bound.noise


def complaint(name: str, unit: str, trend: Trend | None, bound: Bound) -> str | None:
    """What is wrong with it, in a line."""
    if trend is None:
        return f"{name}: fewer than {FEWEST} samples after the warm-up"
    if is_flat(trend, bound):
        return None
    return (
        f"{name} grows by {trend.slope:,.1f} {unit}/h (at most {bound.slope:g}): "
        f"from {trend.first:,.1f} to {trend.last:,.1f} {unit} "
        f"in {(trend.end - trend.begin) / 60:.1f} min"
    )
