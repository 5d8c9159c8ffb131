"""Operations as SQL. Runs of one kind become one statement for many rows."""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import chain
from typing import Any

import msgspec
from msgspec.structs import astuple
from sqlalchemy import Connection, Insert, Table, bindparam, case, delete, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from pushcli_server.store import (
    blobs,
    brake,
    chef_nodes,
    editor_chain,
    identities,
    identity_reads,
    mirrored_nodes,
    operations,
    organizations,
    retention,
    schema,
    signatures,
    whitelists,
)
from pushcli_server.store.bulk import insert_rows, is_postgresql, update_rows
from pushcli_server.store.errors import CannotApply
from pushcli_server.store.files import Files, Kept, missing
from pushcli_server.store.grouping import runs

Apply = Callable[[Connection, Any], None]
_NOTHING = (None, None)


def apply_all(connection: Connection, ops: Iterable[operations.Operation], files: Files) -> None:
    """Apply operations with the same outcome as in order, in few statements.

    Raises:
        IntegrityError: one cannot be applied.
        CannotApply: one cannot be applied.
    """
    for run in runs(ops):
        _apply(connection, type(run[0]), run, files)


def apply_one(connection: Connection, operation: operations.Operation, files: Files) -> None:
    """Apply one operation that may be refused, without harm to the transaction.

    Raises:
        CannotApply: what it makes is there already, or what it needs is not.
    """
    try:
        with connection.begin_nested():
            _apply(connection, type(operation), [operation], files)
    except IntegrityError as error:
        raise CannotApply(type(operation).__name__) from error


def _apply(connection: Connection, kind: type, ops: Sequence[Any], files: Files) -> None:
    if kind in _WITH_FILES:
        _WITH_FILES[kind](connection, ops, files)
    elif kind not in _FILES_ALONE:
        _BATCHES[kind](connection, ops)


def _insert_jobs(connection: Connection, ops: Sequence[operations.InsertJob], files: Files) -> None:
    kept = [tuple(files.of(op)) for op in ops]
    _insert_blobs(connection, [content for contents in kept for content in contents])
    jobs = [
        msgspec.structs.replace(
            op.job,
            file_digest=None if file is None else file.digest,
            stdin_digest=None if stdin is None else stdin.digest,
        )
        for op, (file, stdin) in zip(ops, kept, strict=True)
    ]
    _insert_structs(connection, schema.jobs, jobs)
    rows = [
        (op.job.id, node, position, state)
        for op in ops
        for position, (node, state) in enumerate(op.nodes)
    ]
    insert_rows(connection, schema.job_nodes, ("job_id", "node", "position", "state"), rows)


def _update_jobs(connection: Connection, ops: Sequence[operations.UpdateJob]) -> None:
    # Deadlines may go: every column is written, None too.
    columns = ("status", "updated_at", "voting_deadline", "run_deadline")
    statement = (
        update(schema.jobs)
        .where(schema.jobs.c.id == bindparam("job_id"))
        .values({name: bindparam(name) for name in columns})
    )
    connection.execute(statement, [msgspec.structs.asdict(op) for op in ops])


def _update_nodes(connection: Connection, ops: Sequence[operations.UpdateJobNodes]) -> None:
    rows = [(op.job_id, *astuple(change)) for op in ops for change in op.changes]
    names = ("job_id", *operations.NodeChange.__struct_fields__)
    update_rows(connection, schema.job_nodes, names, rows, keys=2)


def _store_outputs(
    connection: Connection, ops: Sequence[operations.StoreOutput], files: Files
) -> None:
    there = retention.existing_jobs(connection, {op.job_id for op in ops})
    # Retention may have deleted a job while its last result was queued.
    files.abandon(op for op in ops if op.job_id not in there)
    ops = [op for op in ops if op.job_id in there]
    kept = [files.of(op) for op in ops]
    replaced = _replaced(connection, ops, kept)
    _insert_blobs(connection, chain.from_iterable(kept))
    rows = [
        (
            op.job_id,
            op.node,
            *(stdout or _NOTHING)[:2],
            missing(op.stdout, stdout, op.stdout_size, op.stdout_dropped),
            *(stderr or _NOTHING)[:2],
            missing(op.stderr, stderr, op.stderr_size, op.stderr_dropped),
            op.stdout_cut_at,
            op.stderr_cut_at,
        )
        for op, (stdout, stderr) in zip(ops, kept, strict=True)
    ]
    names = (
        "job_id", "node", "stdout_digest", "stdout_size", "stdout_dropped",
        "stderr_digest", "stderr_size", "stderr_dropped", "stdout_cut_at", "stderr_cut_at",
    )  # fmt: skip
    update_rows(connection, schema.job_nodes, names, rows, keys=2)
    retention.hold(connection, there)
    files.drop_blobs(retention.drop_unused(connection, replaced))


def _replaced(
    connection: Connection, ops: Sequence[operations.StoreOutput], kept: Sequence[Sequence[Kept]]
) -> set[str]:
    """The digests of what others of these may take the place of, or of what there is."""
    parts = [(op.job_id, op.node) for op in ops]
    before = retention.kept_of(connection, parts)
    if len(set(parts)) == len(parts):
        return before
    return before | {blob.digest for blob in chain.from_iterable(kept) if blob is not None}


def _insert_blobs(connection: Connection, kept: Iterable[Kept]) -> None:
    new = {blob.digest: blob for blob in kept if blob is not None}
    insert_rows(connection, schema.blobs, blobs.Blob._fields, list(new.values()), ignore=True)


def _late_results(connection: Connection, ops: Sequence[operations.LateResult]) -> None:
    rows = [astuple(op) for op in ops]
    names = ("job_id", "node", "late_result", "partial")
    update_rows(connection, schema.job_nodes, names, rows, keys=2)


def _append_events(connection: Connection, ops: Sequence[operations.AppendEvent]) -> None:
    _insert_structs(connection, schema.feed_events, ops)


def _drop_events(connection: Connection, ops: Sequence[operations.DropEvents]) -> None:
    table = schema.feed_events
    for op in ops:
        gone = delete(table).where(table.c.feed == op.feed)
        if op.before is not None:
            gone = gone.where(table.c.number < op.before)
        connection.execute(gone)


def _save_nodes(connection: Connection, ops: Sequence[operations.SaveNode]) -> None:
    # One whose client was deleted meanwhile must not come back as a ghost.
    there = identity_reads.existing_clients(connection, [(op.node.org, op.node.name) for op in ops])
    rows = [
        {**msgspec.structs.asdict(op.node), **chef_nodes.NEW_NODE}
        for op in ops
        if (op.node.org, op.node.name) in there
    ]
    if not rows:
        return
    connection.execute(_saved_node(is_postgresql(connection)), rows)


@cache
def _saved_node(on_postgresql: bool) -> Insert:
    # Made once: its `excluded` is a copy of the table, which refers to itself.
    nodes = schema.nodes
    dialect = postgresql if on_postgresql else sqlite
    statement: postgresql.Insert = dialect.insert(nodes)
    changed = (
        "incarnation", "curve_key", "previous_curve_key", "client_key", "previous_client_key",
        "configured_at", "extensions", "agent",
    )  # fmt: skip
    return statement.on_conflict_do_update(
        index_elements=["org", "name"],
        set_={
            **{name: statement.excluded[name] for name in changed},
            # An object that was deleted while its agent went on is there again.
            "revision": case((nodes.c.revision == 0, 1), else_=nodes.c.revision),
        },
    )


def _audit(connection: Connection, ops: Sequence[operations.Audit]) -> None:
    _insert_structs(connection, schema.audit, [op.record for op in ops])


def _insert_structs(
    connection: Connection, table: Table, structs: Sequence[msgspec.Struct]
) -> None:
    """Insert what has the table's columns as its fields."""
    names = structs[0].__struct_fields__
    insert_rows(connection, table, names, [astuple(struct) for struct in structs])


def _purge(
    connection: Connection, ops: Sequence[operations.PurgeOrganization], files: Files
) -> None:
    for op in ops:
        files.drop_gathered(organizations.purge(connection, op.org))


def _delete_organizations(
    connection: Connection, ops: Sequence[operations.DeleteOrganization], files: Files
) -> None:
    for op in ops:
        files.drop_gathered(organizations.delete_all(connection, op.org))


def _delete_output(
    connection: Connection, ops: Sequence[operations.DeleteOutput], files: Files
) -> None:
    for op in ops:
        files.drop_blobs(retention.delete_output(connection, op.jobs, op.at, op.because))


def _delete_jobs(
    connection: Connection, ops: Sequence[operations.DeleteJobs], files: Files
) -> None:
    for op in ops:
        ids, digests = retention.delete_jobs(connection, op.jobs)
        files.drop_gathered(ids)
        files.drop_blobs(digests)


def _delete_audit(connection: Connection, ops: Sequence[operations.DeleteAudit]) -> None:
    for op in ops:
        retention.delete_audit(connection, op.before)


def _drop_blobs(
    connection: Connection, _: Sequence[operations.DropUnusedBlobs], files: Files
) -> None:
    files.drop_blobs(organizations.drop_unused_blobs(connection))


def _clear_leftovers(
    connection: Connection, ops: Sequence[operations.ClearLeftovers], files: Files
) -> None:
    for op in ops:
        files.drop_spent(connection, op.digests)
    files.drop_blobs(retention.drop_unused(connection, retention.large_unused(connection)))


_WITH_FILES: dict[type, Callable[[Connection, Any, Files], None]] = {
    operations.PurgeOrganization: _purge,
    operations.DeleteOrganization: _delete_organizations,
    operations.DropUnusedBlobs: _drop_blobs,
    operations.ClearLeftovers: _clear_leftovers,
    operations.DeleteOutput: _delete_output,
    operations.DeleteJobs: _delete_jobs,
    operations.InsertJob: _insert_jobs,
    operations.StoreOutput: _store_outputs,
}
_FILES_ALONE = frozenset({operations.AppendOutput, operations.JoinTail})
_BATCHES: dict[type, Apply] = {
    operations.UpdateJob: _update_jobs,
    operations.UpdateJobNodes: _update_nodes,
    operations.LateResult: _late_results,
    operations.AppendEvent: _append_events,
    operations.DropEvents: _drop_events,
    operations.SaveNode: _save_nodes,
    operations.Audit: _audit,
    operations.DeleteAudit: _delete_audit,
    **brake.BATCHES,
    **identities.BATCHES,
    **chef_nodes.BATCHES,
    **mirrored_nodes.BATCHES,
    **whitelists.BATCHES,
    **signatures.BATCHES,
    **editor_chain.BATCHES,
}
