"""Operations on groups and who is in them, as SQL."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select

from pushcli_server.store import operations, schema
from pushcli_server.store.bulk import insert_rows
from pushcli_server.store.errors import LastAdministrator, Missing, UnknownMembers
from pushcli_server.store.identity_reads import ADMINS, group_exists, is_administrated

_CHUNK = 500
"""Names in one statement."""
_NAMED = 10
"""Names in one line of an error."""
_COLUMNS = ("org", "group_name", "kind", "member")


@contextmanager
def keeping_an_administrator(connection: Connection, org: str) -> Iterator[None]:
    """What is done within must not take the organization its last administrator.

    Raises:
        LastAdministrator: it did.
    """
    had_one = is_administrated(connection, org)
    yield
    if had_one and not is_administrated(connection, org):
        raise LastAdministrator(f"nobody would be left in the group {ADMINS} of {org}")


def leave_groups(connection: Connection, org: str, kind: str, name: str) -> None:
    """A user, client or group is in no group of the organization any more."""
    members = schema.group_members
    connection.execute(
        delete(members).where(
            members.c.org == org, members.c.kind == kind, members.c.member == name
        )
    )


def join_if_there(connection: Connection, org: str, group: str, user: str) -> None:
    """A user becomes a member of the group, if the organization has it."""
    if group_exists(connection, org, group):
        row = (org, group, "user", user)
        insert_rows(connection, schema.group_members, _COLUMNS, [row], ignore=True)


def _create(connection: Connection, ops: Sequence[operations.CreateGroup]) -> None:
    connection.execute(insert(schema.groups), [{"org": op.org, "name": op.name} for op in ops])


def _delete(connection: Connection, ops: Sequence[operations.DeleteGroup]) -> None:
    groups, members = schema.groups, schema.group_members
    for op in ops:
        with keeping_an_administrator(connection, op.org):
            gone = connection.execute(
                delete(groups).where(groups.c.org == op.org, groups.c.name == op.name)
            )
            if not gone.rowcount:
                raise Missing(f"no such group: {op.name}")
            connection.execute(
                delete(members).where(members.c.org == op.org, members.c.group_name == op.name)
            )
            leave_groups(connection, op.org, "group", op.name)


def _set(connection: Connection, ops: Sequence[operations.SetGroup]) -> None:
    members = schema.group_members
    for op in ops:
        with keeping_an_administrator(connection, op.org):
            connection.execute(
                delete(members).where(members.c.org == op.org, members.c.group_name == op.group)
            )
            # As in Chef: users who do not belong here yet count once they do.
            _join(connection, op, users=schema.users)


def _add_known(connection: Connection, ops: Sequence[operations.AddMembers]) -> None:
    for op in ops:
        _join(connection, op, users=schema.organization_users)


def _join(
    connection: Connection, op: operations.SetGroup | operations.AddMembers, *, users: Table
) -> None:
    """Make them members.

    Args:
        users: where the users must be: on the server, or in the organization.
    """
    _require_group(connection, op.org, op.group)
    unknown = [
        f"{kind} {name}"
        for kind, table, wanted in (
            ("user", users, op.users),
            ("client", schema.clients, op.clients),
            ("group", schema.groups, op.groups),
        )
        for name in _missing(connection, table, op.org, wanted)
    ]
    if unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        known = "known here" if users is schema.users else "in the organization"
        raise UnknownMembers(f"not {known}: {', '.join(unknown[:_NAMED])}{more}")
    rows = [
        (op.org, op.group, kind, name)
        for kind, wanted in (("user", op.users), ("client", op.clients), ("group", op.groups))
        for name in dict.fromkeys(wanted)
    ]
    insert_rows(connection, schema.group_members, _COLUMNS, rows, ignore=True)


def _missing(connection: Connection, table: Table, org: str, wanted: Sequence[str]) -> list[str]:
    known: set[str] = set()
    for start in range(0, len(wanted), _CHUNK):
        part = wanted[start : start + _CHUNK]
        query = select(table.c.name).where(table.c.name.in_(part))
        if "org" in table.c:
            query = query.where(table.c.org == org)
        known.update(connection.scalars(query))
    return [name for name in dict.fromkeys(wanted) if name not in known]


def _add(connection: Connection, ops: Sequence[operations.AddMember]) -> None:
    for op in ops:
        _require_group(connection, op.org, op.group)
    rows = [(op.org, op.group, op.kind, op.member) for op in ops]
    insert_rows(connection, schema.group_members, _COLUMNS, rows, ignore=True)


def _remove(connection: Connection, ops: Sequence[operations.RemoveMember]) -> None:
    table = schema.group_members
    for op in ops:
        with keeping_an_administrator(connection, op.org):
            gone = connection.execute(
                delete(table).where(
                    table.c.org == op.org,
                    table.c.group_name == op.group,
                    table.c.kind == op.kind,
                    table.c.member == op.member,
                )
            )
        if op.required and not gone.rowcount:
            raise Missing(f"no {op.kind} {op.member} in the group {op.group}")


def _require_group(connection: Connection, org: str, group: str) -> None:
    if not group_exists(connection, org, group):
        raise Missing(f"no such group: {group}")


BATCHES: dict[type, Callable[[Connection, Any], None]] = {
    operations.CreateGroup: _create,
    operations.DeleteGroup: _delete,
    operations.SetGroup: _set,
    operations.AddMembers: _add_known,
    operations.AddMember: _add,
    operations.RemoveMember: _remove,
}
