"""`whitelist show`: one entry of nodes, or of a file: what it runs, and whether it holds."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pushcli import durations
from pushcli.errors import NotFound
from pushcli.escape import escape_line
from pushcli.terminal.context import App
from pushcli.terminal.folding import fold
from pushcli.terminal.times import dated
from pushcli.whitelist.workstation import local, words
from pushcli.whitelist.workstation.rows import state
from pushcli.whitelist.workstation.showing import row_as_data
from pushcli.whitelist.workstation.views import EntryInForce, NodeWhitelist


def show_local(app: App, path: Path, name: str) -> None:
    """One entry of an `agent.toml`.

    Raises:
        NotFound: it has none of this name.
    """
    row = next((row for row in local.rows(path) if row.name == name), None)
    if row is None:
        raise NotFound(f"{path} has no entry {name!r}", "see `whitelist list --local`")
    if app.is_text:
        fields = {"file": str(path), "name": name, "state": row.state, **_value(row.value)}
        _write_fields(app, fields)
    else:
        app.emit({"file": str(path), **row_as_data(row)})


def show(app: App, whitelists: Sequence[NodeWhitelist], name: str) -> None:
    """The entry of this name on these nodes: those where all is the same share a paragraph.

    Raises:
        NotFound: none of them has it.
    """
    having = [one for one in whitelists if one.entry(name) is not None or _holding(one, name)]
    without = [one.node for one in whitelists if one not in having]
    if not having:
        nodes = fold(without)
        verb = "has" if len(without) == 1 else "have"
        raise NotFound(f"{nodes} {verb} no entry {name!r}", f"see `whitelist list {nodes}`")
    if not app.is_text:
        told = [_as_data(one, name) for one in having]
        app.emit(told if len(whitelists) > 1 else told[0])
    else:
        _write_paragraphs(app, having, name)
    if without:
        app.note(escape_line(f"{fold(without)}: no entry {name!r}"))


def _write_paragraphs(app: App, having: Sequence[NodeWhitelist], name: str) -> None:
    alike: dict[tuple[tuple[str, str], ...], list[NodeWhitelist]] = {}
    for one in having:
        alike.setdefault(tuple(_fields(one, name).items()), []).append(one)
    for number, (fields, some) in enumerate(alike.items()):
        if number:
            app.print("")
        if len(some) == 1:
            # Of several these are hardly ever the same.
            own = _since(some[0], name)
            _write_fields(app, {"node": some[0].node, **dict(fields), **own})
        else:
            nodes = f"{fold([one.node for one in some])} ({len(some)})"
            _write_fields(app, {"nodes": nodes, **dict(fields)})


def _holding(whitelist: NodeWhitelist, name: str) -> EntryInForce | None:
    report = whitelist.in_force
    return {one.name: one for one in report.entries}.get(name) if report else None


def _as_data(whitelist: NodeWhitelist, name: str) -> dict[str, Any]:
    entry, holding = whitelist.entry(name), _holding(whitelist, name)
    return {
        "node": whitelist.node, "name": name, "state": state(whitelist, name),
        "entry": msgspec.to_builtins(entry),
        "in_force": holding and dated(msgspec.to_builtins(holding), "since"),
    }  # fmt: skip


def _fields(whitelist: NodeWhitelist, name: str) -> dict[str, str]:
    """What is to be said of the entry on a node, but since when."""
    fields: dict[str, str] = {"name": name, "state": state(whitelist, name)}
    entry, holding = whitelist.entry(name), _holding(whitelist, name)
    if entry is not None:
        fields |= _value(entry.value)
        fields |= {"level": entry.level, "signer": entry.signer or "nobody"}
    elif holding is not None:
        fields |= _value(holding.value)
    return fields


def _since(whitelist: NodeWhitelist, name: str) -> dict[str, str]:
    """Its version, and how long it has been in force."""
    entry, holding = whitelist.entry(name), _holding(whitelist, name)
    fields = {} if entry is None else {"version": words.version(entry.version)}
    if holding is not None and holding.since is not None:
        fields["in force for"] = durations.age(max(0.0, time.time() - holding.since))
    return fields


def _write_fields(app: App, fields: Mapping[str, str]) -> None:
    """A line for each that is not empty."""
    width = max(map(len, fields)) + 1
    for key, text in fields.items():
        if text:
            app.print(f"{key + ':':{width}} {escape_line(text)}")


def _value(value: Any) -> dict[str, str]:
    return {"command": words.command(value), "options": words.options(value)}
