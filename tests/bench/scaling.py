"""What a fleet costs as it grows, as a page with tables and plots."""

from collections.abc import Callable, Sequence
from operator import attrgetter

import msgspec

PAGE = """# What a fleet costs as it grows

Written by `make bench-fleet N="{counts}" FLEET="{options}"`, which measures it all anew.
{kind}, {interval:g} s heartbeats, {database}. Server and simulated agents share the machine:
{machine}.

{table}

The floor is a bare loop without Push Jobs' rules, in the same run: the same agents connect, and are
sent a commit, a vote, a run and a result each, in turn. Times are medians of {rounds}.

{plots}
"""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of a fleet: seconds, where nothing else is said."""

    nodes: int
    floor: float
    """A round of the bare loop."""
    configured: float
    """Until all had fetched their configuration and were available."""
    rest: float
    """Processor time of the server in a second in which nothing happens."""
    job: float
    """A job of `true` over all, from its POST until its results were stored."""
    job_used: float
    """The server's processor time for it."""
    captured: float
    """The same with 1 KB of output of each node."""
    single: float
    """Jobs of one node each, in a second."""
    memory: float
    """MiB of the server, resident, after all jobs."""
    back: float
    """Until all were available again after the server was killed."""


_ROWS: tuple[tuple[str, Callable[[Figures], float], str], ...] = (
    ("floor: a round over all", attrgetter("floor"), "{:.2f} s"),
    ("job of `true` over all", attrgetter("job"), "{:.2f} s"),
    ("... in rounds of the floor", lambda each: each.job / each.floor, "{:.1f}"),
    ("... processor time of the server", attrgetter("job_used"), "{:.2f} s"),
    ("1 KB of output of each node", attrgetter("captured"), "{:.2f} s"),
    ("jobs of one node each", attrgetter("single"), "{:.0f} in a second"),
    ("at rest, of a core", attrgetter("rest"), "{:.1%}"),
    ("memory of the server after all jobs", attrgetter("memory"), "{:.0f} MiB"),
    ("all available, from nothing", attrgetter("configured"), "{:.1f} s"),
    ("all back after the server was killed", attrgetter("back"), "{:.1f} s"),
)

_PLOTS: tuple[tuple[str, str, tuple[Callable[[Figures], float], ...]], ...] = (
    (
        "A job over all nodes, and the floor (lower line)",
        "seconds",
        (attrgetter("job"), attrgetter("floor")),
    ),
    ("Processor time at rest", "percent of a core", (lambda each: each.rest * 100,)),
    ("Memory of the server after all jobs", "MiB", (attrgetter("memory"),)),
    (
        "From nothing (upper line) and from a killed server to all available",
        "seconds",
        (attrgetter("configured"), attrgetter("back")),
    ),
)


def page(
    measured: Sequence[Figures], *, kind: str, database: str, interval: float, rounds: int,
    machine: str, options: str,
) -> str:  # fmt: skip
    """The whole page, in Markdown.

    Args:
        measured: of the smallest fleet first.
    """
    return PAGE.format(
        counts=" ".join(str(each.nodes) for each in measured),
        kind=kind.capitalize(), database=database, interval=interval, rounds=rounds,
        machine=machine, options=options, table=_table(measured),
        plots="\n\n".join(_plot(measured, *plot) for plot in _PLOTS),
    )  # fmt: skip


def _table(measured: Sequence[Figures]) -> str:
    heads = ["nodes", *(f"{each.nodes:,}" for each in measured)]
    rows = [heads, ["---", *("---:" for _ in measured)]]
    for name, value, form in _ROWS:
        rows.append([name, *(form.format(value(each)) for each in measured)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _plot(
    measured: Sequence[Figures],
    title: str,
    unit: str,
    values: Sequence[Callable[[Figures], float]],
) -> str:
    lines = "\n".join(
        f"    line [{', '.join(f'{value(each):.2f}' for each in measured)}]" for value in values
    )
    nodes = ", ".join(f'"{each.nodes:,}"' for each in measured)
    return (
        "```mermaid\nxychart-beta\n"
        f'    title "{title}"\n    x-axis "nodes" [{nodes}]\n    y-axis "{unit}"\n{lines}\n```'
    )
