"""Whitelists in the nodes' attributes, what agents report of them: questions.

Each takes a connection and answers from what is committed; `Store.ask` puts them.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal, NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, Table, or_, select

from pushcli_server.core import whitelist as core
from pushcli_server.store import editor_chain, schema

Keeper = Literal["own", "chef"]
"""Who keeps the nodes' attributes: this server, or a Chef Infra Server."""
_TABLES: dict[Keeper, Table] = {"own": schema.nodes, "chef": schema.mirrored_nodes}
_CHUNK = 500
"""Names in one statement."""
MAX_ENTRIES = 20_000
"""Of all nodes together, in one answer."""


class NodeWhitelist(NamedTuple):
    """A node's whitelist, and what its agent last reported (JSON text)."""

    node: str
    whitelist: core.AttributeWhitelist
    report: str | None


class SignedEntry(NamedTuple):
    """An entry of a node that somebody signed."""

    node: str
    name: str
    value: Any


def of_nodes(
    connection: Connection, org: str, names: Sequence[str], keeper: Keeper = "own"
) -> list[NodeWhitelist]:
    """The whitelists of those nodes that there are."""
    there = () if keeper == "own" else (schema.mirrored_nodes.c.there,)
    return _of_nodes(connection, org, names, _TABLES[keeper], *there)


def _of_nodes(
    connection: Connection,
    org: str,
    names: Sequence[str],
    table: Table,
    *only: ColumnElement[bool],
) -> list[NodeWhitelist]:
    columns = (table.c.name, table.c.default, table.c.normal, table.c.override)
    reported = dict(reports(connection, org, names))
    return [
        NodeWhitelist(
            row.name,
            core.of_attributes(row.default, row.normal, row.override),
            reported.get(row.name),
        )
        for row in rows_of(connection, org, names, columns, *only)
    ]


def attributes_of_all(connection: Connection, org: str) -> Iterator[tuple[str, str, str, str]]:
    """Name and attributes (default, normal, override: JSON texts) of our own nodes that may have a
    whitelist.
    """
    nodes = schema.nodes
    levels = (nodes.c.default, nodes.c.normal, nodes.c.override)
    may_have = or_(*(level.contains("push_jobs", autoescape=True) for level in levels))
    query = select(nodes.c.name, *levels).where(nodes.c.org == org, may_have)
    for row in connection.execute(query.order_by(nodes.c.name)):
        yield row.name, row.default, row.normal, row.override


def messages_to(
    connection: Connection,
    org: str,
    names: Sequence[str],
    chained: Collection[str],
    latest: int,
    keeper: Keeper = "own",
) -> list[tuple[str, dict[str, Any]]]:
    """For each of those nodes that there are, the fields of its `whitelist` message; those that
    were deleted on a Chef Infra Server have none any more, and hear of that.

    Args:
        chained: those whose agents know the chain of statements about editors.
        latest: the version up to which statements count.
    """
    said = editor_chain.travelling(connection, org, latest)
    return [
        (node, core.message_fields(whitelist, said, chained=node in chained))
        for node, whitelist, _ in _of_nodes(connection, org, names, _TABLES[keeper])
    ]


def entries_signed_with(
    connection: Connection, org: str, key: str, keeper: Keeper = "own"
) -> list[SignedEntry]:
    """The entries of all nodes that were signed with a key (fingerprint), at most `MAX_ENTRIES`."""
    found: list[SignedEntry] = []
    nodes = _TABLES[keeper]
    query = select(nodes.c.name, nodes.c.default, nodes.c.normal, nodes.c.override).where(
        nodes.c.org == org, nodes.c.normal.contains(key, autoescape=True)
    )
    for row in connection.execute(query.order_by(nodes.c.name)):
        present = core.of_attributes(row.default, row.normal, row.override)
        found += [
            SignedEntry(row.name, entry.name, entry.value)
            for entry in present.entries
            if isinstance(entry.record, dict) and entry.record.get("key") == key
        ]
        if len(found) >= MAX_ENTRIES:
            break
    return found[:MAX_ENTRIES]


def reports(connection: Connection, org: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """What the agents of these nodes reported last (JSON text), where they did."""
    columns = (schema.nodes.c.name, schema.nodes.c.whitelist_report)
    rows = rows_of(connection, org, names, columns)
    return [(row.name, row.whitelist_report) for row in rows if row.whitelist_report]


def rows_of(
    connection: Connection,
    org: str,
    names: Sequence[str],
    columns: Sequence[Column[Any]],
    *only: ColumnElement[bool],
) -> Iterator[Any]:
    """These columns, of one table, of those nodes that there are.

    Args:
        only: what must be so besides.
    """
    table = columns[0].table
    for start in range(0, len(names), _CHUNK):
        some = table.c.name.in_(names[start : start + _CHUNK])
        yield from connection.execute(select(*columns).where(table.c.org == org, some, *only))
