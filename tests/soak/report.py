"""What a run found, for a person: rows of slopes and counts, and what is wrong."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tests.soak.trend import Bound, Sample, complaint, fitted, is_flat


class Series(NamedTuple):
    """Something that must be flat; without a bound it is only shown.

    Args:
        name: what is measured, in MiB.
    """

    name: str
    bound: Bound | None


class Count(NamedTuple):
    """Something that is counted at rest, after the warm-up and at the end.

    Args:
        slack: by how much more there may be.
    """

    name: str
    before: int
    after: int
    slack: int

    @property
    def has_grown(self) -> bool:
        """Whether there is more of it."""
        return self.after > self.before + self.slack


def slopes(
    series: Sequence[Series], samples: Mapping[str, Sequence[Sample]], since: float
) -> list[str]:
    """A table."""
    lines = [f"{'MiB':26} {'first':>9} {'last':>9} {'an hour':>10} {'at most':>10}"]
    for name, bound in series:
        trend = fitted(samples[name], since)
        if trend is None:
            lines.append(f"{name:26} too few samples")
            continue
        line = f"{name:26} {trend.first:9.1f} {trend.last:9.1f} {trend.slope:+10.1f}"
        if bound is not None:
            line += f" {bound.slope:+10.0f}  {'flat' if is_flat(trend, bound) else 'GROWS'}"
        lines.append(line)
    return lines


def counts(found: Sequence[Count]) -> list[str]:
    """A table."""
    return [
        f"{'at rest':26} {'before':>9} {'after':>9}",
        *(
            f"{one.name:26} {one.before:9} {one.after:9} {'':10} {one.before + one.slack:>10}"
            f"  {'GROWS' if one.has_grown else 'flat'}"
            for one in found
        ),
    ]


def growing(
    series: Sequence[Series], samples: Mapping[str, Sequence[Sample]], since: float,
    counted: Sequence[Count],
) -> list[str]:  # fmt: skip
    """What grows, a line each."""
    found = [
        complaint(name, "MiB", fitted(samples[name], since), bound)
        for name, bound in series
        if bound is not None
    ]
    found += [
        f"{one.name} at rest: {one.after}, and {one.before} before" for one in counted
        if one.has_grown
    ]  # fmt: skip
    return [line for line in found if line is not None]
