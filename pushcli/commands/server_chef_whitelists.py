"""What `pushcli server use-chef` shows of whitelists."""
# ruff: noqa: PLC0415

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pushcli_server.chef.copying import Counterpart
    from pushcli_server.chef.whitelists import Difference

_SHOWN = 20
"""Lines under one heading; all are in the other formats."""


def losing(counterparts: Mapping[str, "Counterpart"]) -> int:
    """Nodes that have entries here which are not in force there."""
    return sum(
        bool(one.lost)
        for counterpart in counterparts.values()
        for one in counterpart.differences.values()
    )


def lines(counterpart: "Counterpart") -> Iterator[str]:
    """In words, escaped; nodes of which the same is said stand together."""
    found = counterpart.differences
    there = {node: one for node, one in found.items() if one.there}
    yield from _part(
        "whitelist entries that are not there (--copy-whitelists puts them there):",
        {n: one.missing for n, one in there.items()},
    )
    yield from _part(
        "whitelist entries that differ there, and stay so:",
        {node: one.differs for node, one in there.items()},
    )
    yield from _part(
        "signed removals that are not known there:", {n: one.removals for n, one in there.items()}
    )
    yield from _part(
        "nodes that are not there, with whitelist entries here:",
        {node: one.missing for node, one in found.items() if not one.there},
    )
    yield from _part(
        "whitelists that cannot be looked at there:",
        {node: [why] for node, why in counterpart.failed.items()},
    )


def _part(heading: str, said: Mapping[str, Iterable[str]]) -> Iterator[str]:
    from pushcli.escape import escape_line
    from pushcli.terminal.folding import fold

    together: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for node, words in said.items():
        if words:
            together[tuple(words)].append(node)
    if together:
        yield heading
    for words, nodes in list(together.items())[:_SHOWN]:
        yield escape_line(f"  {fold(nodes)}: {', '.join(words)}")
    if left := [node for nodes in list(together.values())[_SHOWN:] for node in nodes]:
        yield f"  and {len(left):,} more nodes: see -F json"


def report(org: str, counterpart: "Counterpart") -> dict[str, object]:
    """For scripts."""
    return {
        "organization": org,
        "nodes": [_difference(node, one) for node, one in counterpart.differences.items()],
        "copied": counterpart.copied,
        "failed": [{"node": node, "error": why} for node, why in counterpart.failed.items()],
    }


def _difference(node: str, one: "Difference") -> dict[str, object]:
    return {
        "node": node, "exists": one.there, "missing": one.missing, "differs": one.differs,
        "removals": one.removals,
    }  # fmt: skip
