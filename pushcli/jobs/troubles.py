"""The nodes of a job that need a look, and why: few lines, however many nodes and reasons."""

from collections.abc import Iterable, Iterator, Sequence

from pushcli.escape import escape_line
from pushcli.jobs.model import ABSENT, NodeResult
from pushcli.jobs.wording import explain, explain_together
from pushcli.terminal.folding import fold
from pushcli.terminal.reasons import remedy, since

MOST_LINES = 12
"""Of all states together; the reasons of fewest nodes are only counted beyond."""
_MOST_MOMENTS = 3
"""Moments that are told apart: a rack that goes down does so within minutes."""
_TROUBLED = ("running", "aborted", "timed_out", "crashed", "failed")
"""States of nodes that took part, and did not end well."""
_UNREMARKABLE = frozenset({"succeeded", "was_ready"})


class _Group:
    """Nodes in the same state for the same reason, by the moment since when."""

    def __init__(self, state: str, sample: NodeResult) -> None:
        self.state = state
        self.remedy = remedy(sample.reason or "")
        self.moments: dict[str, list[NodeResult]] = {}

    @property
    def nodes(self) -> list[str]:
        return [result.node for results in self.moments.values() for result in results]

    def lines(self) -> Iterator[str]:
        """As they are shown."""
        if len(self.moments) <= _MOST_MOMENTS:
            for _, results in sorted(self.moments.items()):
                yield _line(self.state, [r.node for r in results], explain(results[0]))
        else:
            samples = [results[0] for results in self.moments.values()]
            yield _line(self.state, self.nodes, explain_together(samples))
        if self.remedy is not None:
            yield f"  {self.remedy}"


def exceptions(results: Iterable[NodeResult], *, whole: bool = False) -> list[str]:
    """The nodes that need a look and why, a line per state and reason.

    Those that did not take part come first, those that failed last, where the eye is.

    Args:
        whole: all reasons, however many there are.
    """
    groups: dict[tuple[str, str], _Group] = {}
    for result in results:
        if result.state in _UNREMARKABLE and not result.dropped:
            continue
        why = explain(result)
        kind, moment = since(result.reason or "")
        key = result.state, kind if moment else why
        group = groups.setdefault(key, _Group(result.state, result))
        group.moments.setdefault(moment, []).append(result)
    everything = list(groups.values())
    shown, rest = (_ordered(everything), []) if whole else _most(everything)
    lines = [line for group in shown for line in group.lines()]
    return [*_others(rest), *lines]


def _most(groups: Sequence[_Group]) -> tuple[list[_Group], list[_Group]]:
    """As many as there is room for, in the order in which they are shown, and the others."""
    by_size = sorted(groups, key=lambda group: (group.state in ABSENT, -len(group.nodes)))
    room, kept = MOST_LINES, set[int]()
    for group in by_size:
        room -= len(list(group.lines()))
        if room < 0:
            break
        kept.add(id(group))
    order = _ordered(groups)
    return [g for g in order if id(g) in kept], [g for g in order if id(g) not in kept]


def _ordered(groups: Sequence[_Group]) -> list[_Group]:
    return sorted(groups, key=lambda group: _rank(group.state))


def _others(groups: Sequence[_Group]) -> Iterator[str]:
    """A line per state for those that there was no room for."""
    for state in dict.fromkeys(group.state for group in groups):
        alike = [group for group in groups if group.state == state]
        nodes = [node for group in alike for node in group.nodes]
        more = "another reason" if len(alike) == 1 else f"{len(alike)} more reasons"
        yield _line(state, nodes, f"{more}; -V tells all")


def _rank(state: str) -> int:
    order = (*ABSENT, *_TROUBLED)
    return order.index(state) if state in order else len(ABSENT)


def _line(state: str, nodes: Sequence[str], why: str) -> str:
    count = f"{len(nodes)} " if len(nodes) > 1 else ""
    text = f"{count}{escape_line(state)}: {fold(map(escape_line, nodes))}"
    return f"{text} ({why})" if why else text
