"""Operations take effect in the order in which they were submitted, however they are grouped."""

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, Table, select, text

from pushcli_server.store import CannotApply, Store, operations, reads, records, schema
from pushcli_server.store.apply import apply_all
from pushcli_server.store.bulk import is_postgresql
from pushcli_server.store.database import make_engine, writing
from pushcli_server.store.files import Files
from tests.integration.store.conftest import Database
from tests.integration.store.writing import ORGS, job

pytestmark = pytest.mark.timeout(120)


_CLIENTS = [operations.CreateClient(org="acme", name=name, public_key="k") for name in "ab"]
"""A node is saved only while its client is there."""


def line(number: int) -> operations.Audit:
    """A line of the audit trail; those of one time are kept in the order of their writing."""
    record = records.AuditRecord(
        at=1.0, org="acme", actor=str(number), action="x", target="x", origin="x"
    )
    return operations.Audit(record)


@contextmanager
def held_up(database: Database) -> Iterator[None]:
    """Have the writer wait, so that all that is submitted meanwhile becomes one group."""
    engine = make_engine(database.url)
    with writing(engine).begin() as connection:
        if is_postgresql(connection):
            connection.execute(text("LOCK TABLE audit IN EXCLUSIVE MODE"))
        yield
    engine.dispose()


def test_what_is_waited_for_keeps_its_place_in_a_group_whether_it_is_refused_or_not(
    database: Database,
) -> None:
    refused = operations.CreateOrganization("acme")

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        answers = []
        with held_up(database):
            for number in range(0, 60, 6):
                store.submit(line(number))
                for written in ([line(number + 1)], [line(number + 2), refused]):
                    answers.append(asyncio.ensure_future(store.write(*written)))
                    await asyncio.sleep(0)
                store.submit(line(number + 3), line(number + 4))
                answers.append(asyncio.ensure_future(store.write(line(number + 5))))
                await asyncio.sleep(0)
        results = await asyncio.gather(*answers, return_exceptions=True)
        assert [type(result) for result in results] == [type(None), CannotApply, type(None)] * 10
        kept = [int(found.actor) for found in await store.ask(reads.audit, "acme")]
        assert kept == [number for number in range(60) if number % 6 != 2]

    database.run(scenario)


def test_what_is_waited_for_changes_what_came_before_it_and_not_what_comes_after(
    database: Database,
) -> None:
    def event(number: int) -> operations.AppendEvent:
        return operations.AppendEvent("feed", number, number, b"x")

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        with held_up(database):
            # What holds the writer up, on a database that locks only what is used.
            store.submit(line(0))
            store.submit(event(1))
            gone = asyncio.ensure_future(store.write(operations.DropEvents("feed", None)))
            await asyncio.sleep(0)
            store.submit(event(2))
            kept = asyncio.ensure_future(store.write(operations.DropEvents("feed", None), ORGS[0]))
            await asyncio.sleep(0)
            store.submit(event(3))
        await gone
        with pytest.raises(CannotApply):
            await kept
        assert [number for _, number, _, _ in await store.ask(reads.feed_events)] == [2, 3]

    database.run(scenario)


# --- any operations that are submitted

_TABLES = (
    schema.jobs, schema.job_nodes, schema.blobs, schema.feed_events, schema.nodes,
    schema.node_fields, schema.audit,
)  # fmt: skip
_jobs = st.sampled_from(["1" * 32, "2" * 32])
_names = st.sampled_from(["a", "b"])
_outputs = st.sampled_from([None, b"", b"x" * 10, b"y" * 9000, Path("a.out"), Path("b.out")])
_changes = st.builds(
    operations.NodeChange,
    node=_names,
    state=st.sampled_from(["ready", "running", "failed"]),
    reason=st.sampled_from([None, "r", "s"]),
    exit_code=st.sampled_from([None, 0, 1]),
)
_nodes = st.builds(
    records.NodeRecord,
    org=st.just("acme"),
    name=_names,
    incarnation=st.sampled_from([None, "i", "j"]),
    curve_key=st.sampled_from([None, "k"]),
)
_operations = st.one_of(
    st.builds(
        operations.InsertJob,
        st.builds(job, _jobs),
        st.just([("a", "new"), ("b", "new")]),
        st.sampled_from([None, "raw:x", "raw:" + "y" * 9000]),
    ),
    st.builds(
        operations.UpdateJob,
        job_id=_jobs,
        status=st.sampled_from(["running", "complete"]),
        updated_at=st.sampled_from([2.0, 3.0]),
        voting_deadline=st.sampled_from([None, 5.0]),
        run_deadline=st.none(),
    ),
    st.builds(operations.UpdateJobNodes, _jobs, st.lists(_changes, max_size=3)),
    st.builds(operations.StoreOutput, job_id=_jobs, node=_names, stdout=_outputs, stderr=_outputs),
    st.builds(
        operations.AppendOutput,
        st.sampled_from([Path("a.out"), Path("b.out")]),
        st.sampled_from([0, 3]),
        st.sampled_from([b"abc", b"d" * 9000]),
    ),
    st.builds(operations.LateResult, _jobs, _names, st.sampled_from(["{}", '{"a": 1}'])),
    st.builds(operations.AppendEvent, _names, st.integers(0, 4), st.just(1), st.just(b"x")),
    st.builds(operations.DropEvents, _names, st.sampled_from([None, 2, 4])),
    st.builds(operations.SaveNode, _nodes),
    st.builds(
        operations.SetAutomatic,
        org=st.just("acme"),
        name=_names,
        automatic=st.sampled_from(['{"a": 1}', '{"b": 2}', '{"a": 3, "c": [4]}']),
    ),
    st.builds(operations.SaveWhitelistReport, st.just("acme"), _names, st.sampled_from("xy")),
    st.builds(line, st.integers(0, 3)),
)


def possible(ops: Sequence[operations.Operation]) -> list[operations.Operation]:
    """Without what the server never submits: of jobs that are not there, or a thing twice."""
    jobs: set[str] = set()
    events: set[tuple[str, int]] = set()
    found: list[operations.Operation] = []
    for op in ops:
        match op:
            case operations.InsertJob(job=new):
                if new.id in jobs:
                    continue
                jobs.add(new.id)
            case operations.AppendEvent(feed=feed, number=number):
                if (feed, number) in events:
                    continue
                events.add((feed, number))
            case operations.DropEvents(feed=feed, before=before):
                events -= {e for e in events if e[0] == feed and (before is None or e[1] < before)}
            case (
                operations.UpdateJob() | operations.UpdateJobNodes()
                | operations.StoreOutput() | operations.LateResult()
            ) if op.job_id not in jobs:  # fmt: skip
                continue
        found.append(op)
    return found


@pytest.fixture
def engine(database: Database) -> Iterator[Engine]:
    """Its transactions write."""
    engine = writing(make_engine(database.url))
    yield engine
    engine.dispose()


def within(root: Path, op: operations.Operation) -> operations.Operation:
    """The operation with its files in this directory."""
    match op:
        case operations.AppendOutput() | operations.StoreOutput():
            fields = msgspec.structs.asdict(op)
            paths = {name: root / it for name, it in fields.items() if isinstance(it, Path)}
            return msgspec.structs.replace(op, **paths)
        case _:
            return op


def outcome(engine: Engine, groups: Sequence[Sequence[operations.Operation]]) -> Any:
    """What is in the tables, and in the directory, after these groups; then all is undone."""
    with tempfile.TemporaryDirectory() as name, engine.connect() as connection:
        root = Path(name)
        (root / "incoming").mkdir()
        with connection.begin() as transaction:
            begun: list[operations.Operation] = [*ORGS, *_CLIENTS]
            for operation in begun:
                apply_all(connection, [operation], Files([operation], root))
            for group in groups:
                placed = [within(root, op) for op in group]
                files = Files(placed, root)
                files.finish()
                apply_all(connection, placed, files)
            found = [rows(connection, table) for table in _TABLES]
            transaction.rollback()
        files_left = [path for path in root.rglob("*") if path.is_file()]
        kept = {path.relative_to(root): path.read_bytes() for path in files_left}
    return found, kept


def rows(connection: Connection, table: Table) -> list[Any]:
    # A sequence goes on counting after a transaction that is undone.
    columns = [column for column in table.c if column is not schema.audit.c.id]
    query = select(*columns).order_by(*table.primary_key)
    return [tuple(row) for row in connection.execute(query)]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(ops=st.lists(_operations, max_size=14).map(possible))
def test_a_group_leaves_what_its_operations_leave_one_by_one(
    engine: Engine, ops: list[operations.Operation]
) -> None:
    assert outcome(engine, [ops]) == outcome(engine, [[op] for op in ops])


@pytest.mark.parametrize("known", [True, False])
def test_what_is_saved_and_what_is_told_of_a_node_keep_their_order(
    engine: Engine, known: bool
) -> None:
    saved = [
        operations.SaveNode(records.NodeRecord(org="acme", name=name, incarnation=incarnation))
        for name in "ab"
        for incarnation in "ij"
    ]
    told = [
        operations.SetAutomatic(org="acme", name=name, automatic=automatic)
        for name in "ab"
        for automatic in ('{"a": 1}', '{"b": 2}')
    ]
    reported = [operations.SaveWhitelistReport("acme", name, "x") for name in "ab"]
    ops: list[operations.Operation] = [*(saved if known else []), *told, *reported, *saved, *told]
    assert outcome(engine, [ops]) == outcome(engine, [[op] for op in ops])
