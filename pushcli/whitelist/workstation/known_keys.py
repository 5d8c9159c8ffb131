"""Which nodes would refuse an entry because their agents do not know a key of it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pushcli.errors import RequestRefused
from pushcli.escape import escape_line
from pushcli.terminal.asking import agrees
from pushcli.terminal.context import App
from pushcli.terminal.folding import fold
from pushcli.whitelist.entry import BASE_KEYS, keys_of
from pushcli.whitelist.statements import Change
from pushcli.whitelist.workstation import remote
from pushcli.whitelist.workstation.views import NodeWhitelist


class Part(NamedTuple):
    """Nodes on which the same changes can be made."""

    nodes: list[str]
    changes: list[Change]


class Refusal(NamedTuple):
    """An entry, the nodes that would refuse it, and the keys that their agents do not know."""

    name: str
    nodes: list[str]
    keys: list[str]


def understood(
    app: App, nodes: Sequence[str], changes: Sequence[Change]
) -> tuple[list[Part], list[Refusal]] | None:
    """The changes that can be made, and what stays as it is; None: the person declined.

    An agent that does not know a key refuses the entry, and the node would lose the command.

    Raises:
        RequestRefused: none of the nodes would accept any of it.
        UsageError: there is no terminal to ask on.
    """
    if not any(_is_new(change) for change in changes):
        return [Part([*nodes], [*changes])], []
    parts, refusals = divide(remote.read(app, nodes), changes)
    if not refusals:
        return parts, []
    for refusal in refusals:
        app.note(escape_line(words(refusal)))
    if not parts:
        raise RequestRefused("nothing to change", "upgrade pushcli on these nodes")
    if not agrees(app, "Leave them as they are, and change the rest?"):
        return None
    return parts, refusals


def divide(
    whitelists: Iterable[NodeWhitelist], changes: Sequence[Change]
) -> tuple[list[Part], list[Refusal]]:
    """The nodes by what they would accept of the changes, and what they would not."""
    parts: dict[tuple[str, ...], Part] = {}
    refusals: dict[tuple[str, frozenset[str]], Refusal] = {}
    for whitelist in whitelists:
        known = known_keys(whitelist)
        accepted = []
        for change in changes:
            unknown = frozenset() if known is None else _keys(change) - known
            if not unknown:
                accepted.append(change)
                continue
            refusal = Refusal(change.name, [], sorted(unknown))
            refusals.setdefault((change.name, unknown), refusal).nodes.append(whitelist.node)
        if accepted:
            names = tuple(change.name for change in accepted)
            parts.setdefault(names, Part([], accepted)).nodes.append(whitelist.node)
    return [*parts.values()], [*refusals.values()]


def known_keys(whitelist: NodeWhitelist) -> frozenset[str] | None:
    """The keys that the node's agent knows; None: it never reported anything."""
    report = whitelist.in_force
    if report is None:
        return None
    return BASE_KEYS if report.keys is None else frozenset(report.keys)


def words(refusal: Refusal) -> str:
    """One line for the person."""
    return (
        f"{fold(refusal.nodes)} would refuse the entry {refusal.name!r}: "
        f"the agent there does not know {', '.join(refusal.keys)}"
    )


def _keys(change: Change) -> frozenset[str]:
    return frozenset() if change.value is None else keys_of(change.value)


def _is_new(change: Change) -> bool:
    return not _keys(change) <= BASE_KEYS
