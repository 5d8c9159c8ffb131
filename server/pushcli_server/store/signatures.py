"""Signatures of requests that were carried out, as SQL."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, delete, select

from pushcli_server.core.identity import Requestor
from pushcli_server.core.replays import Signature
from pushcli_server.store import operations, schema
from pushcli_server.store.bulk import insert_rows

_COLUMNS = ("digest", "kind", "org", "name", "signed_at", "at", "job_id")


class Remembered(NamedTuple):
    """One of them; `at` is when its request came, `job_id` the job that it started."""

    signature: Signature
    at: float
    job_id: str | None


def since(connection: Connection, moment: float) -> list[Remembered]:
    """Those that name a later time than this, the oldest first."""
    table = schema.signatures
    query = select(table).where(table.c.signed_at > moment).order_by(table.c.signed_at)
    return [_remembered(row) for row in connection.execute(query)]


def find(connection: Connection, digest: bytes) -> Remembered | None:
    """The one of this digest."""
    table = schema.signatures
    row = connection.execute(select(table).where(table.c.digest == digest.hex())).first()
    return None if row is None else _remembered(row)


def _remembered(row: Row[Any]) -> Remembered:
    requestor = Requestor(row.kind, row.org, row.name)
    signature = Signature(requestor, bytes.fromhex(row.digest), row.signed_at)
    return Remembered(signature, row.at, row.job_id)


def _remember(connection: Connection, ops: Sequence[operations.RememberSignature]) -> None:
    rows = [
        (
            op.signature.digest.hex(),
            *op.signature.requestor,
            op.signature.signed_at,
            op.at,
            op.job_id,
        )
        for op in ops
    ]
    # Of equal requests the first is kept.
    insert_rows(connection, schema.signatures, _COLUMNS, rows, ignore=True)


def _forget(connection: Connection, ops: Sequence[operations.ForgetSignatures]) -> None:
    latest = max(op.signed_before for op in ops)
    table = schema.signatures
    connection.execute(delete(table).where(table.c.signed_at <= latest))


BATCHES: dict[type, Callable[[Connection, Any], None]] = {
    operations.RememberSignature: _remember,
    operations.ForgetSignatures: _forget,
}
