"""Operations on organizations, users and clients, as SQL."""

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from pushcli.protocol import names
from pushcli_server.store import (
    chef_nodes,
    identity_keys,
    memberships,
    operations,
    schema,
    tokens,
)
from pushcli_server.store.bulk import insert_rows
from pushcli_server.store.errors import LastAdministrator, Missing, ReservedName
from pushcli_server.store.identity_keys import first_key, forget_keys
from pushcli_server.store.memberships import keeping_an_administrator, leave_groups

EVERYBODY = "users"
"""The group of all users of an organization, where there is one."""


def _organizations(connection: Connection, ops: Sequence[operations.CreateOrganization]) -> None:
    connection.execute(insert(schema.organizations), [{"name": op.name} for op in ops])


# --- users


def _users(connection: Connection, ops: Sequence[operations.CreateUser]) -> None:
    for op in ops:
        row = {
            "name": op.name, "superuser": op.superuser,
            "display_name": op.display_name, "email": op.email,
        }  # fmt: skip
        connection.execute(insert(schema.users), row)
        first_key(connection, "user", "", op.name, op.public_key)


def _update_users(connection: Connection, ops: Sequence[operations.UpdateUser]) -> None:
    users = schema.users
    for op in ops:
        given = {
            "superuser": op.superuser, "display_name": op.display_name, "email": op.email,
        }  # fmt: skip
        values = {name: value for name, value in given.items() if value is not None}
        changed = connection.execute(
            update(users).where(users.c.name == op.name).values(values or {"name": op.name})
        )
        if not changed.rowcount:
            raise Missing(f"no such user: {op.name}")
        if op.superuser is False:
            _require_superuser(connection)


def _delete_users(connection: Connection, ops: Sequence[operations.DeleteUser]) -> None:
    users, table, members = schema.users, schema.organization_users, schema.group_members
    for op in ops:
        was = connection.execute(select(users.c.superuser).where(users.c.name == op.name)).first()
        if was is None:
            raise Missing(f"no such user: {op.name}")
        for org in list(connection.scalars(select(table.c.org).where(table.c.name == op.name))):
            _dissociate(connection, [operations.DissociateUser(org, op.name)])
        connection.execute(delete(users).where(users.c.name == op.name))
        forget_keys(connection, "user", "", op.name)
        # Also in organizations that they had left, or somebody gets it all with the name.
        connection.execute(
            delete(members).where(members.c.kind == "user", members.c.member == op.name)
        )
        _disown_jobs(connection, "user", op.name)
        if was.superuser:
            _require_superuser(connection)


def _require_superuser(connection: Connection) -> None:
    query = select(schema.users.c.name).where(schema.users.c.superuser).limit(1)
    if connection.execute(query).first() is None:
        raise LastAdministrator("no superuser would be left")


def _associate(connection: Connection, ops: Sequence[operations.AssociateUser]) -> None:
    rows = [{"org": op.org, "name": op.user} for op in ops]
    connection.execute(insert(schema.organization_users), rows)
    for op in ops:
        memberships.join_if_there(connection, op.org, EVERYBODY, op.user)


def _dissociate(connection: Connection, ops: Sequence[operations.DissociateUser]) -> None:
    table = schema.organization_users
    for op in ops:
        with keeping_an_administrator(connection, op.org):
            gone = connection.execute(
                delete(table).where(table.c.org == op.org, table.c.name == op.user)
            )
            if not gone.rowcount:
                raise Missing(f"no user {op.user} in the organization {op.org}")
            leave_groups(connection, op.org, "user", op.user)
        _disown_jobs(connection, "user", op.user, schema.jobs.c.org == op.org)


def _disown_jobs(connection: Connection, kind: str, name: str, *where: ColumnElement[bool]) -> None:
    """Whoever gets the name next, or comes back, has no part in the jobs of before."""
    jobs = schema.jobs
    connection.execute(
        update(jobs)
        .where(jobs.c.owner_kind == kind, jobs.c.owner == name, *where)
        .values(owner_kind=None, owner=None)
    )


# --- clients


def _clients(connection: Connection, ops: Sequence[operations.CreateClient]) -> None:
    for op in ops:
        row = {
            "org": op.org,
            "name": op.name,
            "validator": op.validator,
            "older_jobs_until": _newest_job(connection, op.org),
            "session_salt": secrets.token_hex(16),
        }
        connection.execute(insert(schema.clients), row)
        if op.enrolls:
            # One that is taken is told so.
            _require_unreserved(connection, op.name)
        first_key(connection, "client", op.org, op.name, op.public_key)
        chef_nodes.forget_presence(connection, op.org, op.name)
        if op.enrolls:
            chef_nodes.enroll(connection, op.org, op.name, op.created_at)


def _known_clients(connection: Connection, ops: Sequence[operations.KnowClient]) -> None:
    names = ("org", "name", "validator", "older_jobs_until", "session_salt")
    rows = [(op.org, op.name, False, 0.0, "") for op in ops]
    insert_rows(connection, schema.clients, names, rows, ignore=True)


def _allow_chef(connection: Connection, ops: Sequence[operations.AllowChef]) -> None:
    rows = [(op.url, op.at) for op in ops]
    insert_rows(connection, schema.chef_allowed, ("url", "at"), rows, ignore=True)


def _refuse_chef(connection: Connection, ops: Sequence[operations.RefuseChef]) -> None:
    connection.execute(delete(schema.chef_allowed))
    # The next Chef Infra Server may be another one, which says of its nodes what it says.
    connection.execute(delete(schema.mirrored_nodes))


def _newest_job(connection: Connection, org: str) -> float:
    """When it was made. Jobs are held against jobs: clocks that are set change nothing then."""
    jobs = schema.jobs
    newest = connection.scalar(select(func.max(jobs.c.created_at)).where(jobs.c.org == org))
    return 0.0 if newest is None else float(newest)


def _require_unreserved(connection: Connection, name: str) -> None:
    """Whoever registers himself takes no name that somebody else is known by."""
    if names.is_reserved(name):
        raise ReservedName(f"the name {name} is reserved: choose another for the node")
    users = schema.users
    query = select(users.c.name).where(func.lower(users.c.name) == name.lower()).limit(1)
    if connection.execute(query).first() is not None:
        raise ReservedName(f"the name {name} is a user's: choose another for the node")


def _update_clients(connection: Connection, ops: Sequence[operations.UpdateClient]) -> None:
    clients = schema.clients
    for op in ops:
        changed = connection.execute(
            update(clients)
            .where(clients.c.org == op.org, clients.c.name == op.name)
            .values(validator=op.validator)
        )
        if not changed.rowcount:
            raise Missing(f"no such client: {op.name}")


def _delete_clients(connection: Connection, ops: Sequence[operations.DeleteClient]) -> None:
    clients = schema.clients
    for op in ops:
        with keeping_an_administrator(connection, op.org):
            gone = connection.execute(
                delete(clients).where(clients.c.org == op.org, clients.c.name == op.name)
            )
            if not gone.rowcount:
                raise Missing(f"no such client: {op.name}")
            leave_groups(connection, op.org, "client", op.name)
        _disown_jobs(connection, "client", op.name, schema.jobs.c.org == op.org)
        forget_keys(connection, "client", op.org, op.name)
        chef_nodes.forget(connection, op.org, [op.name])


BATCHES: dict[type, Callable[[Connection, Any], None]] = {
    operations.CreateOrganization: _organizations,
    operations.CreateUser: _users,
    operations.UpdateUser: _update_users,
    operations.DeleteUser: _delete_users,
    operations.CreateClient: _clients,
    operations.KnowClient: _known_clients,
    operations.AllowChef: _allow_chef,
    operations.RefuseChef: _refuse_chef,
    operations.UpdateClient: _update_clients,
    operations.DeleteClient: _delete_clients,
    operations.AssociateUser: _associate,
    operations.DissociateUser: _dissociate,
    **memberships.BATCHES,
    **identity_keys.BATCHES,
    **tokens.BATCHES,
}
