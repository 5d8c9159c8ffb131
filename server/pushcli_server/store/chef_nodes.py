"""Node objects, and the fields that search finds them by, as SQL."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, delete, select, update

from pushcli.protocol.attributes import LEVELS
from pushcli_server.search import flatten
from pushcli_server.store import brake, operations, schema, search, stored_json
from pushcli_server.store.bulk import insert_rows, update_rows
from pushcli_server.store.errors import Changed, Exists, Missing, Unreadable
from pushcli_server.store.identity_reads import client_exists
from pushcli_server.store.records import NodeObject

NEW_NODE = {
    "chef_environment": "_default",
    "policy_name": "",
    "policy_group": "",
    "run_list": "[]",
    "automatic": "{}",
    "normal": "{}",
    "default": "{}",
    "override": "{}",
    "revision": 1,
}
"""What a node has that nobody edited."""
_CHUNK = 500
MAX_AUTOMATIC = 1_000_000
"""Characters; what would make a node's automatic attributes larger is not taken: each telling adds
to what chef-client or a previous one left."""
_CONTENT = (
    "chef_environment",
    "policy_name",
    "policy_group",
    "run_list",
    "automatic",
    "normal",
    "default",
    "override",
)
_NAMES = ("org", "name", *_CONTENT, "revision")


def names(connection: Connection, org: str) -> list[str]:
    """All of an organization's, sorted."""
    nodes = schema.nodes
    query = select(nodes.c.name).where(nodes.c.org == org, nodes.c.revision > 0)
    return sorted(connection.scalars(query))


def enrolled(connection: Connection, org: str) -> list[str]:
    """The names of all nodes, those without an object too."""
    return list(connection.scalars(select(schema.nodes.c.name).where(schema.nodes.c.org == org)))


def of_nodes(connection: Connection, org: str, wanted: Sequence[str]) -> list[NodeObject]:
    """Those of these nodes that there are, in this order."""
    nodes = schema.nodes
    columns = [nodes.c[name] for name in _NAMES]
    found = {}
    for start in range(0, len(wanted), _CHUNK):
        some = wanted[start : start + _CHUNK]
        rows = connection.execute(
            select(*columns).where(nodes.c.org == org, nodes.c.name.in_(some), nodes.c.revision > 0)
        )
        found.update({row.name: NodeObject(**row._mapping) for row in rows})
    return [found[name] for name in wanted if name in found]


def _put(connection: Connection, ops: Sequence[operations.PutNode]) -> None:
    for op in ops:
        present = next(iter(of_nodes(connection, op.node.org, [op.node.name])), None)
        if op.create and present is not None:
            raise Exists(op.node.name)
        if not op.create and present is None:
            raise Missing(op.node.name)
        if present is None:
            _insert(connection, op)
        else:
            _replace(connection, op, present)


def _insert(connection: Connection, op: operations.PutNode) -> None:
    row = {
        **msgspec.structs.asdict(op.node),
        "revision": 1,
        "created_at": op.created_at,
        "configured_at": 0.0,
        "extensions": "",
    }
    names, values = tuple(row), tuple(row.values())
    insert_rows(connection, schema.nodes, names, [values], ignore=True)
    # The node may be there without an object.
    _save(connection, msgspec.structs.replace(op.node, revision=1))


def _replace(connection: Connection, op: operations.PutNode, present: NodeObject) -> None:
    if op.revision is not None and op.revision != present.revision:
        raise Changed(present.revision)
    node = msgspec.structs.replace(op.node, revision=present.revision + 1)
    if op.keep_push_jobs:
        normal = _with_push_jobs_of(present.normal, node.normal)
        node = msgspec.structs.replace(node, normal=normal)
    _save(connection, node)


def _save(connection: Connection, node: NodeObject) -> None:
    row = tuple(getattr(node, name) for name in _NAMES)
    update_rows(connection, schema.nodes, _NAMES, [row], keys=2)
    _index(connection, node)


def _with_push_jobs_of(present: str, new: str) -> str:
    kept, normal = stored_json.read_object(present), msgspec.json.decode(new)
    normal.pop("push_jobs", None)
    if "push_jobs" in kept:
        normal["push_jobs"] = kept["push_jobs"]
    return msgspec.json.encode(normal).decode()


def _index(connection: Connection, *nodes: NodeObject) -> None:
    fields = {node.name: flatten.fields(_decoded(node)) for node in nodes}
    search.replace_fields(connection, nodes[0].org, fields)


def _decoded(node: NodeObject) -> dict[str, Any]:
    levels = {name: stored_json.read_object(getattr(node, name)) for name in LEVELS}
    return {
        "name": node.name,
        "chef_environment": node.chef_environment,
        "policy_name": node.policy_name,
        "policy_group": node.policy_group,
        "run_list": run_list_of(node),
        **levels,
    }


def run_list_of(node: NodeObject) -> list[Any]:
    """The run list; what is none is empty."""
    try:
        found = stored_json.read(node.run_list)
    except Unreadable:
        return []
    return found if isinstance(found, list) else []


def _delete(connection: Connection, ops: Sequence[operations.DeleteNode]) -> None:
    nodes = schema.nodes
    for op in ops:
        if not of_nodes(connection, op.org, [op.name]):
            raise Missing(op.name)
        its_row = and_(nodes.c.org == op.org, nodes.c.name == op.name)
        if client_exists(connection, op.org, op.name):
            # Its agent goes on: what is known of its connection and whitelist stays.
            connection.execute(update(nodes).where(its_row).values({**NEW_NODE, "revision": 0}))
        else:
            connection.execute(delete(nodes).where(its_row))
        search.drop_fields(connection, op.org, [op.name])


def forget(connection: Connection, org: str, names: Sequence[str]) -> None:
    """Nodes go, with all that is known of them."""
    nodes = schema.nodes
    for start in range(0, len(names), _CHUNK):
        some = names[start : start + _CHUNK]
        connection.execute(delete(nodes).where(nodes.c.org == org, nodes.c.name.in_(some)))
    search.drop_fields(connection, org, names)
    brake.forget(connection, org, names)


def enroll(connection: Connection, org: str, name: str, created_at: float) -> None:
    """A node is listed from now on; an object that was made for it beforehand stays."""
    node = {"org": org, "name": name, "created_at": created_at, **NEW_NODE}
    node |= {"configured_at": 0.0, "extensions": ""}
    insert_rows(connection, schema.nodes, tuple(node), [tuple(node.values())], ignore=True)


def forget_presence(connection: Connection, org: str, name: str) -> None:
    """Who connected under this name, and what he reported, is nothing to the next."""
    nodes = schema.nodes
    connection.execute(
        update(nodes)
        .where(nodes.c.org == org, nodes.c.name == name)
        .values(
            incarnation=None, curve_key=None, previous_curve_key=None, client_key="",
            previous_client_key="", configured_at=0.0, extensions="", agent=None,
            whitelist_report=None,
        )
    )  # fmt: skip


def _set_automatic(connection: Connection, ops: Sequence[operations.SetAutomatic]) -> None:
    by_org: dict[str, dict[str, str]] = {}
    for op in ops:
        by_org.setdefault(op.org, {})[op.name] = op.automatic
    for org, told in by_org.items():
        changed = []
        for node in of_nodes(connection, org, list(told)):
            previous = stored_json.read_object(node.automatic)
            automatic = previous | msgspec.json.decode(told[node.name])
            text = msgspec.json.encode(automatic).decode()
            if automatic != previous and len(text) <= MAX_AUTOMATIC:
                revision = node.revision + 1
                changed.append(msgspec.structs.replace(node, automatic=text, revision=revision))
        if changed:
            rows = [(org, node.name, node.automatic, node.revision) for node in changed]
            update_rows(
                connection, schema.nodes, ("org", "name", "automatic", "revision"), rows, keys=2
            )
            _index(connection, *changed)


BATCHES: dict[type, Callable[[Connection, Any], None]] = {
    operations.PutNode: _put,
    operations.DeleteNode: _delete,
    operations.SetAutomatic: _set_automatic,
}
