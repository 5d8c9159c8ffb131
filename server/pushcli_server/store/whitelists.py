"""Edits of whitelists in the nodes' attributes, and what agents report, as SQL."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection

from pushcli_server.core import whitelist as core
from pushcli_server.store import operations, schema
from pushcli_server.store.bulk import update_rows
from pushcli_server.store.errors import Outdated, UnknownNodes, WhitelistConflict
from pushcli_server.store.whitelist_reads import rows_of

_NAMED = 10
"""Names in one line of an error."""


def _edit(connection: Connection, ops: Sequence[operations.EditWhitelists]) -> None:
    nodes = schema.nodes
    columns = (nodes.c.name, nodes.c.default, nodes.c.normal, nodes.c.override, nodes.c.revision)
    for op in ops:
        rows = list(rows_of(connection, op.org, list(op.changes), columns))
        missing = op.changes.keys() - {row.name for row in rows}
        if missing:
            raise UnknownNodes(f"no such node: {_list(missing)}")
        changed = [(op.org, *_edited(row, op.changes[row.name], op.latest)) for row in rows]
        update_rows(connection, nodes, ("org", "name", "normal", "revision"), changed, keys=2)


def _edited(
    row: Any, changes: Mapping[str, tuple[Any, Mapping[str, Any]]], latest: int
) -> tuple[Any, ...]:
    present = core.of_attributes(row.default, row.normal, row.override)
    signed = {entry.name: entry.record for entry in present.entries} | present.removed
    levels = {entry.name: entry.level for entry in present.entries}
    removed = [name for name, (value, _) in changes.items() if value is None]
    for name, (value, record) in changes.items():
        version = _version(signed.get(name))
        if record["version"] <= version <= latest:
            raise Outdated(f"the entry {name!r} of {row.name} was edited meanwhile", version)
        if value is None and name not in levels:
            raise WhitelistConflict(f"no entry {name!r} on the whitelist of {row.name}")
        if levels.get(name, "normal") == "override" or (
            value is None and levels[name] == "default"
        ):
            raise WhitelistConflict(
                f"{name!r} is set at the level {levels[name]} of node {row.name}: change it there"
            )
    try:
        normal, size = core.edited(row.normal, changes, removed)
    except core.UnreadableAttributes as error:
        raise WhitelistConflict(
            f"the attributes of {row.name} cannot be read: store the node object again"
        ) from error
    if size > core.MAX_BYTES:
        raise WhitelistConflict(
            f"the whitelist of {row.name} would take {size} bytes, over {core.MAX_BYTES}"
        )
    return row.name, normal, row.revision + 1


def _version(record: Any) -> int:
    version = record.get("version") if isinstance(record, dict) else None
    return version if isinstance(version, int) else 0


def _save_reports(connection: Connection, ops: Sequence[operations.SaveWhitelistReport]) -> None:
    rows = [msgspec.structs.astuple(op) for op in ops]
    update_rows(connection, schema.nodes, ("org", "name", "whitelist_report"), rows, keys=2)


def _list(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _NAMED} more" if len(ordered) > _NAMED else ""
    return ", ".join(ordered[:_NAMED]) + more


BATCHES: dict[type, Callable[[Connection, Any], None]] = {
    operations.EditWhitelists: _edit,
    operations.SaveWhitelistReport: _save_reports,
}
