"""Statements about editors, as SQL: the chain, and the old form beside it."""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, func, select

from pushcli.protocol import limits
from pushcli.whitelist.chain import Statement, Unreadable
from pushcli_server.core import editor_chain as core
from pushcli_server.core.editor_chain import Stored, Travelling
from pushcli_server.store import operations, schema, stored_json
from pushcli_server.store.bulk import insert_rows, update_rows
from pushcli_server.store.errors import InvalidStatement, Outdated, WhitelistConflict
from pushcli_server.store.errors import Unreadable as Corrupt

_log = logging.getLogger(__name__)

_chain = schema.editor_statements
_old = schema.whitelist_editors


def stored(connection: Connection, org: str) -> Stored:
    """The statements of an organization, from the newest checkpoint on."""
    start = connection.scalar(
        select(func.max(_chain.c.place)).where(_chain.c.org == org, _chain.c.base.is_not(None))
    )
    if start is None:
        return Stored(old(connection, org), [])
    query = select(_chain.c.base, _chain.c.statement).where(
        _chain.c.org == org, _chain.c.place >= start
    )
    rows = connection.execute(query.order_by(_chain.c.place)).all()
    base: list[Any] = next(iter(_readable(org, [rows[0].base])), [])
    return Stored(base, _readable(org, [r.statement for r in rows]))


def reaching(connection: Connection, org: str) -> Stored:
    """Those for agents: from as early on as there is room for, whatever checkpoints follow."""
    query = select(_chain.c.place, _chain.c.statement, func.length(_chain.c.base).label("size"))
    query = query.where(_chain.c.org == org).order_by(_chain.c.place.desc())
    rows = connection.execute(query.limit(limits.MAX_STATEMENTS)).all()[::-1]
    # The text of a list has one byte more than what is counted of it, and [] none.
    sizes = [None if row.size is None else max(0, row.size - 2) for row in rows]
    for start in core.starts([len(row.statement) for row in rows], sizes):
        base = connection.scalar(
            select(_chain.c.base).where(_chain.c.org == org, _chain.c.place == rows[start].place)
        )
        texts = [row.statement for row in rows[start:]]
        found = Stored(next(iter(_readable(org, [base or "[]"])), []), _readable(org, texts))
        if core.fits(found):
            return found
    return stored(connection, org)


def old(connection: Connection, org: str) -> list[Any]:
    """The newest statement of the old form about each key, as JSON; older versions first."""
    query = select(_old.c.statement).where(_old.c.org == org).order_by(_old.c.version, _old.c.key)
    return _readable(org, connection.scalars(query))


def travelling(connection: Connection, org: str, latest: int) -> Travelling:
    """What goes to agents.

    Args:
        latest: the version up to which statements count.
    """
    said = old(connection, org)
    return core.travelling(reaching(connection, org), said, latest=latest)


def inherited_removals(connection: Connection, org: str) -> list[str]:
    """The keys that were taken back before there could be a chain, and not added since."""
    query = select(_old.c.key, _old.c.statement).where(_old.c.org == org, _old.c.inherited)
    rows = connection.execute(query)
    return [key for key, said in rows if stored_json.read_object(said).get("removed")]


def _readable(org: str, texts: Iterable[str]) -> list[Any]:
    """What they say; what cannot be read counts for nothing, like what nobody signed."""
    found = []
    for text in texts:
        try:
            found.append(stored_json.read(text))
        except Corrupt as error:
            _log.error("a statement about an editor of %s is left out: %s", org, error)
    return found


def _append(connection: Connection, ops: Sequence[operations.AppendStatement]) -> None:
    for op in ops:
        try:
            base = core.appended(stored(connection, op.org), op.statement, op.kept)
            digest = Statement(op.statement).digest
        except Unreadable as error:
            raise InvalidStatement(str(error)) from error
        except (core.Moved, core.Full) as error:
            raise WhitelistConflict(str(error)) from error
        last = connection.scalar(select(func.max(_chain.c.place)).where(_chain.c.org == op.org))
        text = msgspec.json.encode(op.statement).decode()
        place = 0 if last is None else last + 1
        row = (op.org, place, digest, text, None if base is None else _text(base))
        insert_rows(connection, _chain, ("org", "place", "digest", "statement", "base"), [row])


def _text(base: Sequence[Any]) -> str:
    return msgspec.json.encode(base).decode()


def _save_old(connection: Connection, ops: Sequence[operations.SaveEditor]) -> None:
    for op in ops:
        if not op.chained and _has_chain(connection, op.org):
            raise WhitelistConflict(
                "statements about editors form a chain here: upgrade pushcli on this workstation"
            )
        known = connection.scalar(
            select(_old.c.version).where(_old.c.org == op.org, _old.c.key == op.key)
        )
        row = (op.org, op.key, op.version, op.statement, False)
        names = ("org", "key", "version", "statement", "inherited")
        if known is None:
            insert_rows(connection, _old, names, [row])
        elif known < op.version or known > op.latest:
            update_rows(connection, _old, names, [row], keys=2)
        else:
            raise Outdated("somebody said something newer about this key meanwhile", known)


def _has_chain(connection: Connection, org: str) -> bool:
    query = select(_chain.c.place).where(_chain.c.org == org).limit(1)
    return connection.execute(query).first() is not None


BATCHES: dict[type, Callable[[Connection, Any], None]] = {
    operations.AppendStatement: _append,
    operations.SaveEditor: _save_old,
}
