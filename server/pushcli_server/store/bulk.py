"""Many rows in one statement, as each database takes them fastest.

SQLite runs one prepared statement for all rows. PostgreSQL would answer each of them, so
there the rows travel as arrays, a column each, and become a table in one statement.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Connection,
    FromClause,
    Insert,
    Table,
    Update,
    and_,
    bindparam,
    column,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

Row = tuple[Any, ...]
Names = tuple[str, ...]
"""Of the columns that the values in a row belong to."""


def is_postgresql(connection: Connection) -> bool:
    """Whether it is, rather than SQLite."""
    return connection.dialect.name == "postgresql"


def insert_rows(
    connection: Connection, table: Table, names: Names, rows: Sequence[Row], *, ignore: bool = False
) -> None:
    """Insert rows; with `ignore` those whose key is there already are left out.

    Raises:
        IntegrityError: one is there, or what it refers to is not.
    """
    if not rows:
        return
    if is_postgresql(connection):
        new = postgresql.insert(table).from_select(names, select(_unnested(table, names, rows)))
        connection.execute(new.on_conflict_do_nothing() if ignore else new)
    else:
        _run(connection, _sqlite_insert(table, names, ignore), rows)


def update_rows(
    connection: Connection, table: Table, names: Names, rows: Sequence[Row], *, keys: int
) -> None:
    """Update rows; a value that is None leaves what is there.

    A row may come more than once, the later one is applied later.

    Args:
        keys: how many of the first columns say which row is meant.
    """
    if not rows:
        return
    if is_postgresql(connection):
        # A joined update takes any one of several rows for the same key.
        new = _unnested(table, names, _merged(rows, keys))
        connection.execute(_update(table, names, keys, lambda name: new.c[name]))
    else:
        _run(connection, _sqlite_update(table, names, keys), rows)


def _update(
    table: Table, names: Names, keys: int, value: Callable[[str], ColumnElement[Any]]
) -> Update:
    found = and_(*(table.c[name] == value(name) for name in names[:keys]))
    changed = {name: func.coalesce(value(name), table.c[name]) for name in names[keys:]}
    return update(table).where(found).values(changed)


def _unnested(table: Table, names: Names, rows: Sequence[Row]) -> FromClause:
    arrays = [
        bindparam(f"new_{name}", list(values), type_=ARRAY(table.c[name].type))
        for name, values in zip(names, zip(*rows, strict=True), strict=True)
    ]
    columns = [column(name, table.c[name].type) for name in names]
    return func.unnest(*arrays).table_valued(*columns).render_derived()


def _merged(rows: Sequence[Row], keys: int) -> Sequence[Row]:
    merged: dict[Row, Row] = {}
    for row in rows:
        key = row[:keys]
        if (earlier := merged.get(key)) is not None:
            pairs = zip(earlier, row, strict=True)
            merged[key] = tuple(old if new is None else new for old, new in pairs)
        else:
            merged[key] = row
    return list(merged.values())


_Prepared = tuple[str, Callable[[Row], Row]]
"""SQL, and what puts a row's values into the order of its parameters."""


@lru_cache(maxsize=64)
def _sqlite_insert(table: Table, names: Names, ignore: bool) -> _Prepared:
    statement: Insert = insert(table)
    if ignore:
        statement = sqlite.insert(table).on_conflict_do_nothing()
    return _prepared(statement.values({name: bindparam(f"new_{name}") for name in names}), names)


@lru_cache(maxsize=64)
def _sqlite_update(table: Table, names: Names, keys: int) -> _Prepared:
    def value(name: str) -> ColumnElement[Any]:
        return bindparam(f"new_{name}", type_=table.c[name].type)

    return _prepared(_update(table, names, keys, value), names)


def _prepared(statement: Insert | Update, names: Names) -> _Prepared:
    compiled: Any = statement.compile(dialect=sqlite.dialect())
    order = [names.index(name.removeprefix("new_")) for name in compiled.positiontup]
    if len(order) == 1:
        return str(compiled), lambda row: row
    return str(compiled), itemgetter(*order)


def _run(connection: Connection, prepared: _Prepared, rows: Sequence[Row]) -> None:
    # Past SQLAlchemy's care for each value, which takes longer than SQLite does and which
    # text, numbers and bytes do not need.
    sql, ordered = prepared
    connection.exec_driver_sql(sql, [ordered(row) for row in rows])
