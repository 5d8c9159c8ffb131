"""Operations on the keys of users and clients, as SQL."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, select, update

from pushcli_server.store import operations, schema
from pushcli_server.store.errors import LastKey, Missing, TooManyKeys
from pushcli_server.store.identity_reads import DEFAULT_KEY, client_exists, is_valid_at, user_exists

MAX_KEYS = 20
"""Of one user or client: whoever signs is checked against each of them."""
_table = schema.keys


def first_key(
    connection: Connection, kind: str, org: str, name: str, public_key: str | None
) -> None:
    """The key of somebody new, if there is one; what a previous one of this name left goes."""
    forget_keys(connection, kind, org, name)
    if public_key is None:
        return
    row = {
        "kind": kind, "org": org, "name": name, "key_name": DEFAULT_KEY,
        "public_key": public_key, "expires_at": None,
    }  # fmt: skip
    connection.execute(insert(_table), row)


def forget_keys(connection: Connection, kind: str, org: str, name: str) -> None:
    """All keys of a user or client go."""
    connection.execute(delete(_table).where(_of(kind, org, name)))


def _add(connection: Connection, ops: Sequence[operations.AddKey]) -> None:
    for op in ops:
        _require_owner(connection, op.kind, op.org, op.name)
        connection.execute(insert(_table), msgspec.structs.asdict(op))
        if _count(connection, _of(op.kind, op.org, op.name)) > MAX_KEYS:
            raise TooManyKeys(f"more than {MAX_KEYS} keys of {op.name}")


def _replace(connection: Connection, ops: Sequence[operations.ReplaceKey]) -> None:
    for op in ops:
        _require_owner(connection, op.kind, op.org, op.name)
        connection.execute(
            delete(_table).where(_of(op.kind, op.org, op.name), _table.c.key_name == DEFAULT_KEY)
        )
        row = {**msgspec.structs.asdict(op), "key_name": DEFAULT_KEY, "expires_at": None}
        connection.execute(insert(_table), row)


def _update(connection: Connection, ops: Sequence[operations.UpdateKey]) -> None:
    for op in ops:
        values: dict[str, Any] = {"expires_at": op.expires_at}
        if op.public_key is not None:
            values["public_key"] = op.public_key
        of_owner = _of(op.kind, op.org, op.name)
        changed = connection.execute(
            update(_table).where(of_owner, _table.c.key_name == op.key_name).values(values)
        )
        _require(changed.rowcount, op.key_name)
        _require_valid(connection, of_owner, op.name, op.now)


def _delete(connection: Connection, ops: Sequence[operations.DeleteKey]) -> None:
    for op in ops:
        of_owner = _of(op.kind, op.org, op.name)
        gone = connection.execute(delete(_table).where(of_owner, _table.c.key_name == op.key_name))
        if op.now is not None:
            _require(gone.rowcount, op.key_name)
            _require_valid(connection, of_owner, op.name, op.now)


def _require(count: int, key_name: str) -> None:
    if not count:
        raise Missing(f"no such key: {key_name}")


def _require_valid(
    connection: Connection, of_owner: ColumnElement[bool], name: str, now: float
) -> None:
    if not _count(connection, and_(of_owner, is_valid_at(now))):
        raise LastKey(f"this is the last valid key of {name}")


def _count(connection: Connection, which: ColumnElement[bool]) -> int:
    query = select(func.count()).select_from(_table).where(which)
    return int(connection.scalar(query) or 0)


def _require_owner(connection: Connection, kind: str, org: str, name: str) -> None:
    # A key that nobody has would be the next one's who gets the name.
    if kind == "user":
        known = user_exists(connection, name)
    else:
        known = client_exists(connection, org, name)
    if not known:
        raise Missing(f"no such {kind}")


def _of(kind: str, org: str, name: str) -> ColumnElement[bool]:
    return and_(_table.c.kind == kind, _table.c.org == org, _table.c.name == name)


BATCHES: dict[type, Callable[[Connection, Any], None]] = {
    operations.AddKey: _add,
    operations.ReplaceKey: _replace,
    operations.UpdateKey: _update,
    operations.DeleteKey: _delete,
}
