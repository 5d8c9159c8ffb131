"""Nodes as Chef has them: attributes of four levels, and a run list."""

from collections.abc import Mapping, Sequence
from typing import Any

from pushcli.client import search
from pushcli.client.answers import checked
from pushcli.client.paths import quoted
from pushcli.protocol.attributes import LEVELS
from pushcli.protocol.names import NumberKey, by_number
from pushcli.terminal.context import App
from pushcli.terminal.fields import value_text, write_fields
from pushcli.terminal.table import write_table

SUMMARY = ("fqdn", "ipaddress", "platform", "platform_version", "os", "kernel", "roles", "tags")
"""Attributes that `node show` shows."""
COLUMNS = {
    "name": ["name"], "environment": ["chef_environment"], "ipaddress": ["ipaddress"],
    "platform": ["platform"],
}  # fmt: skip
"""What `node search` shows."""

Object = dict[str, Any]


def show_list(app: App) -> None:
    """The names of all nodes."""
    names = sorted(checked(app.client.get("nodes"), dict[str, Any]), key=by_number)
    _show_names(app, names)


def show(app: App, name: str, paths: Sequence[str]) -> None:
    """One node, or some of its attributes."""
    node = checked(app.client.get(f"nodes/{quoted(name)}"), Object)
    if paths:
        found = {path: value(node, path) for path in paths}
        if app.is_text:
            write_fields(app, found)
        else:
            app.emit({name: found})
    elif not app.is_text:
        app.emit(node)
    else:
        head = {"name": name, "environment": node.get("chef_environment"),
                "run list": node.get("run_list")}  # fmt: skip
        write_fields(app, head | {key: _brief(value(node, key)) for key in SUMMARY})


def show_found(app: App, query: str, paths: Sequence[str], *, only_names: bool) -> None:
    """The nodes that match: their names, a few facts or the attributes that are asked for.

    Raises:
        NotFound: none matches.
    """
    if only_names:
        _show_names(app, search.names(app.client, query))
    elif paths:
        _show_attributes(app, query, {"name": ["name"]} | {p: p.split(".") for p in paths})
    elif app.is_text:
        _show_attributes(app, query, COLUMNS)
    else:
        app.emit(sorted(search.nodes(app.client, query), key=_number))


def value(node: Mapping[str, Any], path: str) -> Any:
    """What a path such as `kernel.release` leads to in the merged attributes; None: nowhere.

    `name`, `run_list` and the names of the levels lead into the object itself.
    """
    first, *rest = path.split(".")
    merged: Any = {}
    for level in LEVELS:
        merged = _merged(merged, node.get(level) or {})
    found = merged.get(first, node.get(first))
    for key in rest:
        found = _entry(found, key)
    return found


def _entry(found: Any, key: str) -> Any:
    if isinstance(found, Mapping):
        return found.get(key)
    if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
        return found[int(key)]
    return None


def _merged(under: Any, over: Any) -> Any:
    """Objects are merged key by key; anything else gives way."""
    if not isinstance(under, Mapping) or not isinstance(over, Mapping):
        return over
    return {**under, **{key: _merged(under.get(key), value) for key, value in over.items()}}


def _brief(found: Any) -> Any:
    """`kernel` of the nodes is an object, and only its release is of interest here."""
    return found.get("release") if isinstance(found, Mapping) else found


def _show_attributes(app: App, query: str, paths: Mapping[str, Sequence[str]]) -> None:
    rows = sorted(search.attributes(app.client, query, paths), key=_number)
    if app.is_text:
        cells = [[value_text(row.get(title)) for title in paths] for row in rows]
        write_table(app, list(paths), cells, cut=dict.fromkeys([*paths][:0:-1], 8))
    else:
        app.emit(rows)


def _number(row: Mapping[str, Any]) -> NumberKey:
    return by_number(str(row.get("name")))


def _show_names(app: App, names: list[str]) -> None:
    if app.is_text:
        write_table(app, ("node",), [(name,) for name in names])
    else:
        app.emit(names)
