"""Asking which nodes are there, and what is wrong with them."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import compress
from typing import Any

import msgspec

from pushcli import durations
from pushcli.client import foreign
from pushcli.client.answers import checked
from pushcli.client.paths import quoted
from pushcli.errors import PermissionDenied
from pushcli.escape import escape_line
from pushcli.nodes import targets
from pushcli.protocol.names import by_number
from pushcli.terminal.context import App, is_terminal
from pushcli.terminal.folding import fold
from pushcli.terminal.reasons import in_short
from pushcli.terminal.table import write_table
from pushcli.terminal.times import dated, until

Raw = dict[str, Any]
EXTENSION = "node-status"
_ASKED_ONE_BY_ONE = 20
"""Names that the server's list leaves out; a search can find thousands."""
_LEAST_NOTE = 20
"""Columns of a note that are shown however narrow the terminal."""
_NEVER_SEEN = {"status": "offline", "availability": "unavailable"}
"""What the server says of such a node."""
_UNKNOWN = {"reason": "unknown: no such node"}
"""What it would say of a name that its list lacks."""


class NodeAvailability(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of `GET node_states`; the old server's list has no `status`."""

    node_name: str
    availability: str
    status: str | None = None


class _Whitelist(msgspec.Struct, frozen=True):
    error: str | None = None
    entries: int = 0
    refused: int = 0


class _Paused(msgspec.Struct, frozen=True):
    reason: str
    by: str
    until: float


class _Pinned(msgspec.Struct, frozen=True):
    editor: str
    key: str
    first_use: bool = False


class _Detail(msgspec.Struct, frozen=True):
    """What our server adds to a node's availability (docs/extensions.md)."""

    node_name: str
    reason: str | None = None
    jobs: list[str] = []
    clock_ahead: float | None = None
    """Seconds; only where what the node says is refused for it."""
    whitelist: _Whitelist | None = None
    open: list[str] = []
    pinned: list[_Pinned] = []
    agent: str | None = None
    last_contact: float | None = None
    """Seconds since the epoch."""
    paused: _Paused | None = None


def show(
    app: App, names: Sequence[str], *, unseen_for: float | None = None, troubled: bool = False
) -> None:
    """The nodes, of these names or all; what is wrong with a whitelist stands beside it.

    Args:
        unseen_for: only those that were not heard of for so many seconds, or never.
        troubled: only those that no job would get, or whose whitelist is wrong.

    Raises:
        UsageError: the server does not tell when it heard of nodes.
    """
    states, raw = node_states(app, names)
    if EXTENSION in app.client.extensions:
        raw = _detailed(app, raw)
    elif unseen_for is not None:
        what = "tell when it heard of nodes"
        raise foreign.cannot(app.client.extensions, what, "see its log")
    if unseen_for is not None:
        latest = time.time() - unseen_for
        unseen = [(one.last_contact or 0.0) <= latest for one in checked(raw, list[_Detail])]
        states, raw = list(compress(states, unseen)), list(compress(raw, unseen))
    everything = [state.availability for state in states]
    if troubled:
        bad = list(map(_is_troubled, states, checked(raw, list[_Detail])))
        states, raw = list(compress(states, bad)), list(compress(raw, bad))
    if not app.is_text:
        app.emit([_as_data(one) for one in raw])
        return
    if is_terminal(app.stdout) and len(everything) > 1:
        app.print(_tally(everything))
    details = {detail.node_name: detail for detail in checked(raw, list[_Detail])}
    _write(app, states, details)
    if unknown := _strangers(app, names, details.values()):
        app.note(escape_line(f"{unknown.what}: {unknown.remedy}"))
    for opened, nodes in _open(details.values()).items():
        app.note(escape_line(f"{fold(nodes)}: open: {opened} (see docs/whitelist.md)"))
    for pinned, nodes in _pinned(details.values(), all_of_them=bool(app.options.verbose)).items():
        app.note(escape_line(f"{fold(nodes)}: {pinned}"))
    for name, detail in details.items():
        if detail.clock_ahead is not None:
            app.note(escape_line(f"{name}: {detail.reason}; synchronize it"))
        if detail.whitelist is not None and detail.whitelist.error:
            app.note(escape_line(f"{name}: its whitelist: {detail.whitelist.error}"))


def _strangers(
    app: App, names: Sequence[str], details: Iterable[_Detail]
) -> targets.Strangers | None:
    """Those of the names that are no node's; None: there are none, or an old server cannot tell."""
    silent = {detail.node_name for detail in details if detail.last_contact is None}
    asked = [name for name in dict.fromkeys(names) if name in silent]
    if not asked or EXTENSION not in app.client.extensions:
        return None
    return targets.strangers(asked, [state.node_name for state in node_states(app)[0]])


def _is_troubled(state: NodeAvailability, detail: _Detail) -> bool:
    """Whether a node needs a look."""
    wrong = detail.whitelist is not None and (detail.whitelist.error or detail.whitelist.refused)
    return state.availability != "available" or bool(wrong)


def _tally(availabilities: Sequence[str]) -> str:
    """`412 nodes: 398 available, 14 unavailable`."""
    counts = Counter(availabilities)
    order = sorted(counts, key=lambda each: (each != "available", each))
    told = ", ".join(f"{counts[each]:,} {escape_line(each)}" for each in order)
    return f"{len(availabilities):,} nodes: {told}"


def _as_data(raw: Raw) -> Raw:
    """A node as programs get it: the server's own words, with dates in ISO 8601."""
    told = dated(raw, "last_contact")
    for key, dates in _DATES_WITHIN.items():
        if isinstance(told.get(key), dict):
            told[key] = dated(told[key], *dates)
    return told


_DATES_WITHIN = {"whitelist": ("at",), "paused": ("since", "until")}


def _open(details: Iterable[_Detail]) -> dict[str, list[str]]:
    """What of a job is its caller's choice, with the nodes where that is so."""
    found: dict[str, list[str]] = defaultdict(list)
    for detail in details:
        if detail.open:
            found[", ".join(detail.open)].append(detail.node_name)
    return found


def _pinned(details: Iterable[_Detail], *, all_of_them: bool) -> dict[str, list[str]]:
    """Whose edits nodes accept by themselves, with those nodes.

    Args:
        all_of_them: else those alone that they took on first use, which nobody compared.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for detail in details:
        first = [f"{one.editor} {one.key}" for one in detail.pinned if one.first_use]
        others = [f"{one.editor} {one.key}" for one in detail.pinned if not one.first_use]
        if first:
            words = f"editors pinned on first use: {', '.join(first)}"
            found[words].append(detail.node_name)
        if others and all_of_them:
            found[f"editors pinned: {', '.join(others)}"].append(detail.node_name)
    return found


def _write(app: App, states: Sequence[NodeAvailability], details: dict[str, _Detail]) -> None:
    told = [(s.node_name, s.availability) for s in states]
    header: tuple[str, ...] = ("node", "availability")
    rows: list[tuple[str, ...]] = list(told)
    if app.options.verbose:
        header += ("why", "whitelist", "jobs")
        rows = [(*row, *_words(details[row[0]])) for row in told]
    if EXTENSION in app.client.extensions:
        header += ("agent", "seen", "open", "note")
        now = time.time()
        explained = bool(app.options.verbose)
        rows = [
            (*row, *_contact(app, details[row[0]], now, is_explained=explained)) for row in rows
        ]
    write_table(app, header, rows, cut={"note": _LEAST_NOTE})


def _contact(
    app: App, detail: _Detail, now: float, *, is_explained: bool
) -> tuple[str, str, str, str]:
    """Its agent, how long ago it was heard of, what is open there, and why no job gets it.

    Args:
        is_explained: a column beside says why it is unavailable.
    """
    agent = (detail.agent or "").removeprefix("pushcli/")
    seen = "never"
    if detail.last_contact is not None:
        seen = f"{durations.words(max(0.0, now - detail.last_contact))} ago"
    note = "" if is_explained else in_short(detail.reason or "")
    if (paused := detail.paused) is not None:
        note = f"paused, ends {until(app, paused.until)}: {paused.reason} ({paused.by})"
    return agent, seen, ", ".join(detail.open), note


def _words(detail: _Detail) -> tuple[str, str, str]:
    whitelist = detail.whitelist
    entries = "" if whitelist is None else _count(whitelist.entries)
    if whitelist is not None and whitelist.refused:
        entries += f", {whitelist.refused} refused"
    return detail.reason or "", entries, ", ".join(detail.jobs)


def _count(entries: int) -> str:
    return "1 entry" if entries == 1 else f"{entries} entries"


def jobs_of(app: App, names: Sequence[str]) -> dict[str, list[str]]:
    """The jobs in which these nodes have a part now; none where the server cannot tell."""
    if EXTENSION not in app.client.extensions:
        return {}
    try:
        found = _details(app, names)
    except PermissionDenied:
        # Who may delete nodes need not be one who may look at jobs.
        return {}
    wanted = frozenset(names)
    details = checked(found, list[_Detail])
    return {one.node_name: one.jobs for one in details if one.node_name in wanted}


def _detailed(app: App, states: list[Raw]) -> list[Raw]:
    """The same nodes with what our server knows more of them."""
    found = _details(app, [state["node_name"] for state in states])
    checked(found, list[_Detail])
    by_name = {detail["node_name"]: detail for detail in found}
    return [{**state, **by_name.get(state["node_name"], _UNKNOWN)} for state in states]


def _details(app: App, names: Sequence[str]) -> list[Raw]:
    """What our server knows of this node, or, for any other number of names, of all."""
    if len(names) == 1:
        told: Raw = app.client.get(f"pushy/node_status/{quoted(names[0])}")
        return [told]
    everything: list[Raw] = app.client.get("pushy/node_status")
    return everything


def node_states(app: App, names: Sequence[str] = ()) -> tuple[list[NodeAvailability], list[Raw]]:
    """The nodes of these names in their order, else all by name; and the server's own words."""
    raw = _named(app, list(dict.fromkeys(names))) if names else app.client.node_states()
    states = checked(raw, list[NodeAvailability])
    if names:
        return states, raw
    order = sorted(range(len(states)), key=lambda i: by_number(states[i].node_name))
    return [states[i] for i in order], [raw[i] for i in order]


def _named(app: App, names: Sequence[str]) -> list[Raw]:
    """Each of the names: one request for one node, or the list and what it leaves out."""
    listed: dict[str, Raw] = {}
    if len(names) > 1:
        states = app.client.node_states()
        checked(states, list[NodeAvailability])
        listed = {state["node_name"]: state for state in states}
    missing = [name for name in names if name not in listed]
    if len(missing) > _ASKED_ONE_BY_ONE:
        listed |= {name: {"node_name": name, **_NEVER_SEEN} for name in missing}
    else:
        listed |= {name: app.client.node_state(name) for name in missing}
    return [listed[name] for name in names]
