"""Old output goes, and never what somebody else still needs."""

import asyncio
import hashlib
import logging
import math
import sqlite3
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Connection, select, text

from pushcli_server import prune, retention
from pushcli_server.clock import Clock
from pushcli_server.core.fleet_state import Fleet
from pushcli_server.core.identity import JobKey
from pushcli_server.core.retention import Rules
from pushcli_server.engine import Engine
from pushcli_server.identities import OwnIdentities
from pushcli_server.jobs import JobService
from pushcli_server.output_feeds import OutputFeeds
from pushcli_server.retention import Kept, Retention
from pushcli_server.runtime import rules_of
from pushcli_server.settings import Settings
from pushcli_server.store import (
    Store,
    blob_pieces,
    operations,
    output_reads,
    reads,
    retention_reads,
    schema,
)
from pushcli_server.store import retention as pieces
from pushcli_server.store.errors import CannotApply
from pushcli_server.store.records import AuditRecord, JobRecord
from tests.integration.store.conftest import ON_SQLITE, Database
from tests.integration.store.writing import (
    ORGS,
    changed,
    job,
    kept_output,
    kept_output_of,
    until_healthy,
)

pytestmark = pytest.mark.timeout(60)
LARGE = b"x" * 20_000
SMALL = b"small"
NOW = 1_800_000_000.0
DAY = 86_400.0


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def job_id(number: int) -> str:
    return f"{number:032x}"


def submit(store: Store, number: int, outputs: dict[str, bytes], **more: Any) -> None:
    """A job of one second before its number in days, and what its nodes wrote."""
    fields = {"status": "complete", "capture": True, "updated_at": NOW - number * DAY, **more}
    file = fields.pop("file", None)
    store.submit(
        operations.InsertJob(
            job(job_id(number), **fields), [(node, "succeeded") for node in outputs], file
        )
    )
    for node, stdout in outputs.items():
        store.submit(
            operations.StoreOutput(job_id=job_id(number), node=node, stdout=stdout, stderr=b"")
        )


def kept(age: float = math.inf, size: int = 2**50, **more: Any) -> Kept:
    others = {"jobs": Rules(math.inf, 10**9), "audit": math.inf, **more}
    return Kept(output=Rules(age, size), **others)


async def delete(store: Store, age: float = math.inf, size: int = 2**50, **more: Any) -> None:
    clock = Clock(date=lambda: NOW)
    await Retention(store, clock, kept(age, size, **more), trusted=True).delete()


async def record(store: Store, number: int) -> JobRecord:
    found = await store.ask(reads.job, "acme", job_id(number))
    assert found is not None
    return found


async def output(store: Store, number: int, node: str = "a") -> bytes | None:
    return await kept_output(store, "acme", job_id(number), node, "stdout")


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


def stored(connection: Connection) -> set[str]:
    return set(connection.scalars(select(schema.blobs.c.digest)))


def test_old_output_goes_and_the_job_says_so(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        submit(store, 31, {"a": LARGE, "b": SMALL})
        submit(store, 29, {"a": LARGE + b"other"})
        await delete(store, age=30 * DAY)
        old, young = await record(store, 31), await record(store, 29)
        assert (old.output_deleted_at, old.output_deleted_by) == (NOW, "output_retention")
        assert (young.output_deleted_at, young.output_deleted_by) == (None, None)
        assert (old.output_held, young.output_held) == (False, True)
        assert await output(store, 31) is None
        assert await output(store, 29) == LARGE + b"other"
        parts = await store.ask(reads.job_nodes, "acme", job_id(31))
        assert [(part.stdout_size, part.stdout_digest) for part in parts] == [
            (20_000, None), (5, None),
        ]  # fmt: skip
        assert await store.ask(retention_reads.output_of_jobs, [job_id(31)]) == {job_id(31): 0}
        # Of nothing there is nothing to delete.
        assert [part.stderr_digest for part in parts] == [schema.EMPTY] * 2
        assert await store.ask(output_reads.output_sizes, "acme", job_id(31)) == [
            ("a", None, 0), ("b", None, 0),
        ]  # fmt: skip
        assert await kept_output_of(store, "acme", job_id(31), digest(LARGE)) is None
        assert await store.ask(stored) == {schema.EMPTY, digest(LARGE + b"other")}

    database.run(scenario)
    assert database.large() == 1


@pytest.mark.parametrize("content", [LARGE, SMALL])
@pytest.mark.parametrize("holder", ["stdout", "stderr", "file", "stdin", "its own file"])
def test_what_somebody_else_refers_to_stays(
    database: Database, content: bytes, holder: str
) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        submit(store, 40, {"a": content}, file=content.decode() if "own" in holder else None)
        if holder in {"stdout", "stderr"}:
            submit(store, 1, {"n": b""}, org="other")
            both: dict[str, Any] = {"stdout": None, "stderr": None, holder: content}
            store.submit(operations.StoreOutput(job_id=job_id(1), node="n", **both))
        elif "own" not in holder:
            brings = {holder: content.decode()}
            store.submit(
                operations.InsertJob(job(job_id(1), org="other"), [("n", "new")], **brings)
            )
        await delete(store, age=30 * DAY)
        assert await output(store, 40) is None
        assert digest(content) in await store.ask(stored)
        match holder:
            case "stdout" | "stderr":
                where = ("other", job_id(1), "n", holder)
                assert await kept_output(store, *where) == content
            case "file":
                found = await store.ask(reads.job_file, store.root, "other", job_id(1))
                assert found == content.decode()
            case "stdin":
                found = await store.ask(reads.job_stdin, store.root, "other", job_id(1))
                assert found == content.decode()
            case _:
                found = await store.ask(reads.job_file, store.root, "acme", job_id(40))
                assert found == content.decode()

    database.run(scenario)


@pytest.mark.parametrize("status", reads.LIVE)
def test_a_job_that_is_not_over_is_not_touched(database: Database, status: str) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        submit(store, 40, {"a": LARGE}, status=status)
        await delete(store, age=30 * DAY, size=0)
        # Nor if somebody asks for it in so many words.
        await store.write(
            operations.DeleteOutput(jobs=[job_id(40)], at=NOW, because="output_retention")
        )
        assert await output(store, 40) == LARGE
        assert (await record(store, 40)).output_deleted_at is None

    database.run(scenario)


def test_the_oldest_goes_until_the_rest_is_little_enough(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        for number in (3, 1, 4, 2):
            submit(store, number, {"a": bytes([number]) * 10_000, "b": b"%d" % number * 100})
        # Twice the same is there once, and what jobs bring does not count.
        submit(store, 5, {"a": b"\4" * 10_000}, file="f" * 50_000)
        assert await store.ask(retention_reads.stored_output) == 4 * 10_100
        await delete(store, size=25_000)
        assert [(await record(store, number)).output_deleted_by for number in (5, 4, 3, 2, 1)] == [
            *["max_stored_output_bytes"] * 3, None, None,
        ]  # fmt: skip
        assert await store.ask(retention_reads.stored_output) == 20_200
        await delete(store, size=0)
        assert await output(store, 2) is None
        assert await output(store, 1) == b"\1" * 10_000, "the newest stays"

    database.run(scenario)
    assert database.large() == 2


def test_much_goes_in_pieces_that_others_come_between(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pieces, "PIECE", 10)
    names = [f"n{number:03d}" for number in range(35)]

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        for number in (40, 41, 42):
            submit(store, number, {name: b"%s %d" % (name.encode(), number) for name in names})
        await store.barrier()
        written, before = [], store.write

        async def write(*changes: operations.Operation) -> None:
            written.append(changes)
            await before(*changes)

        monkeypatch.setattr(store, "write", write)
        with caplog.at_level(logging.INFO, "pushcli_server.retention"):
            await delete(store, age=30 * DAY)
        assert len(written) == 11
        assert await store.ask(stored) == {schema.EMPTY}
        for number in (40, 41, 42):
            assert not (await record(store, number)).output_held
        assert caplog.messages == ["deleted: output of jobs (output_retention), 3"]

    database.run(scenario)


def test_what_comes_late_after_all_goes_as_well(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        submit(store, 40, {"a": LARGE, "b": SMALL})
        await delete(store, age=30 * DAY)
        submitted = operations.StoreOutput(job_id=job_id(40), node="b", stdout=LARGE, stderr=b"")
        store.submit(submitted)
        assert (await record(store, 40)).output_held
        assert await output(store, 40, "b") == LARGE
        await store.write(
            operations.DeleteOutput(jobs=[job_id(40)], at=NOW + DAY, because="job_retention")
        )
        assert await output(store, 40, "b") is None
        found = await record(store, 40)
        assert not found.output_held
        # What is told is when there was no more to be seen of it first, and why.
        assert (found.output_deleted_at, found.output_deleted_by) == (NOW, "output_retention")

    database.run(scenario)
    assert database.large() == 0


def test_what_is_stored_again_just_then_is_there(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        submit(store, 40, {"a": LARGE})
        submit(store, 1, {"a": b"", "b": b""})
        await store.barrier()
        gone = operations.DeleteOutput(jobs=[job_id(40)], at=NOW, because="output_retention")
        # Committed together, in either order.
        store.submit(operations.StoreOutput(job_id=job_id(1), node="a", stdout=LARGE, stderr=None))
        deleted = store.begin(gone, apart=True)
        store.submit(operations.StoreOutput(job_id=job_id(1), node="b", stdout=LARGE, stderr=None))
        await store.answered(deleted)
        for node in ("a", "b"):
            assert await output(store, 1, node) == LARGE
        assert await output(store, 40) is None

    database.run(scenario)


def test_a_clock_that_was_set_ahead_deletes_nothing(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        submit(store, 1, {"a": LARGE})
        dates = [NOW]
        clock = Clock(steady=lambda: 5.0, date=lambda: dates[0])
        dates[0] += 1000 * DAY
        await Retention(store, clock, kept(30 * DAY), trusted=True).delete()
        assert await output(store, 1) == LARGE

    database.run(scenario)


def test_a_server_that_starts_with_its_clock_far_ahead_deletes_nothing_for_its_age(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    ahead = NOW + 700 * DAY

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        line = AuditRecord(at=NOW, org="acme", actor="ann", action="x", target="t", origin="")
        store.submit(operations.Audit(line))
        for number in (1, 2):
            submit(store, number, {"a": LARGE + b"%d" % number})
        # What is written by the same clock proves nothing.
        submit(store, 3, {}, updated_at=ahead - 60.0)
        ran = [0.0]
        clock = Clock(steady=lambda: ran[0], date=lambda: ahead + ran[0])
        ages = kept(30 * DAY, jobs=Rules(365 * DAY, 10**9), audit=30 * DAY)
        retention = Retention(store, clock, ages)
        for ran[0] in (0.0, DAY / 2):
            await retention.delete()
            assert await jobs(store) == {1, 2, 3}
            assert await output(store, 1)
            assert await store.lists.ask(reads.audit, "acme")
        [told] = [line for line in caplog.messages if "nothing is deleted for its age" in line]
        assert "end 700 days before" in told
        # What is too much goes nevertheless.
        await Retention(store, clock, kept(30 * DAY, size=25_000)).delete()
        assert (await output(store, 1), await output(store, 2)) == (LARGE + b"1", None)
        ran[0] = DAY
        await retention.delete()
        assert await jobs(store) == {3}
        assert not await store.lists.ask(reads.audit, "acme")

    database.run(scenario)


@pytest.mark.parametrize("what", ["job", "audit"])
def test_a_server_that_was_in_use_deletes_as_soon_as_it_starts(
    database: Database, what: str
) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        submit(store, 40, {"a": LARGE})
        if what == "job":
            submit(store, 3, {})
        else:
            line = AuditRecord(
                at=NOW - 3 * DAY, org="acme", actor="ann", action="x", target="t", origin=""
            )
            store.submit(operations.Audit(line))
        await Retention(store, Clock(date=lambda: NOW), kept(30 * DAY)).delete()
        assert await output(store, 40) is None

    database.run(scenario)


def test_who_else_refers_to_a_content_is_looked_up_in_indexes(database: Database) -> None:
    """A pass over all parts of all jobs for each content would stall whoever writes."""

    def explain(connection: Connection) -> str:
        query = select(schema.blobs.c.digest).where(pieces.unreferenced(["a", "b"]))
        bound = query.compile(connection, compile_kwargs={"literal_binds": True})
        if connection.dialect.name == "sqlite":
            rows = connection.execute(text(f"EXPLAIN QUERY PLAN {bound}"))
        else:
            # An empty table it would read as a whole.
            connection.execute(text("SET LOCAL enable_seqscan = off"))
            rows = connection.execute(text(f"EXPLAIN {bound}"))
        return "\n".join(map(str, rows))

    async def scenario(store: Store) -> str:
        return await store.ask(explain)

    plan = database.run(scenario)
    for column in ("job_nodes_stdout", "job_nodes_stderr", "jobs_file", "jobs_stdin"):
        assert f"ix_{column}_digest" in plan


@pytest.mark.parametrize("asked", ["by name", "by digest", "a piece"])
def test_whoever_asks_while_it_is_deleted_gets_it_or_is_told_that_it_is_gone(
    database: Database, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the row and its file, or its pieces, nothing is held."""

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        submit(store, 40, {"a": LARGE})
        await store.barrier()
        loop = asyncio.get_running_loop()
        gone = operations.DeleteOutput(jobs=[job_id(40)], at=NOW, because="output_retention")

        is_complete = blob_pieces.is_complete

        def first(connection: Connection, wanted: str, size: int) -> bool:
            asyncio.run_coroutine_threadsafe(store.write(gone), loop).result(10)
            return is_complete(connection, wanted, size)

        monkeypatch.setattr(blob_pieces, "is_complete", first)
        key = JobKey("acme", job_id(40))
        service = JobService(cast("Engine", None), store, OwnIdentities(store))
        found: object
        match asked:
            case "by name":
                found = await service.output(key, "a", "stdout")
            case "by digest":
                found = await service.output_of(key, digest(LARGE))
            case _:
                fleet = Fleet(rules_of(Settings()))
                feeds = OutputFeeds(Clock(), fleet, store)
                found = await feeds.read(key, ("a", "stdout"), 0, 10)
        assert not found

    database.run(scenario)


@pytest.mark.parametrize("content", [LARGE, SMALL])
def test_a_result_that_comes_while_its_job_is_deleted_leaves_nothing(
    database: Database, content: bytes
) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        submit(store, 400, {"a": b""})
        submit(store, 401, {"a": b""})
        await delete(store, age=30 * DAY)
        gathered = store.incoming(f"{job_id(400)}.node.stdout")
        deleted = store.begin(operations.DeleteJobs([job_id(400)]), apart=True)
        store.submit(operations.AppendOutput(gathered, 0, content))
        store.submit(
            operations.StoreOutput(job_id=job_id(400), node="a", stdout=gathered, stderr=content),
            operations.StoreOutput(job_id=job_id(401), node="a", stdout=b"here", stderr=None),
        )
        await store.answered(deleted)
        await store.barrier()
        assert await store.ask(stored) == {schema.EMPTY, digest(b"here")}
        assert await output(store, 401) == b"here"

    database.run(scenario)
    assert database.large() == 0


@pytest.mark.parametrize("content", [LARGE, SMALL])
def test_output_that_another_one_takes_the_place_of_goes(
    database: Database, content: bytes
) -> None:
    """A node's part was over before its result came."""

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        submit(store, 1, {"a": content, "b": content + b"too", "c": content})
        for node in ("a", "b"):
            whole = operations.StoreOutput(
                job_id=job_id(1), node=node, stdout=content + b"more", stderr=None
            )
            store.submit(whole)
        assert await output(store, 1) == content + b"more"
        # Not what somebody else wrote as well.
        assert await output(store, 1, "c") == content
        assert await store.ask(stored) == {
            schema.EMPTY, digest(content), digest(content + b"more")
        }  # fmt: skip

    database.run(scenario)
    assert database.large() == (2 if content == LARGE else 0)


def test_what_a_refused_job_brought_goes(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        submit(store, 1, {"a": b""}, file="f" * 20_000)
        for content in ("f", "g"):
            again = operations.InsertJob(job(job_id(1)), [], content * 20_000)
            with pytest.raises(CannotApply):
                await store.write(again)
        assert digest(b"f" * 20_000) in await store.ask(stored)

    database.run(scenario)
    assert database.large() == 1, "the file of the job that there is"


# --- jobs, and the audit trail


async def jobs(store: Store) -> set[int]:
    found, _ = await store.ask(reads.jobs, "acme")
    return {int(record.id, 16) for record in found}


def test_old_jobs_go_with_all_that_is_theirs(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        file = "f" * 20_000
        submit(store, 400, {"a": LARGE, "b": SMALL}, file=file)
        submit(store, 401, {"a": b""}, capture=False, status="quorum_failed")
        submit(store, 402, {"a": b""}, status="running")
        brings = job(job_id(404), status="complete", updated_at=NOW - 404 * DAY)
        store.submit(operations.InsertJob(brings, [], stdin="s" * 20_000))
        submit(store, 1, {"a": SMALL})
        store.submit(operations.AppendEvent(job_id(400), 1, 1, b"event"))
        leftover = store.incoming(f"{job_id(400)}.node.stdout")
        gathered = store.incoming(f"{job_id(402)}.node.stdout")
        for path in (leftover, gathered):
            store.submit(operations.AppendOutput(path, 0, b"x"))
        submit(store, 403, {}, status="voting")
        await delete(store, jobs=Rules(365 * DAY, 10**9))
        # One that is not over stays, whoever asks.
        await store.write(operations.DeleteJobs([job_id(402), job_id(403)]))
        assert await jobs(store) == {402, 403, 1}
        assert await store.ask(reads.job_nodes, "acme", job_id(400)) == []
        assert await store.ask(reads.feed_events) == []
        assert await store.ask(stored) == {schema.EMPTY, digest(SMALL)}
        assert await output(store, 1) == SMALL
        assert files(store.root) == [gathered], "what others gather stays"

    database.run(scenario)


def test_a_job_with_an_empty_file_leaves_others_their_empty_output(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        submit(store, 400, {}, file="")
        submit(store, 1, {"a": b""})
        await delete(store, jobs=Rules(365 * DAY, 10**9))
        assert await jobs(store) == {1}
        assert await output(store, 1) == b""

    database.run(scenario)


def test_of_too_many_jobs_the_oldest_go(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        for number in range(1, 71):
            submit(store, number, {"a": b"%d" % number})
        await delete(store, jobs=Rules(math.inf, 10))
        assert await jobs(store) == set(range(1, 11))

    database.run(scenario)


def test_the_job_that_ended_last_stays_however_few_are_kept(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        for number in (1, 2, 3):
            submit(store, number, {"a": SMALL})
        await delete(store, jobs=Rules(math.inf, 0))
        assert await jobs(store) == {1}

    database.run(scenario)


def test_a_job_with_many_nodes_goes_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "ROWS", 10)

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        for number in (400, 401, 402):
            submit(store, number, {f"n{name}": b"" for name in range(15)}, capture=False)
        await store.write(operations.DeleteJobs([job_id(number) for number in (400, 401, 402)]))
        assert len(await jobs(store)) == 3, "they hold output"
        await delete(store, jobs=Rules(365 * DAY, 10**9), age=1.0)
        assert await jobs(store) == set()

    database.run(scenario)


def test_as_many_jobs_go_together_as_have_rows_for_one_piece(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "ROWS", 10)

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        for number in (400, 401, 402):
            job_with = job(job_id(number), status="complete", updated_at=NOW - number * DAY)
            parts = [(f"n{name}", "succeeded") for name in range(5)]
            store.submit(operations.InsertJob(job_with, parts))
        everything = operations.DeleteJobs([job_id(number) for number in (400, 401, 402)])
        await store.write(everything)
        assert len(await jobs(store)) == 1
        await store.write(everything)
        assert await jobs(store) == set()

    database.run(scenario)


@ON_SQLITE
def test_a_database_that_is_away_is_looked_at_again(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(retention, "INTERVAL", 0.1)

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        submit(store, 40, {"a": SMALL})
        await store.barrier()
        blocker = sqlite3.connect(database.url.removeprefix("sqlite:///"), isolation_level=None)
        blocker.execute("BEGIN EXCLUSIVE")
        store.submit(changed("a", "ready"))
        await until_healthy(store, False)
        looking = asyncio.create_task(
            Retention(store, Clock(date=lambda: NOW), kept(30 * DAY), trusted=True).run()
        )
        while not any("must wait to be deleted" in each for each in caplog.messages):
            await asyncio.sleep(0.01)
        blocker.execute("ROLLBACK")
        blocker.close()
        await until_healthy(store)
        while await output(store, 40) is not None:
            await asyncio.sleep(0.01)
        looking.cancel()

    with caplog.at_level(logging.WARNING, "pushcli_server.retention"):
        database.run(scenario)


def test_old_lines_of_the_audit_trail_go(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "ROWS", 10)

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        for number in range(25):
            line = AuditRecord(
                at=NOW - (30 - number) * DAY, org="acme", actor="ann", action="x",
                target=str(number), origin="",
            )  # fmt: skip
            store.submit(operations.Audit(line))
        await delete(store, audit=math.inf)
        assert len(await store.lists.ask(reads.audit, "acme")) == 25
        # One that is just as old as it may be stays.
        await delete(store, audit=9 * DAY)
        left = [line.target for line in await store.lists.ask(reads.audit, "acme")]
        assert left == ["21", "22", "23", "24"]

    database.run(scenario)


def test_a_clock_that_was_ahead_keeps_no_lines_of_the_audit_trail(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came after lines of the future goes in its time."""
    monkeypatch.setattr(pieces, "ROWS", 2)

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        for target, days in {"a": 900, "b": 901, "c": 902, "d": -30, "e": 800, "f": -2}.items():
            line = AuditRecord(
                at=NOW + days * DAY, org="acme", actor="ann", action="x", target=target, origin=""
            )
            store.submit(operations.Audit(line))
        await delete(store, audit=9 * DAY)
        left = {line.target for line in await store.lists.ask(reads.audit, "acme")}
        assert left == {"a", "b", "c", "e", "f"}

    database.run(scenario)


# --- what `server prune --dry-run` says


@ON_SQLITE
@pytest.mark.parametrize(
    "keep",
    [
        kept(),
        kept(30 * DAY),
        kept(size=35_000),
        kept(30 * DAY, size=25_000, jobs=Rules(60 * DAY, 10**9)),
        kept(jobs=Rules(math.inf, 3)),
        kept(80 * DAY, size=0, jobs=Rules(60 * DAY, 2), audit=50 * DAY),
        kept(size=0, jobs=Rules(math.inf, 0), audit=0.0),
    ],
)
def test_what_is_due_is_what_is_deleted(database: Database, keep: Kept) -> None:
    async def there(store: Store) -> tuple[int, int, int]:
        held = await store.ask(retention_reads.oldest_with_output, 100)
        return len(await jobs(store)), len(held), len(await store.lists.ask(reads.audit, "acme"))

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        for number in (1, 20, 40, 61, 90, 100):
            submit(store, number, {"a": b"%d" % number * 6_000, "b": b"%d" % number})
            line = AuditRecord(
                at=NOW - number * DAY, org="acme", actor="ann", action="x", target="", origin=""
            )
            store.submit(operations.Audit(line))
        submit(store, 95, {}, capture=False)
        submit(store, 400, {"a": LARGE}, status="running")
        before = await there(store)
        due = await store.ask(prune._due, keep, NOW)
        await Retention(store, Clock(date=lambda: NOW), keep, trusted=True).delete()
        after = await there(store)
        gone = tuple(one - other for one, other in zip(before, after, strict=True))
        assert gone == (due.jobs, due.outputs, due.audit)

    database.run(scenario)
