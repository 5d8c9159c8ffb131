"""Whitelists in the nodes' attributes, what agents report of them, and their editors: questions.

Each takes a connection and answers from what is committed; `Store.ask` puts them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, select

from pushcli_server.core import whitelist as core
from pushcli_server.store import schema

_CHUNK = 500
"""Names in one statement."""


class NodeWhitelist(NamedTuple):
    """A node's whitelist, and what its agent last reported (JSON text)."""

    node: str
    whitelist: core.AttributeWhitelist
    report: str | None


def of_nodes(connection: Connection, org: str, names: Sequence[str]) -> list[NodeWhitelist]:
    """The whitelists of those nodes that there are."""
    nodes = schema.nodes
    columns = (
        nodes.c.name, nodes.c.default, nodes.c.normal, nodes.c.override, nodes.c.whitelist_report,
    )  # fmt: skip
    return [
        NodeWhitelist(
            row.name,
            core.of_attributes(row.default, row.normal, row.override),
            row.whitelist_report,
        )
        for row in rows_of(connection, org, names, columns)
    ]


def messages_to(
    connection: Connection, org: str, names: Sequence[str]
) -> list[tuple[str, dict[str, Any]]]:
    """For each of those nodes that there are, the fields of its `whitelist` message."""
    statements = editors(connection, org)
    return [
        (node, core.message_fields(whitelist, statements))
        for node, whitelist, _ in of_nodes(connection, org, names)
    ]


def reports(connection: Connection, org: str, names: Sequence[str]) -> list[tuple[str, str]]:
    """What the agents of these nodes reported last (JSON text), where they did."""
    columns = (schema.nodes.c.name, schema.nodes.c.whitelist_report)
    rows = rows_of(connection, org, names, columns)
    return [(row.name, row.whitelist_report) for row in rows if row.whitelist_report]


def editors(connection: Connection, org: str) -> list[Any]:
    """The newest statement about each editor's key, as JSON; older versions first."""
    table = schema.whitelist_editors
    query = select(table.c.statement).where(table.c.org == org).order_by(table.c.version)
    return [msgspec.json.decode(text) for text in connection.scalars(query)]


def rows_of(
    connection: Connection, org: str, names: Sequence[str], columns: Iterable[Any]
) -> Iterator[Any]:
    """These columns of those nodes that there are."""
    nodes = schema.nodes
    for start in range(0, len(names), _CHUNK):
        query = select(*columns).where(
            nodes.c.org == org, nodes.c.name.in_(names[start : start + _CHUNK])
        )
        yield from connection.execute(query)
