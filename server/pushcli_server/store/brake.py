"""Operations on what operators hold back, as SQL."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from msgspec.structs import asdict, astuple
from sqlalchemy import Connection, bindparam, delete, insert

from pushcli_server.store import identity_reads, operations, schema
from pushcli_server.store.bulk import insert_rows
from pushcli_server.store.records import PauseRecord

_freezes, _pauses = schema.freezes, schema.node_pauses


def _set_freezes(connection: Connection, ops: Sequence[operations.SetFreeze]) -> None:
    for op in ops:
        connection.execute(delete(_freezes).where(_freezes.c.org == op.org))
        if op.freeze is not None:
            connection.execute(insert(_freezes), {"org": op.org, **asdict(op.freeze)})


def _set_pauses(connection: Connection, ops: Sequence[operations.SetPauses]) -> None:
    for op in ops:
        forget(connection, op.org, op.nodes)
        if (pause := op.pause) is None:
            continue
        over = _pauses.c.until <= pause.at
        connection.execute(delete(_pauses).where(_pauses.c.org == op.org, over))
        there = identity_reads.existing_clients(connection, [(op.org, node) for node in op.nodes])
        names = ("org", "node", *PauseRecord.__struct_fields__)
        rows = [(*client, *astuple(pause)) for client in sorted(there)]
        insert_rows(connection, _pauses, names, rows)


def forget(connection: Connection, org: str, nodes: Iterable[str]) -> None:
    """These nodes are not paused any more."""
    gone = [{"name": node} for node in nodes]
    if gone:
        paused = (_pauses.c.org == org, _pauses.c.node == bindparam("name"))
        connection.execute(delete(_pauses).where(*paused), gone)


BATCHES: dict[type, Callable[[Connection, Any], None]] = {
    operations.SetFreeze: _set_freezes,
    operations.SetPauses: _set_pauses,
}
