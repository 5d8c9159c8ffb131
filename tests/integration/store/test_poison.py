"""What cannot be stored, or cannot be read, hurts nobody but itself."""

import asyncio
import logging
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from pushcli_server import persistence
from pushcli_server.core.job_state import Grace
from pushcli_server.store import (
    CannotStore,
    Store,
    chef_nodes,
    editor_chain,
    operations,
    reads,
    records,
    whitelist_reads,
)
from pushcli_server.store.database import make_engine
from pushcli_server.store.errors import DamagedContent, Unreadable, WhitelistConflict
from tests.integration.store.conftest import ON_SQLITE, Database
from tests.integration.store.writing import JOB, ORGS, changed, job, kept_output, with_job

pytestmark = pytest.mark.timeout(60)
OTHER = "2" * 32
HUGE = 2**80
LATEST = 2**50


# --- operations


def client(name: str) -> operations.CreateClient:
    """Of a node: nothing is kept of one that has none."""
    return operations.CreateClient(org="acme", name=name, public_key=None)


def poison() -> list[operations.Operation]:
    """What neither database takes."""
    return [
        operations.InsertJob(job(), []),
        operations.InsertJob(job(OTHER, quorum=HUGE), []),
        operations.InsertJob(job(OTHER, org="missing"), []),
        operations.InsertJob(job(OTHER, command="\ud800"), []),
        operations.InsertJob(job(OTHER), [], file="raw:\ud800"),
        operations.UpdateJobNodes(
            JOB, [operations.NodeChange(node="a", state="failed", exit_code=HUGE)]
        ),
        operations.AppendEvent("feed", HUGE, 1, b"x"),
        operations.AppendEvent("feed", 1, 1, {"not": "bytes"}),  # type: ignore[arg-type]
        operations.SaveNode(records.NodeRecord(org="acme", name="n", configured_at="soon")),  # type: ignore[arg-type]
        operations.SetAutomatic(org="acme", name="n", automatic="{"),
    ]


@pytest.mark.parametrize("number", range(len(poison())))
def test_what_can_never_be_stored_is_left_out_and_the_rest_goes_on(
    database: Database, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        await store.write(client("n"))
        store.submit(operations.SaveNode(records.NodeRecord(org="acme", name="n")))
        await store.barrier()
        store.submit(operations.AppendEvent("other", 1, 1, b"before"))
        bad = store.submit(poison()[number])
        store.submit(changed("a", "ready"))
        group = asyncio.ensure_future(store.write(operations.CreateGroup("acme", "g")))
        await store.barrier()
        await group
        assert store.healthy
        assert (await store.ask(reads.job_nodes, "acme", JOB))[0].state == "ready"
        assert ("other", 1, 1, b"before") in await store.ask(reads.feed_events)
        assert list(store.refused) == [bad]
        assert store.was_refused(bad, bad)
        assert not store.was_refused(bad + 1, bad + 9)

    with caplog.at_level(logging.ERROR, logger="pushcli_server.store"):
        database.run(scenario)
    [complaint] = [record.getMessage() for record in caplog.records]
    assert complaint.startswith(f"{type(poison()[number]).__name__} cannot be stored")
    assert "\n" not in complaint


def test_a_thousand_items_with_a_few_bad_ones_among_them(database: Database) -> None:
    bad_ones = {3, 77, 78, 512, 999}

    async def scenario(store: Store) -> None:
        await with_job(store, *(f"n{number}" for number in range(1000)))
        await store.barrier()
        for number in range(1000):
            if number in bad_ones:
                store.submit(operations.InsertJob(job(), []))
            store.submit(changed(f"n{number}", "ready"))
        await store.barrier()
        assert {node.state for node in await store.ask(reads.job_nodes, "acme", JOB)} == {"ready"}
        assert len(store.refused) == len(bad_ones)

    database.run(scenario)


@pytest.mark.parametrize("quorum", [HUGE, -HUGE])
def test_whoever_waits_is_told_that_it_cannot_be_stored(database: Database, quorum: int) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        with pytest.raises(CannotStore):
            await store.write(operations.InsertJob(job(quorum=quorum), []))
        with pytest.raises(CannotStore):
            await store.answered(store.begin(operations.InsertJob(job(quorum=quorum), [])))
        await store.write(operations.InsertJob(job(), []))

    database.run(scenario)


@pytest.mark.parametrize("question", ["\ud800", "\0"])
def test_a_question_that_holds_what_no_database_can_is_told_so(
    database: Database, question: str
) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        try:
            found = await store.ask(reads.job, "acme", question)
        except CannotStore:
            found = None
        assert found is None
        assert await store.ask(reads.jobs, "acme") == ([], False), "and nobody else's"

    database.run(scenario)


@pytest.mark.parametrize("kind", ["a directory", "a loop"])
def test_a_file_that_cannot_be_written_costs_its_own_output_only(
    database: Database, kind: str
) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a", "b")
        await store.barrier()
        path = store.incoming("a.stdout")
        path.mkdir() if kind == "a directory" else path.symlink_to(path)
        bad = store.submit(operations.AppendOutput(path, 0, b"x"))
        store.submit(operations.AppendOutput(store.incoming("b.stdout"), 0, b"whole"))
        store.submit(
            operations.StoreOutput(
                job_id=JOB, node="b", stdout=store.incoming("b.stdout"), stderr=None
            )
        )
        await store.barrier()
        assert list(store.refused) == [bad]
        assert await kept_output(store, "acme", JOB, "b", "stdout") == b"whole"

    database.run(scenario)


def test_a_directory_that_somebody_removed_is_made_again(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        await store.barrier()
        (store.root / "incoming").rmdir()
        store.submit(operations.AppendOutput(store.incoming("a.stdout"), 0, b"whole"))
        await store.barrier()
        assert store.healthy
        assert store.incoming("a.stdout").read_bytes() == b"whole"

    database.run(scenario)


# --- rows


def execute(database: Database, *statements: str) -> None:
    engine = make_engine(database.url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


NODE = records.NodeObject(org="acme", name="n", normal='{"push_jobs": {"whitelist": {"a": "b"}}}')
DEEP = '{"push_jobs": {"whitelist": {"a": "b", "x": ' + "[" * 500 + "]" * 500 + "}}}"
ABYSS = '{"push_jobs": {"whitelist": {"x": ' + "[" * 50_000 + "]" * 50_000 + "}}}"


def with_node(database: Database, **columns: str) -> None:
    async def make(store: Store) -> None:
        await store.write(*ORGS, operations.PutNode(node=NODE, create=True))

    database.run(make)
    for column, value in columns.items():
        quoted = value.replace("'", "''").replace(":", "\\:")
        execute(database, f"UPDATE nodes SET \"{column}\" = '{quoted}'")


@pytest.mark.parametrize("normal", ["{", "[]", "\\", DEEP, ABYSS])
def test_attributes_that_cannot_be_read_leave_a_node_that_can_be_used(
    database: Database, normal: str
) -> None:
    with_node(database, normal=normal)

    async def scenario(store: Store) -> None:
        [(name, fields)] = await store.ask(
            whitelist_reads.messages_to, "acme", ["n"], {"n"}, LATEST
        )
        assert name == "n"
        assert [bytes(entry) for entry in fields["entries"]] == (
            [b'{"name":"a","value":"b"}'] if normal == DEEP else []
        )
        edit = operations.EditWhitelists(
            org="acme", changes={"n": {"new": ("true", {"version": 1})}}, latest=LATEST
        )
        if normal in {DEEP, "[]"}:
            await store.write(edit)
        else:
            with pytest.raises(WhitelistConflict, match="store the node object again"):
                await store.write(edit)
        store.submit(operations.SetAutomatic(org="acme", name="n", automatic='{"fqdn": "x"}'))
        await store.barrier()
        await store.write(operations.PutNode(node=NODE, keep_push_jobs=True))
        [again] = await store.ask(chef_nodes.of_nodes, "acme", ["n"])
        assert "fqdn" not in again.automatic
        assert not store.refused

    database.run(scenario)


@pytest.mark.parametrize("statement", ["{", "[" * 50_000])
def test_an_editors_statement_that_cannot_be_read_is_left_out(
    database: Database, statement: str
) -> None:
    with_node(database)

    async def write(store: Store) -> None:
        for key, text_ in (("k", '{"good": 1}'), ("l", statement)):
            await store.write(
                operations.SaveEditor(
                    org="acme", key=key, version=1, statement=text_, latest=LATEST
                )
            )

    async def scenario(store: Store) -> None:
        assert await store.ask(editor_chain.old, "acme") == [{"good": 1}]

    database.run(write)
    database.run(scenario)


def loaded(database: Database) -> tuple[list[str], list[str], list[str]]:
    """Nodes and jobs that a server would begin with; and its complaints."""
    complaints: list[str] = []

    class Listen(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            complaints.append(record.getMessage())

    async def scenario(store: Store) -> Any:
        found = await persistence.load(store, Grace(), 100.0)
        await persistence.load_feeds(store)
        await store.barrier()
        nodes = [known.key.name for each in found for known in each.nodes]
        return nodes, [live.id for each in found for live in each.jobs]

    listen = Listen(logging.ERROR)
    logging.getLogger("pushcli_server").addHandler(listen)
    try:
        nodes, jobs = database.run(scenario)
    finally:
        logging.getLogger("pushcli_server").removeHandler(listen)
    return nodes, jobs, complaints


def with_two_jobs(database: Database) -> None:
    async def make(store: Store) -> None:
        await with_job(store, "a", "b")
        store.submit(operations.InsertJob(job(OTHER), [("a", "new")]))
        await store.write(client("a"), client("b"))
        for name in ("a", "b"):
            store.submit(operations.SaveNode(records.NodeRecord(org="acme", name=name)))
        store.submit(
            operations.AppendEvent(JOB, 1, 1, b"x"), operations.AppendEvent(JOB, 2, 2, b"y")
        )
        store.submit(operations.AppendEvent(OTHER, 1, 1, b"x"))

    database.run(make)


BAD_JOBS = [
    "UPDATE job_nodes SET state = 'dancing' WHERE node = 'b'",
    f"UPDATE jobs SET env = '{{' WHERE id = '{JOB}'",
    f"UPDATE jobs SET env = '[[[[' WHERE id = '{JOB}'",
    f"UPDATE jobs SET created_at = 1e300 WHERE id = '{JOB}'",
    f"UPDATE jobs SET created_at = -1 WHERE id = '{JOB}'",
    f"INSERT INTO blobs (digest, size) VALUES ('{'0' * 64}', 9999)",
]


@pytest.mark.parametrize("number", range(len(BAD_JOBS)))
def test_a_live_job_that_cannot_be_read_is_ended_and_costs_no_other(
    database: Database, number: int
) -> None:
    with_two_jobs(database)
    execute(database, BAD_JOBS[number])
    if "blobs" in BAD_JOBS[number]:
        execute(database, f"UPDATE jobs SET file_digest = '{'0' * 64}' WHERE id = '{JOB}'")
    nodes, jobs, complaints = loaded(database)
    assert (nodes, jobs) == (["a", "b"], [OTHER])
    assert any("ended as aborted" in complaint for complaint in complaints)
    assert loaded(database) == (["a", "b"], [OTHER], []), "only once"


def test_a_running_job_whose_file_is_gone_goes_on(database: Database) -> None:
    with_two_jobs(database)
    execute(
        database,
        BAD_JOBS[-1],
        f"UPDATE jobs SET file_digest = '{'0' * 64}', status = 'running' WHERE id = '{JOB}'",
    )
    assert loaded(database) == (["a", "b"], [JOB, OTHER], [])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE nodes SET configured_at = 1e300 WHERE name = 'b'",
        "UPDATE nodes SET configured_at = -5 WHERE name = 'b'",
    ],
)
def test_a_node_that_cannot_be_read_is_left_out(database: Database, statement: str) -> None:
    with_two_jobs(database)
    execute(database, statement)
    nodes, jobs, complaints = loaded(database)
    assert (nodes, jobs) == (["a"], [JOB, OTHER])
    assert any("NodeRecord" in complaint for complaint in complaints)


@pytest.mark.parametrize(
    "statement",
    [
        f"DELETE FROM feed_events WHERE feed = '{JOB}' AND number = 1",
        f"UPDATE feed_events SET number = 7 WHERE feed = '{JOB}' AND number = 2",
        f"UPDATE feed_events SET microseconds = -1 WHERE feed = '{JOB}' AND number = 2",
    ],
)
def test_a_feed_goes_on_whatever_was_left_of_it(database: Database, statement: str) -> None:
    with_two_jobs(database)
    execute(database, statement)

    async def scenario(store: Store) -> None:
        feeds = await persistence.load_feeds(store)
        assert OTHER in feeds
        number = feeds[JOB][-1].number + 1 if JOB in feeds else 1
        store.submit(operations.AppendEvent(JOB, number, 9, b"next"))
        await store.barrier()
        assert not store.refused

    database.run(scenario)


@ON_SQLITE
@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("jobs", "voting_deadline", "'soon'"), ("jobs", "run_timeout", "'x'"),
        ("jobs", "command", "x'00ff'"), ("jobs", "quorum", "1.5"), ("jobs", "capture", "'maybe'"),
        ("job_nodes", "exit_code", "'x'"), ("job_nodes", "state", "x'ff'"),
        ("nodes", "extensions", "x'ff'"), ("nodes", "incarnation", "CAST(x'ff' AS TEXT)"),
        ("feed_events", "data", "'text'"), ("feed_events", "microseconds", "'x'"),
    ],
)  # fmt: skip
def test_sqlite_keeps_anything_in_any_column(
    database: Database, table: str, column: str, value: str
) -> None:
    with_two_jobs(database)
    with sqlite3.connect(database.url.removeprefix("sqlite:///")) as connection:
        key = {"jobs": "id", "job_nodes": "job_id", "feed_events": "feed"}.get(table)
        where = "name = 'b'" if key is None else f"{key} = '{JOB}'"
        connection.execute(f"UPDATE {table} SET {column} = {value} WHERE {where}")
    nodes, jobs, _ = loaded(database)
    assert "a" in nodes
    assert OTHER in jobs

    async def scenario(store: Store) -> None:
        assert OTHER in [found.id for found in (await store.ask(reads.jobs, "acme"))[0]]

    database.run(scenario)


def test_a_blob_whose_bytes_are_gone_is_missing_and_not_a_database_that_is_away(
    database: Database,
) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        store.submit(
            operations.StoreOutput(job_id=JOB, node="a", stdout=b"x" * 20_000, stderr=None)
        )
        await store.barrier()
        empty(store.root)
        execute(database, "DELETE FROM blob_pieces")
        with pytest.raises(DamagedContent):
            await kept_output(store, "acme", JOB, "a", "stdout")
        assert await store.ask(reads.jobs, "acme")

    database.run(scenario)


def empty(root: Path) -> None:
    for path in root.glob("??/*"):
        path.unlink()


def test_one_job_that_cannot_be_read_is_told_apart(database: Database) -> None:
    with_two_jobs(database)
    execute(database, BAD_JOBS[3])

    async def scenario(store: Store) -> None:
        assert [found.id for found in (await store.ask(reads.jobs, "acme"))[0]] == [OTHER]
        with pytest.raises(Unreadable):
            await store.ask(reads.job, "acme", JOB)

    database.run(scenario)
