"""Showing whitelists: a table of many, and differences."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pushcli.escape import escape_line
from pushcli.exit_status import ExitStatus
from pushcli.terminal.context import App
from pushcli.terminal.folding import fold
from pushcli.terminal.table import write_table
from pushcli.terminal.times import dated
from pushcli.whitelist import toml_text
from pushcli.whitelist.workstation import local, words
from pushcli.whitelist.workstation.rows import IN_FORCE, LOCAL, Row, notes, rows
from pushcli.whitelist.workstation.views import NodeWhitelist

_COLOURS = {"+": "green", "-": "red"}


def show_list(app: App, whitelists: Sequence[NodeWhitelist]) -> None:
    """The table; what is not the same on all nodes stands out."""
    if not app.is_text:
        app.emit([_as_data(one) for one in whitelists])
        return
    write_rows(app, rows(whitelists))
    for line, nodes in notes(whitelists).items():
        app.note(escape_line(f"{fold(nodes)}: {line}"))
    if empty := [one.node for one in whitelists if not one.entries and not one.local]:
        app.note(f"{fold(empty)}: no entries")


def _as_data(whitelist: NodeWhitelist) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(whitelist)
    if report := told.get("in_force"):
        entries = [dated(entry, "since") for entry in report["entries"]]
        told["in_force"] = {**dated(report, "at"), "entries": entries}
    return told


def show_file(app: App, path: Path) -> None:
    """The whitelist of an `agent.toml`; what makes the agent refuse it is marked."""
    found = local.rows(path)
    if app.is_text:
        write_rows(app, found)
    else:
        app.emit([row_as_data(row) for row in found])


def row_as_data(row: Row) -> dict[str, Any]:
    """An entry of a file as programs get it."""
    return {"name": row.name, "value": row.value, "state": row.state}


def write_rows(app: App, found: Sequence[Row]) -> None:
    """The rows as a table."""
    header = ("entry", "command", "options", "state", "nodes")
    cells = [
        (row.name, words.command(row.value), words.options(row.value), row.state, fold(row.nodes))
        for row in found
    ]
    styles = [_style(row) for row in found]
    write_table(app, header, cells, styles=styles, cut={"options": 7, "command": 12, "nodes": 12})


def _style(row: Row) -> str:
    if row.state.startswith(("refused", "invalid", "removed")):
        return "red"
    return "yellow" if row.differs or row.state not in (IN_FORCE, LOCAL) else ""


def in_effect(whitelist: NodeWhitelist) -> dict[str, Any]:
    """What would run: the server's entries, and over them those of the node's own files."""
    entries = {entry.name: entry.value for entry in whitelist.entries}
    return entries | {name: entry.value for name, entry in whitelist.local.items()}


def show_difference(
    app: App, titles: tuple[str, str], left: Mapping[str, Any], right: Mapping[str, Any]
) -> ExitStatus:
    """The entries that are not the same, as lines that go and lines that come."""
    names = [name for name in {**left, **right} if left.get(name) != right.get(name)]
    if not app.is_text:
        sides = (("left", titles[0], left), ("right", titles[1], right))
        app.emit({side: {"of": title, "entries": {n: content[n] for n in names if n in content}}
                  for side, title, content in sides})  # fmt: skip
    else:
        write_difference(app, titles, lines(left), lines(right))
    return ExitStatus.DIFFERENT if names else ExitStatus.OK


def lines(entries: Mapping[str, Any]) -> list[str]:
    """The entries as TOML, sorted."""
    return [toml_text.pair(name, value) for name, value in sorted(entries.items())]


def write_difference(
    app: App, titles: tuple[str, str], left: Sequence[str], right: Sequence[str]
) -> None:
    """Two texts, line by line: what goes, what comes."""
    say = app.print if app.is_text else app.note
    for line in difference(titles, left, right):
        say(app.paint(escape_line(line), _COLOURS.get(line[0], "")))


def difference(titles: tuple[str, str], left: Sequence[str], right: Sequence[str]) -> Iterator[str]:
    """A unified difference, without its positions."""
    found = difflib.unified_diff(left, right, *titles, n=0, lineterm="")
    return (line for line in found if not line.startswith("@@"))
