"""Search as SQL: a query is one statement over the fields of nodes, which are indexed.

Both databases compare text byte by byte here, so that they give the same answers.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, assert_never

from sqlalchemy import ColumnElement, Connection, and_, delete, not_, or_, select, true

from pushcli_server.search import query as q
from pushcli_server.search.flatten import Fields
from pushcli_server.store import schema
from pushcli_server.store.bulk import insert_rows, is_postgresql

_CHUNK = 500
_COLUMNS = ("org", "node", "field", "value", "number")
_OWN = frozenset({"name", "node"})
"""Fields that every node has, also one that nobody described yet."""


def names(connection: Connection, org: str, query: q.Query) -> list[str]:
    """The names of the nodes that match, sorted."""
    nodes = schema.nodes
    build = _Build(org, postgresql=is_postgresql(connection))
    found = select(nodes.c.name).where(
        nodes.c.org == org, nodes.c.revision > 0, build.condition(query)
    )
    return list(connection.scalars(found.order_by(build.text(nodes.c.name))))


def replace_fields(connection: Connection, org: str, fields: Mapping[str, Fields]) -> None:
    """These are the nodes' fields from now on."""
    drop_fields(connection, org, list(fields))
    rows = [
        (org, node, field, value, number)
        for node, found in fields.items()
        for (field, value), number in found.items()
    ]
    insert_rows(connection, schema.node_fields, _COLUMNS, rows)


def drop_fields(connection: Connection, org: str, nodes: Sequence[str]) -> None:
    """Nothing is known of these nodes any more."""
    table = schema.node_fields
    for start in range(0, len(nodes), _CHUNK):
        some = nodes[start : start + _CHUNK]
        connection.execute(delete(table).where(table.c.org == org, table.c.node.in_(some)))


class _Build:
    """Conditions on a row of `nodes`."""

    def __init__(self, org: str, *, postgresql: bool) -> None:
        self._org = org
        self._postgresql = postgresql

    def text(self, column: ColumnElement[str]) -> ColumnElement[str]:
        """The column, compared byte by byte."""
        return column.collate("C") if self._postgresql else column

    def condition(self, query: q.Query) -> ColumnElement[bool]:
        match query:
            case q.Everything():
                return true()
            case q.And(queries):
                return and_(*map(self.condition, queries))
            case q.Or(queries):
                return or_(*map(self.condition, queries))
            case q.Not(inner):
                return not_(self.condition(inner))
            case q.Exists(field):
                return self._of(field, lambda _: true())
            case q.Term(field, value):
                return self._of(field, lambda column: column == value)
            case q.Wildcard(field, pattern):
                return self._of(field, lambda column: self._like(column, pattern))
            case q.Range():
                return self._range(query)
            case _:
                assert_never(query)

    def _of(
        self, field: str, test: Callable[[ColumnElement[str]], ColumnElement[bool]]
    ) -> ColumnElement[bool]:
        if field in _OWN:
            return test(schema.nodes.c.name)
        if field == "chef_environment":
            return test(schema.nodes.c.chef_environment)
        return self._with_field(field, [test(schema.node_fields.c.value)])

    def _with_field(self, field: str, tests: Iterable[ColumnElement[bool]]) -> ColumnElement[bool]:
        table = schema.node_fields
        conditions = [table.c.org == self._org, *tests]
        if field != q.ANY_FIELD:
            conditions.append(table.c.field == field)
        return schema.nodes.c.name.in_(select(table.c.node).where(*conditions))

    def _like(
        self, column: ColumnElement[str], pattern: Sequence[str | q.Wild]
    ) -> ColumnElement[bool]:
        # SQLite's LIKE does not tell upper from lower case; GLOB does, and is its own dialect.
        if self._postgresql:
            return column.like("".join(map(_for_like, pattern)), escape="\\")
        return column.op("GLOB", is_comparison=True)("".join(map(_for_glob, pattern)))

    def _range(self, span: q.Range) -> ColumnElement[bool]:
        if span.field in _OWN or span.field == "chef_environment":
            return self._of(span.field, lambda column: self._between(self.text(column), span))
        table = schema.node_fields
        low, high = _number(span.low), _number(span.high)
        if low is not None and high is not None:
            return self._with_field(span.field, [_within(table.c.number, low, high, span)])
        if None in (span.low, span.high) and (low is not None or high is not None):
            number = _within(table.c.number, low, high, span)
            return self._with_field(span.field, [number])
        return self._with_field(span.field, [self._between(self.text(table.c.value), span)])

    def _between(self, column: ColumnElement[str], span: q.Range) -> ColumnElement[bool]:
        return _within(column, span.low, span.high, span)


def _within(column: ColumnElement[Any], low: Any, high: Any, span: q.Range) -> ColumnElement[bool]:
    conditions = [column.is_not(None)]
    if low is not None:
        conditions.append(column >= low if span.includes_low else column > low)
    if high is not None:
        conditions.append(column <= high if span.includes_high else column < high)
    return and_(*conditions)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _for_like(piece: str | q.Wild) -> str:
    match piece:
        case q.Wild.MANY:
            return "%"
        case q.Wild.ONE:
            return "_"
        case text:
            return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _for_glob(piece: str | q.Wild) -> str:
    match piece:
        case q.Wild():
            return piece.value
        case text:
            return "".join(f"[{c}]" if c in "*?[" else c for c in text)
