"""Who there is, who belongs where, which keys and tokens count: questions, as SQL.

Each takes a connection and answers from what is committed; `Store.ask` puts them.
"""

import time
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    Text,
    and_,
    bindparam,
    or_,
    select,
)

from pushcli_server.store import schema
from pushcli_server.store.records import (
    ClientRecord,
    EditorRecord,
    GroupRecord,
    KeyRecord,
    Principal,
    TokenRecord,
    UserRecord,
)

ADMINS = "admins"
DEFAULT_KEY = "default"
_CHUNK = 500
"""Names in one statement."""
_ORG = bindparam("org", type_=Text)


def organizations(connection: Connection) -> list[str]:
    """All names."""
    return list(connection.scalars(select(schema.organizations.c.name)))


def organization_exists(connection: Connection, org: str) -> bool:
    """Whether there is one of this name."""
    table = schema.organizations
    return connection.execute(select(table.c.name).where(table.c.name == org)).first() is not None


def principals(connection: Connection, org: str, name: str) -> list[Principal]:
    """The user and the client of this name, whichever there are."""
    users, members, clients = schema.users, schema.organization_users, schema.clients
    found = []
    user = connection.execute(
        select(users.c.superuser, members.c.org)
        .outerjoin(members, and_(members.c.name == users.c.name, members.c.org == org))
        .where(users.c.name == name)
    ).first()
    if user is not None:
        found.append(
            Principal(
                kind="user",
                name=name,
                public_keys=valid_keys(connection, "user", "", name),
                associated=user.org is not None,
                superuser=user.superuser,
            )
        )
    client = connection.execute(
        select(clients.c.validator).where(clients.c.org == org, clients.c.name == name)
    ).first()
    if client is not None:
        found.append(
            Principal(
                kind="client",
                name=name,
                public_keys=valid_keys(connection, "client", org, name),
                associated=True,
                validator=client.validator,
            )
        )
    return found


def candidates(connection: Connection, org: str, name: str) -> list[Principal] | None:
    """The principals of this name; None: there is no such organization.

    Args:
        org: empty outside of the organizations.
    """
    if org and not organization_exists(connection, org):
        return None
    return principals(connection, org, name)


# --- users and clients


def all_users(connection: Connection) -> list[str]:
    """The users of the server, by name."""
    return list(connection.scalars(select(schema.users.c.name).order_by(schema.users.c.name)))


def users(connection: Connection, org: str) -> list[str]:
    """The users of an organization, by name."""
    table = schema.organization_users
    return list(
        connection.scalars(select(table.c.name).where(table.c.org == org).order_by(table.c.name))
    )


def is_associated(connection: Connection, org: str, user: str) -> bool:
    """Whether the user belongs to the organization."""
    table = schema.organization_users
    query = select(table.c.name).where(table.c.org == org, table.c.name == user)
    return connection.execute(query).first() is not None


def user_exists(connection: Connection, name: str) -> bool:
    """Whether the server has this user."""
    table = schema.users
    return connection.execute(select(table.c.name).where(table.c.name == name)).first() is not None


def user(connection: Connection, name: str) -> UserRecord | None:
    """A user of the server."""
    table = schema.users
    row = connection.execute(select(table).where(table.c.name == name)).first()
    if row is None:
        return None
    return UserRecord(**row._mapping, public_key=_shown(keys(connection, "user", "", name)))


def clients(connection: Connection, org: str) -> list[str]:
    """The clients of an organization, by name."""
    table = schema.clients
    query = select(table.c.name).where(table.c.org == org).order_by(table.c.name)
    return list(connection.scalars(query))


def session_salts(connection: Connection) -> dict[tuple[str, str], str]:
    """The salt of every client, by organization and name."""
    table = schema.clients
    rows = connection.execute(select(table.c.org, table.c.name, table.c.session_salt))
    return {(row.org, row.name): row.session_salt for row in rows}


def existing_clients(
    connection: Connection, wanted: Iterable[tuple[str, str]]
) -> set[tuple[str, str]]:
    """Those of these clients (organization and name) that there are."""
    by_org: dict[str, list[str]] = {}
    for org, name in wanted:
        by_org.setdefault(org, []).append(name)
    table = schema.clients
    found: set[tuple[str, str]] = set()
    for org, names in by_org.items():
        for start in range(0, len(names), _CHUNK):
            some = names[start : start + _CHUNK]
            query = select(table.c.name).where(table.c.org == org, table.c.name.in_(some))
            found.update((org, name) for name in connection.scalars(query))
    return found


def client_exists(connection: Connection, org: str, name: str) -> bool:
    """Whether the organization has this client."""
    table = schema.clients
    query = select(table.c.name).where(table.c.org == org, table.c.name == name)
    return connection.execute(query).first() is not None


def client(connection: Connection, org: str, name: str) -> ClientRecord | None:
    """A client of an organization."""
    table = schema.clients
    query = select(table.c.validator).where(table.c.org == org, table.c.name == name)
    row = connection.execute(query).first()
    if row is None:
        return None
    return ClientRecord(
        name=name,
        validator=row.validator,
        admin=is_member(connection, org, "client", name, ADMINS),
        public_key=_shown(keys(connection, "client", org, name)),
    )


def everybody(connection: Connection, org: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """The valid keys (PEM) of all users and clients of an organization, by kind and name."""
    found: dict[tuple[str, str], tuple[str, ...]] = {
        **{("user", name): () for name in users(connection, org)},
        **{("client", name): () for name in clients(connection, org)},
    }
    table, members = schema.keys, schema.organization_users
    of_users = and_(
        table.c.kind == "user", table.c.name.in_(select(members.c.name).where(members.c.org == org))
    )
    of_clients = and_(table.c.kind == "client", table.c.org == org)
    query = select(table.c.kind, table.c.name, table.c.public_key).where(
        or_(of_users, of_clients), is_valid_at(time.time())
    )
    for kind, name, key in connection.execute(query):
        found[kind, name] += (key,)
    return found


def allows_chef(connection: Connection) -> bool:
    """Whether those of a Chef Infra Server may count though there are users here."""
    return connection.execute(select(schema.chef_allowed.c.url)).first() is not None


# --- keys


def keys(connection: Connection, kind: str, org: str, name: str) -> list[KeyRecord]:
    """All keys of a user (`org` empty) or client, by name, expired ones too."""
    table = schema.keys
    query = select(table.c.key_name, table.c.public_key, table.c.expires_at)
    rows = connection.execute(query.where(_are_of(kind, org, name)).order_by(table.c.key_name))
    return [KeyRecord(**row._mapping) for row in rows]


def valid_keys(connection: Connection, kind: str, org: str, name: str) -> tuple[str, ...]:
    """The keys (PEM) that count now."""
    valid = is_valid_at(time.time())
    query = select(schema.keys.c.public_key).where(_are_of(kind, org, name), valid)
    return tuple(connection.scalars(query))


def client_keys(connection: Connection, org: str, name: str) -> list[tuple[str, str]]:
    """The keys (PEM) of a client that count now, each with the client's salt."""
    keys, clients = schema.keys, schema.clients
    # One question: the keys of one client and the salt of the next would not fit.
    query = (
        select(keys.c.public_key, clients.c.session_salt)
        .join(clients, and_(clients.c.org == keys.c.org, clients.c.name == keys.c.name))
        .where(_are_of("client", org, name), is_valid_at(time.time()))
    )
    return [(row.public_key, row.session_salt) for row in connection.execute(query)]


def is_valid_at(now: float | BindParameter[float]) -> ColumnElement[bool]:
    """The condition that a row of `keys` counts at this time."""
    expires_at = schema.keys.c.expires_at
    return or_(expires_at.is_(None), expires_at > now)


def _are_of(kind: str, org: str, name: str) -> ColumnElement[bool]:
    table = schema.keys
    return and_(table.c.kind == kind, table.c.org == org, table.c.name == name)


def _shown(found: Iterable[KeyRecord]) -> str | None:
    """The one key that an object shows: the default one, unless only another is valid."""
    now = time.time()

    def rank(key: KeyRecord) -> tuple[bool, bool, str]:
        expired = key.expires_at is not None and key.expires_at <= now
        return expired, key.key_name != DEFAULT_KEY, key.key_name

    first = min(found, key=rank, default=None)
    return None if first is None else first.public_key


# --- groups


def groups(connection: Connection, org: str) -> list[str]:
    """The groups of an organization, by name."""
    table = schema.groups
    query = select(table.c.name).where(table.c.org == org).order_by(table.c.name)
    return list(connection.scalars(query))


def group_exists(connection: Connection, org: str, group: str) -> bool:
    """Whether the organization has a group of this name."""
    table = schema.groups
    query = select(table.c.name).where(table.c.org == org, table.c.name == group)
    return connection.execute(query).first() is not None


def group(connection: Connection, org: str, name: str) -> GroupRecord | None:
    """A group's own members."""
    if not group_exists(connection, org, name):
        return None
    members = schema.group_members
    query = select(members.c.kind, members.c.member).where(
        members.c.org == org, members.c.group_name == name
    )
    found: dict[str, list[str]] = {"user": [], "client": [], "group": []}
    for kind, member in connection.execute(query.order_by(members.c.member)):
        found[kind].append(member)
    return GroupRecord(users=found["user"], clients=found["client"], groups=found["group"])


def is_member(connection: Connection, org: str, kind: str, name: str, group: str) -> bool:
    """Whether a user or client is in the group, or in one that is, however deep."""
    asked = {"org": org, "kind": kind, "member": name, "within": group}
    return connection.execute(_is_member(), asked).first() is not None


def members(connection: Connection, org: str, group: str) -> list[tuple[str, str]]:
    """Kind and name of the users and clients in the group, or in one that is, however deep."""
    table = schema.group_members
    query = select(table.c.kind, table.c.member).where(
        table.c.org == _ORG, table.c.kind != "group", table.c.group_name.in_(_within())
    )
    asked = {"org": org, "within": group}
    return [(row.kind, row.member) for row in connection.execute(query.distinct(), asked)]


def session_salt(connection: Connection, org: str, name: str) -> str:
    """The salt of a client; empty where there is none."""
    table = schema.clients
    query = select(table.c.session_salt).where(table.c.org == org, table.c.name == name)
    return connection.scalar(query) or ""


def is_administrated(connection: Connection, org: str) -> bool:
    """Whether anybody who belongs to the organization is in `admins`."""
    asked = {"org": org, "within": ADMINS}
    return any(connection.execute(query, asked).first() is not None for query in _administrating())


# Queries about groups are made once: what makes up a recursive one refers to itself, so that
# only the garbage collector would take it away.


@cache
def _is_member() -> Select[tuple[str]]:
    members = schema.group_members
    query = select(members.c.member).where(
        members.c.org == _ORG,
        members.c.kind == bindparam("kind"),
        members.c.member == bindparam("member"),
        members.c.group_name.in_(_within()),
    )
    return query.limit(1)


@cache
def _administrating() -> tuple[Select[tuple[str]], ...]:
    members, users, clients = schema.group_members, schema.organization_users, schema.clients
    within = and_(members.c.org == _ORG, members.c.group_name.in_(_within()))
    of_users = and_(users.c.org == members.c.org, users.c.name == members.c.member)
    of_clients = and_(clients.c.org == members.c.org, clients.c.name == members.c.member)
    return tuple(
        select(members.c.member).join(table, belongs).where(within, members.c.kind == kind).limit(1)
        for kind, table, belongs in (("user", users, of_users), ("client", clients, of_clients))
    )


@cache
def _editors() -> Select[Any]:
    members, associated, table = schema.group_members, schema.organization_users, schema.keys
    return (
        select(table.c.name, table.c.public_key)
        .distinct()
        .join(associated, and_(associated.c.org == _ORG, associated.c.name == table.c.name))
        .join(members, and_(members.c.org == _ORG, members.c.member == table.c.name))
        .where(
            table.c.kind == "user",
            members.c.kind == "user",
            members.c.group_name.in_(_within()),
            is_valid_at(bindparam("now", type_=table.c.expires_at.type)),
        )
        .order_by(table.c.name, table.c.public_key)
    )


def _within() -> Select[tuple[str]]:
    """The group `within`, if there is one, and all groups in it."""
    members, groups = schema.group_members, schema.groups
    # UNION drops what was seen: groups that hold each other end the recursion.
    nested = select(groups.c.name).where(
        groups.c.org == _ORG, groups.c.name == bindparam("within", type_=Text)
    )
    within = nested.cte("within", recursive=True)
    every = within.union(
        select(members.c.member).where(
            members.c.org == _ORG, members.c.kind == "group", members.c.group_name == within.c.name
        )
    )
    return select(every.c.name)


def editors(connection: Connection, org: str) -> list[EditorRecord]:
    """The valid keys of the users in `admins`, by name: who may sign whitelists at first."""
    asked = {"org": org, "within": ADMINS, "now": time.time()}
    return [EditorRecord(*row) for row in connection.execute(_editors(), asked)]


# --- tokens


def token(connection: Connection, org: str, token_id: str) -> TokenRecord | None:
    """A token of an organization, used up or not."""
    table = schema.tokens
    query = select(*_columns(table, TokenRecord)).where(table.c.org == org, table.c.id == token_id)
    row = connection.execute(query).first()
    return None if row is None else TokenRecord(**row._mapping)


def tokens(connection: Connection, org: str, now: float) -> list[TokenRecord]:
    """The tokens of an organization that can still be used, oldest first."""
    table = schema.tokens
    query = select(*_columns(table, TokenRecord)).where(
        table.c.org == org, table.c.uses_left > 0, table.c.expires_at > now
    )
    rows = connection.execute(query.order_by(table.c.created_at, table.c.id))
    return [TokenRecord(**row._mapping) for row in rows]


def _columns(table: Any, record: type[msgspec.Struct]) -> Sequence[Any]:
    return [table.c[field.name] for field in msgspec.structs.fields(record)]
