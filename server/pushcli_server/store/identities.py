"""Operations on organizations, users, clients, groups and keys, as SQL."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, delete, insert, select

from pushcli_server.store import operations, schema
from pushcli_server.store.bulk import insert_rows
from pushcli_server.store.errors import Conflict

NEW_NODE = {
    "chef_environment": "_default",
    "run_list": "[]",
    "automatic": "{}",
    "normal": "{}",
    "default": "{}",
    "override": "{}",
    "revision": 1,
}
"""What a node has that nobody edited."""


def _organizations(connection: Connection, ops: Sequence[operations.CreateOrganization]) -> None:
    connection.execute(insert(schema.organizations), [{"name": op.name} for op in ops])


def _users(connection: Connection, ops: Sequence[operations.CreateUser]) -> None:
    for op in ops:
        row = {"name": op.name, "superuser": op.superuser}
        connection.execute(insert(schema.users), row)
        _key(connection, "user", "", op.name, op.public_key)


def _clients(connection: Connection, ops: Sequence[operations.CreateClient]) -> None:
    for op in ops:
        row = {"org": op.org, "name": op.name, "validator": op.validator, "admin": op.admin}
        connection.execute(insert(schema.clients), row)
        _key(connection, "client", op.org, op.name, op.public_key)
        if op.enrolls:
            node = {"org": op.org, "name": op.name, "created_at": op.created_at, **NEW_NODE}
            node |= {"configured_at": 0.0, "extensions": ""}
            names = tuple(node)
            insert_rows(connection, schema.nodes, names, [tuple(node.values())], ignore=True)


def _key(connection: Connection, kind: str, org: str, name: str, public_key: str) -> None:
    row = {
        "kind": kind, "org": org, "name": name, "key_name": "default",
        "public_key": public_key, "expires_at": None,
    }  # fmt: skip
    connection.execute(insert(schema.keys), row)


def _delete_clients(connection: Connection, ops: Sequence[operations.DeleteClient]) -> None:
    clients, keys, members = schema.clients, schema.keys, schema.group_members
    for op in ops:
        gone = connection.execute(
            delete(clients).where(clients.c.org == op.org, clients.c.name == op.name)
        )
        if not gone.rowcount:
            raise Conflict("no such client")
        connection.execute(
            delete(keys).where(
                keys.c.kind == "client", keys.c.org == op.org, keys.c.name == op.name
            )
        )
        connection.execute(
            delete(members).where(
                members.c.org == op.org, members.c.kind == "client", members.c.member == op.name
            )
        )


def _associate(connection: Connection, ops: Sequence[operations.AssociateUser]) -> None:
    rows = [{"org": op.org, "name": op.user} for op in ops]
    connection.execute(insert(schema.organization_users), rows)


def _dissociate(connection: Connection, ops: Sequence[operations.DissociateUser]) -> None:
    table = schema.organization_users
    for op in ops:
        connection.execute(delete(table).where(table.c.org == op.org, table.c.name == op.user))


def _groups(connection: Connection, ops: Sequence[operations.CreateGroup]) -> None:
    connection.execute(insert(schema.groups), [{"org": op.org, "name": op.name} for op in ops])


def _delete_groups(connection: Connection, ops: Sequence[operations.DeleteGroup]) -> None:
    groups, members = schema.groups, schema.group_members
    for op in ops:
        gone = connection.execute(
            delete(groups).where(groups.c.org == op.org, groups.c.name == op.name)
        )
        if not gone.rowcount:
            raise Conflict("no such group")
        is_it = (members.c.kind == "group") & (members.c.member == op.name)
        connection.execute(
            delete(members).where(
                members.c.org == op.org, (members.c.group_name == op.name) | is_it
            )
        )


def _add_members(connection: Connection, ops: Sequence[operations.AddMember]) -> None:
    groups = schema.groups
    for op in ops:
        if not _is_there(connection, groups, org=op.org, name=op.group):
            raise Conflict("no such group")
    names = ("org", "group_name", "kind", "member")
    rows = [msgspec.structs.astuple(op) for op in ops]
    insert_rows(connection, schema.group_members, names, rows, ignore=True)


def _remove_members(connection: Connection, ops: Sequence[operations.RemoveMember]) -> None:
    table = schema.group_members
    for op in ops:
        connection.execute(
            delete(table).where(
                table.c.org == op.org,
                table.c.group_name == op.group,
                table.c.kind == op.kind,
                table.c.member == op.member,
            )
        )


def _add_keys(connection: Connection, ops: Sequence[operations.AddKey]) -> None:
    for op in ops:
        # A key that nobody has would be the next one's who gets the name.
        if op.kind == "user":
            known = _is_there(connection, schema.users, name=op.name)
        else:
            known = _is_there(connection, schema.clients, org=op.org, name=op.name)
        if not known:
            raise Conflict(f"no such {op.kind}")
    connection.execute(insert(schema.keys), [msgspec.structs.asdict(op) for op in ops])


def _delete_keys(connection: Connection, ops: Sequence[operations.DeleteKey]) -> None:
    table = schema.keys
    for op in ops:
        connection.execute(
            delete(table).where(
                table.c.kind == op.kind,
                table.c.org == op.org,
                table.c.name == op.name,
                table.c.key_name == op.key_name,
            )
        )


def _is_there(connection: Connection, table: Table, **key: str) -> bool:
    query = select(table.c.name).filter_by(**key).limit(1)
    return connection.execute(query).first() is not None


BATCHES: dict[type, Callable[[Connection, Any], None]] = {
    operations.CreateOrganization: _organizations,
    operations.CreateUser: _users,
    operations.CreateClient: _clients,
    operations.DeleteClient: _delete_clients,
    operations.AssociateUser: _associate,
    operations.DissociateUser: _dissociate,
    operations.CreateGroup: _groups,
    operations.DeleteGroup: _delete_groups,
    operations.AddMember: _add_members,
    operations.RemoveMember: _remove_members,
    operations.AddKey: _add_keys,
    operations.DeleteKey: _delete_keys,
}
