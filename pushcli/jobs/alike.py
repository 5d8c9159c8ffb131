"""Nodes of a job that came to the same end, for a table of few rows. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pushcli.jobs.model import NodeResult
from pushcli.jobs.wording import explain_together
from pushcli.terminal.reasons import since

MOST_ROWS = 12
"""Beyond, those of fewest nodes are put together, whatever their reasons."""
_ORDER = (
    "succeeded", "was_ready", "new", "ready", "running", "aborted", "timed_out", "crashed",
    "failed", "nacked", "unavailable",
)  # fmt: skip


class Alike(NamedTuple):
    """Nodes in the same state; `reasons` is 1 but where several were put together."""

    results: list[NodeResult]
    reasons: int = 1

    @property
    def state(self) -> str:
        """Of each of the nodes."""
        return self.results[0].state

    @property
    def exit_code(self) -> int | None:
        """Of each of the nodes, if it is the same and known."""
        codes = {exit_code(result) for result in self.results}
        return codes.pop() if len(codes) == 1 else None

    @property
    def why(self) -> str:
        """Why, without what the exit code says."""
        if self.reasons > 1:
            return f"{self.reasons} more reasons; -V tells all"
        return _without_code(self.results)


def exit_code(result: NodeResult) -> int | None:
    """What its command ended with; 0 where it succeeded and the server says no more."""
    if result.exit_code is None and result.state == "succeeded" and result.ended_at is not None:
        return 0
    return result.exit_code


def alike(results: Iterable[NodeResult]) -> list[Alike]:
    """Those that came to the same end for the same reason, whenever; what succeeded first."""
    groups: dict[tuple[str, int | None, str], Alike] = {}
    for result in results:
        kind, moment = since(result.reason or "")
        key = result.state, exit_code(result), kind if moment else _without_code([result])
        groups.setdefault(key, Alike([])).results.append(result)
    by_size = sorted(groups.values(), key=lambda group: -len(group.results))
    return sorted(_few(by_size), key=lambda group: (_rank(group.state), -len(group.results)))


def _few(groups: Sequence[Alike]) -> list[Alike]:
    """At most `MOST_ROWS`, however many there are."""
    for kept in range(min(len(groups), MOST_ROWS), -1, -1):
        rest: dict[str, list[Alike]] = {}
        for group in groups[kept:]:
            rest.setdefault(group.state, []).append(group)
        if kept + len(rest) <= MOST_ROWS or kept == 0:
            return [*groups[:kept], *map(_together, rest.values())]
    return []


def _together(groups: Sequence[Alike]) -> Alike:
    return Alike([result for group in groups for result in group.results], len(groups))


def _rank(state: str) -> int:
    return _ORDER.index(state) if state in _ORDER else len(_ORDER)


def _without_code(results: Sequence[NodeResult]) -> str:
    parts = explain_together(results).split(", ")
    return ", ".join(part for part in parts if part != f"exit code {results[0].exit_code}")
