"""Operations on tokens for enrolment, as SQL."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, or_, update

from pushcli_server.store import operations, schema
from pushcli_server.store.errors import Missing, TokenRefused

_table = schema.tokens


def _create(connection: Connection, ops: Sequence[operations.CreateToken]) -> None:
    for op in ops:
        token = op.token
        spent = or_(_table.c.uses_left <= 0, _table.c.expires_at <= token.created_at)
        connection.execute(delete(_table).where(_table.c.org == token.org, spent))
        connection.execute(insert(_table), msgspec.structs.asdict(token))


def _delete(connection: Connection, ops: Sequence[operations.DeleteToken]) -> None:
    for op in ops:
        gone = connection.execute(
            delete(_table).where(_table.c.org == op.org, _table.c.id == op.token_id)
        )
        if not gone.rowcount:
            raise Missing("no such token")


def _use(connection: Connection, ops: Sequence[operations.UseToken]) -> None:
    for op in ops:
        used = connection.execute(
            update(_table)
            .where(
                _table.c.org == op.org,
                _table.c.id == op.token_id,
                _table.c.uses_left > 0,
                _table.c.expires_at > op.now,
                or_(_table.c.node.is_(None), _table.c.node == op.node),
            )
            .values(uses_left=_table.c.uses_left - 1)
        )
        if not used.rowcount:
            raise TokenRefused("unknown token")


BATCHES: dict[type, Callable[[Connection, Any], None]] = {
    operations.CreateToken: _create,
    operations.DeleteToken: _delete,
    operations.UseToken: _use,
}
