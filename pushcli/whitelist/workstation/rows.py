"""One table for the whitelists of many nodes: equal entries are one row."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from pushcli.protocol.attributes import NORMAL
from pushcli.whitelist.workstation.views import EntryInForce, NodeWhitelist, ServerEntry, Signature

IN_FORCE = "in force"
LOCAL = "local"


class Row(NamedTuple):
    """An entry as it stands on some nodes.

    Args:
        state: where it comes from and whether it holds, in words.
        differs: whether it is not the same on all nodes of the table.
    """

    name: str
    value: Any
    state: str
    nodes: list[str]
    differs: bool


def rows(whitelists: Sequence[NodeWhitelist]) -> list[Row]:
    """By name; of one name the row with most nodes first."""
    groups: dict[tuple[str, bytes, str], tuple[Any, list[str]]] = {}
    for whitelist in whitelists:
        for name, value, state in _entries(whitelist):
            key = (name, msgspec.json.encode(value, order="sorted"), state)
            groups.setdefault(key, (value, []))[1].append(whitelist.node)
    ordered = sorted(groups.items(), key=lambda group: (group[0][0], -len(group[1][1]), group[0]))
    return [
        Row(name, value, state, nodes, len(nodes) < len(whitelists))
        for (name, _, state), (value, nodes) in ordered
    ]


def state(whitelist: NodeWhitelist, name: str) -> str:
    """In words, if the entry of this name holds on the node, or why not; empty without one."""
    return "; ".join(found for other, _, found in _entries(whitelist) if other == name)


def notes(whitelists: Iterable[NodeWhitelist]) -> dict[str, list[str]]:
    """What is to be said of nodes as a whole: each line with the nodes that it is true of."""
    found: dict[str, list[str]] = defaultdict(list)
    for whitelist in whitelists:
        report = whitelist.in_force
        if report is not None and report.error:
            found[f"what was in force before stays: {report.error}"].append(whitelist.node)
        if report is not None and report.left_out:
            found[f"{report.left_out} more entries did not fit into the report"].append(
                whitelist.node
            )
    return dict(found)


def _entries(whitelist: NodeWhitelist) -> Iterator[tuple[str, Any, str]]:
    """Name, value and state of everything that is there or holds."""
    report = whitelist.in_force
    in_force = {entry.name: entry for entry in report.entries} if report else {}
    refused = {refusal.name: refusal.reason for refusal in report.refused} if report else {}
    for entry in whitelist.entries:
        holds = in_force.get(entry.name)
        yield entry.name, entry.value, _state(entry, holds, refused.get(entry.name), whitelist)
    on_server = {entry.name for entry in whitelist.entries}
    for holding in in_force.values():
        if holding.source == LOCAL:
            yield holding.name, holding.value, LOCAL
        elif holding.name not in on_server:
            yield holding.name, holding.value, "removed, still in force"


def _state(
    entry: ServerEntry, holds: EntryInForce | None, refusal: str | None, whitelist: NodeWhitelist
) -> str:
    if refusal is not None:
        said = f"refused: {refusal}"
    elif holds is not None and holds.source == LOCAL:
        said = "hidden by the local entry"
    elif holds is not None and _same(holds, entry):
        said = IN_FORCE
    elif whitelist.in_force is None:
        said = "not reported"
    elif holds is None and whitelist.in_force.left_out:
        said = "not in the report"
    else:
        said = "not yet in force"
    marks = [said]
    if entry.signature is Signature.MISMATCH:
        marks.append("unsigned: changed since it was signed")
    elif entry.signer is None:
        marks.append("unsigned")
    elif entry.signature is Signature.UNKNOWN_KEY:
        marks.append(f"signed with no known key of {entry.signer}")
    if entry.level != NORMAL:
        marks.append(f"set at {entry.level}")
    return ", ".join(marks)


def _same(holds: EntryInForce, entry: ServerEntry) -> bool:
    return (holds.value, holds.version) == (entry.value, entry.version)
