"""Questions about what operators hold back; asked once, when the server starts."""

import logging
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection, select

from pushcli_server.store import schema
from pushcli_server.store.records import FreezeRecord, PauseRecord

_log = logging.getLogger(__name__)
R = TypeVar("R", FreezeRecord, PauseRecord)


def freezes(connection: Connection) -> list[tuple[str, FreezeRecord]]:
    """Organizations whose jobs are frozen."""
    rows = connection.execute(select(schema.freezes)).mappings()
    return [
        (row["org"], record) for row in rows if (record := _record(row, FreezeRecord)) is not None
    ]


def pauses(connection: Connection, now: float) -> list[tuple[str, str, PauseRecord]]:
    """Organizations and names of nodes that are paused at this date, and perhaps longer."""
    table = schema.node_pauses
    rows = connection.execute(select(table).where(table.c.until > now)).mappings()
    return [
        (row["org"], row["node"], record)
        for row in rows
        if (record := _record(row, PauseRecord)) is not None
    ]


def _record(row: Mapping[Any, Any], shape: type[R]) -> R | None:
    """A row; one that cannot be read keeps no server from starting."""
    try:
        return msgspec.convert({name: row[name] for name in shape.__struct_fields__}, shape)
    except msgspec.ValidationError as error:
        _log.error("a row of the database is left out: %s", error)
        return None
