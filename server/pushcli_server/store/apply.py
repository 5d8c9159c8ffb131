"""Operations as SQL. Runs of one kind become one statement for many rows."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from pushcli_server.store import blobs, operations, schema
from pushcli_server.store.errors import Conflict

Rows = list[dict[str, Any]]


def apply_all(connection: Connection, ops: Iterable[operations.Operation], root: Path) -> None:
    """Apply operations as if in order; `root` is where large output lies.

    Kinds touch different rows or columns, but for jobs that come before their nodes and
    chunks that come before the output they belong to: so they are applied kind by kind,
    each in its own order.
    """
    by_kind: dict[type, list[operations.Operation]] = {}
    for op in ops:
        by_kind.setdefault(type(op), []).append(op)
    for kind, apply in _BATCHES.items():
        if kind in by_kind:
            apply(connection, by_kind[kind], root)


def apply_one(connection: Connection, operation: operations.Operation, root: Path) -> None:
    """Apply one operation that may be refused, without harm to the transaction.

    Raises:
        Conflict: what it makes is there already, or what it needs is not.
    """
    try:
        with connection.begin_nested():
            _BATCHES[type(operation)](connection, [operation], root)
    except IntegrityError as error:
        raise Conflict(type(operation).__name__) from error


def _insert_jobs(connection: Connection, ops: Sequence[operations.InsertJob], root: Path) -> None:
    connection.execute(insert(schema.jobs), [msgspec.structs.asdict(op.job) for op in ops])
    rows = [
        {"job_id": op.job.id, "node": node, "position": position, "state": state}
        for op in ops
        for position, (node, state) in enumerate(op.nodes)
    ]
    if rows:
        connection.execute(insert(schema.job_nodes), rows)


def _update_jobs(connection: Connection, ops: Sequence[operations.UpdateJob], root: Path) -> None:
    connection.execute(_UPDATE_JOB, [msgspec.structs.asdict(op) for op in ops])


def _update_nodes(
    connection: Connection, ops: Sequence[operations.UpdateJobNodes], root: Path
) -> None:
    rows = [
        {"_job_id": op.job_id, "_node": change.node, "_state": change.state}
        | {f"_{field}": getattr(change, field) for field in _DETAILS}
        for op in ops
        for change in op.changes
    ]
    if rows:
        connection.execute(_UPDATE_STATE, rows)


_DETAILS = ("reason", "exit_code", "signal", "started_at", "ended_at")
_UPDATE_JOB = (
    update(schema.jobs)
    .where(schema.jobs.c.id == bindparam("job_id"))
    .values(
        status=bindparam("status"),
        updated_at=bindparam("updated_at"),
        voting_deadline=bindparam("voting_deadline"),
        run_deadline=bindparam("run_deadline"),
    )
)
_THE_NODE = (schema.job_nodes.c.job_id == bindparam("_job_id")) & (
    schema.job_nodes.c.node == bindparam("_node")
)
# What is not known anew stays as it is.
_UPDATE_STATE = (
    update(schema.job_nodes)
    .where(_THE_NODE)
    .values(
        state=bindparam("_state"),
        **{
            field: func.coalesce(
                bindparam(f"_{field}", type_=schema.job_nodes.c[field].type),
                schema.job_nodes.c[field],
            )
            for field in _DETAILS
        },
    )
)
_UPDATE_OUTPUT = (
    update(schema.job_nodes)
    .where(_THE_NODE)
    .values(
        stdout_digest=bindparam("_stdout_digest"),
        stdout_size=bindparam("_stdout_size"),
        stderr_digest=bindparam("_stderr_digest"),
        stderr_size=bindparam("_stderr_size"),
    )
)


def _store_outputs(
    connection: Connection, ops: Sequence[operations.StoreOutput], root: Path
) -> None:
    rows: Rows = []
    kept: Rows = []
    for op in ops:
        row: dict[str, Any] = {"_job_id": op.job_id, "_node": op.node}
        for channel, content in (("stdout", op.stdout), ("stderr", op.stderr)):
            row[f"_{channel}_digest"] = row[f"_{channel}_size"] = None
            if content is not None:
                blob = _keep(content, root)
                kept.append(blob)
                row[f"_{channel}_digest"], row[f"_{channel}_size"] = blob["digest"], blob["size"]
        rows.append(row)
    if kept:
        connection.execute(_or_ignore(connection, schema.blobs), kept)
    connection.execute(_UPDATE_OUTPUT, rows)


def _keep(content: bytes | Path, root: Path) -> dict[str, Any]:
    if isinstance(content, Path) and not content.exists():
        # Repeated after the database was away: the first time moved it.
        content = b""
    digest, size = blobs.digest_of(content)
    if size > blobs.INLINE:
        blobs.keep(root, digest, content)
        return {"digest": digest, "size": size, "data": None}
    data = content if isinstance(content, bytes) else content.read_bytes()
    return {"digest": digest, "size": size, "data": data}


def _append_outputs(
    connection: Connection, ops: Sequence[operations.AppendOutput], root: Path
) -> None:
    for op in ops:
        blobs.append(op.path, op.offset, op.data)


def _late_results(connection: Connection, ops: Sequence[operations.LateResult], root: Path) -> None:
    statement = update(schema.job_nodes).where(_THE_NODE).values(late_result=bindparam("_detail"))
    connection.execute(
        statement, [{"_job_id": op.job_id, "_node": op.node, "_detail": op.detail} for op in ops]
    )


def _append_events(
    connection: Connection, ops: Sequence[operations.AppendEvent], root: Path
) -> None:
    connection.execute(insert(schema.feed_events), [msgspec.structs.asdict(op) for op in ops])


def _drop_events(connection: Connection, ops: Sequence[operations.DropEvents], root: Path) -> None:
    table = schema.feed_events
    for op in ops:
        gone = delete(table).where(table.c.feed == op.feed)
        if op.before is not None:
            gone = gone.where(table.c.number < op.before)
        connection.execute(gone)


_NEW_NODE = {"chef_environment": "_default", "run_list": "[]", "attributes": "{}"}


def _save_nodes(connection: Connection, ops: Sequence[operations.SaveNode], root: Path) -> None:
    rows = [{**msgspec.structs.asdict(op.node), **_NEW_NODE} for op in ops]
    statement = _dialect(connection).insert(schema.nodes)
    changed = (
        "incarnation", "curve_key", "previous_curve_key", "configured_at", "extensions",
    )  # fmt: skip
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["org", "name"],
            set_={column: statement.excluded[column] for column in changed},
        ),
        rows,
    )


def _audit(connection: Connection, ops: Sequence[operations.Audit], root: Path) -> None:
    connection.execute(insert(schema.audit), [msgspec.structs.asdict(op.record) for op in ops])


# --- identities


def _organizations(
    connection: Connection, ops: Sequence[operations.CreateOrganization], root: Path
) -> None:
    connection.execute(insert(schema.organizations), [{"name": op.name} for op in ops])


def _users(connection: Connection, ops: Sequence[operations.CreateUser], root: Path) -> None:
    for op in ops:
        row = {"name": op.name, "superuser": op.superuser}
        connection.execute(insert(schema.users), row)
        _key(connection, "user", "", op.name, op.public_key)


def _clients(connection: Connection, ops: Sequence[operations.CreateClient], root: Path) -> None:
    for op in ops:
        row = {"org": op.org, "name": op.name, "validator": op.validator, "admin": op.admin}
        connection.execute(insert(schema.clients), row)
        _key(connection, "client", op.org, op.name, op.public_key)
        if op.enrolls:
            node = {"org": op.org, "name": op.name, "created_at": op.created_at, **_NEW_NODE}
            node |= {"configured_at": 0.0, "extensions": ""}
            connection.execute(_or_ignore(connection, schema.nodes), node)


def _key(connection: Connection, kind: str, org: str, name: str, public_key: str) -> None:
    row = {
        "kind": kind, "org": org, "name": name, "key_name": "default",
        "public_key": public_key, "expires_at": None,
    }  # fmt: skip
    connection.execute(insert(schema.keys), row)


def _delete_clients(
    connection: Connection, ops: Sequence[operations.DeleteClient], root: Path
) -> None:
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


def _associate(connection: Connection, ops: Sequence[operations.AssociateUser], root: Path) -> None:
    rows = [{"org": op.org, "name": op.user} for op in ops]
    connection.execute(insert(schema.organization_users), rows)


def _dissociate(
    connection: Connection, ops: Sequence[operations.DissociateUser], root: Path
) -> None:
    table = schema.organization_users
    for op in ops:
        connection.execute(delete(table).where(table.c.org == op.org, table.c.name == op.user))


def _groups(connection: Connection, ops: Sequence[operations.CreateGroup], root: Path) -> None:
    connection.execute(insert(schema.groups), [{"org": op.org, "name": op.name} for op in ops])


def _delete_groups(
    connection: Connection, ops: Sequence[operations.DeleteGroup], root: Path
) -> None:
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


def _add_members(connection: Connection, ops: Sequence[operations.AddMember], root: Path) -> None:
    rows = [
        {"org": op.org, "group_name": op.group, "kind": op.kind, "member": op.member} for op in ops
    ]
    groups = schema.groups
    for op in ops:
        found = connection.execute(
            select(groups.c.name).where(groups.c.org == op.org, groups.c.name == op.group)
        ).first()
        if found is None:
            raise Conflict("no such group")
    connection.execute(_or_ignore(connection, schema.group_members), rows)


def _remove_members(
    connection: Connection, ops: Sequence[operations.RemoveMember], root: Path
) -> None:
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


def _add_keys(connection: Connection, ops: Sequence[operations.AddKey], root: Path) -> None:
    connection.execute(insert(schema.keys), [msgspec.structs.asdict(op) for op in ops])


def _delete_keys(connection: Connection, ops: Sequence[operations.DeleteKey], root: Path) -> None:
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


def _dialect(connection: Connection) -> Any:
    return postgresql if connection.dialect.name == "postgresql" else sqlite


def _or_ignore(connection: Connection, table: Table) -> Any:
    return _dialect(connection).insert(table).on_conflict_do_nothing()


_BATCHES: dict[type, Callable[[Connection, Any, Path], None]] = {
    operations.InsertJob: _insert_jobs,
    operations.UpdateJob: _update_jobs,
    operations.UpdateJobNodes: _update_nodes,
    operations.AppendOutput: _append_outputs,
    operations.StoreOutput: _store_outputs,
    operations.LateResult: _late_results,
    operations.AppendEvent: _append_events,
    operations.DropEvents: _drop_events,
    operations.SaveNode: _save_nodes,
    operations.Audit: _audit,
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
