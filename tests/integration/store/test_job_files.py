"""The files that jobs bring to their nodes: kept once, read only by who asks for them."""

import msgspec
import pytest
from sqlalchemy import text

from pushcli_server.store import Store, StoreUnavailable, operations, reads
from pushcli_server.store.database import make_engine
from pushcli_server.store.errors import Unreadable
from tests.integration.store.conftest import Database
from tests.integration.store.writing import JOB, ORGS, job, kept_output

pytestmark = pytest.mark.timeout(60)
SMALL = "raw:echo \u2603\r\n"
LARGE = "base64:" + "QUJD\n" * 20_000


def insert(store: Store, file: str | None, job_id: str = JOB) -> None:
    store.submit(operations.InsertJob(job(job_id), [("a", "new")], file))


@pytest.mark.parametrize("file", ["raw:", SMALL, "raw:" + "x" * 8188, "raw:" + "x" * 8189, LARGE])
def test_a_file_comes_back_as_it_was_sent(database: Database, file: str) -> None:
    async def first(store: Store) -> None:
        await store.write(*ORGS)
        insert(store, file)
        assert await store.ask(reads.job_file, store.root, "acme", JOB) == file
        assert await store.ask(reads.job_file, store.root, "other", JOB) is None
        stored = await store.ask(reads.job, "acme", JOB)
        assert stored is not None
        assert stored.file_digest is not None

    async def after_a_restart(store: Store) -> None:
        [(org, job_id)] = await store.ask(reads.live_jobs)
        live = await store.ask(reads.live_job, store.root, org, job_id)
        assert live is not None
        assert live.file == file

    database.run(first)
    database.run(after_a_restart)
    assert database.large() == (1 if len(file.encode()) > 8192 else 0)


def test_what_a_command_reads_is_kept_beside_the_file(database: Database) -> None:
    async def first(store: Store) -> None:
        await store.write(*ORGS)
        store.submit(operations.InsertJob(job(JOB), [("a", "new")], SMALL, LARGE))

    async def after_a_restart(store: Store) -> None:
        live = await store.ask(reads.live_job, store.root, "acme", JOB)
        assert live is not None
        assert (live.file, live.stdin) == (SMALL, LARGE)

    database.run(first)
    database.run(after_a_restart)


def test_a_job_that_votes_is_not_gone_on_with_without_its_secrets(database: Database) -> None:
    votes, runs = job("1" * 32, secret_names='["A"]'), job("2" * 32, secret_names='["A"]')

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        for each in (votes, msgspec.structs.replace(runs, status="running")):
            store.submit(operations.InsertJob(each, [("a", "new")]))
        with pytest.raises(Unreadable, match="in memory alone"):
            await store.ask(reads.live_job, store.root, "acme", votes.id)
        live = await store.ask(reads.live_job, store.root, "acme", runs.id)
        assert live is not None
        assert live.job.secret_names == '["A"]'

    database.run(scenario)


def test_a_job_without_a_file_has_none(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        insert(store, None)
        assert await store.ask(reads.job_file, store.root, "acme", JOB) is None
        stored = await store.ask(reads.job, "acme", JOB)
        assert stored is not None
        assert stored.file_digest is None

    database.run(scenario)


def test_jobs_of_one_group_keep_each_its_own_and_equal_ones_are_kept_once(
    database: Database,
) -> None:
    files = {"1" * 32: LARGE, "2" * 32: None, "3" * 32: SMALL, "4" * 32: LARGE, "5" * 32: SMALL}

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        for job_id, file in files.items():
            insert(store, file, job_id)
        # What a command wrote may be the same bytes.
        store.submit(
            operations.StoreOutput(job_id=JOB, node="a", stdout=LARGE.encode(), stderr=None)
        )
        for job_id, file in files.items():
            assert await store.ask(reads.job_file, store.root, "acme", job_id) == file
        output = await kept_output(store, "acme", JOB, "a", "stdout")
        assert output == LARGE.encode()

    database.run(scenario)
    assert database.large() == 1


def test_a_file_is_written_with_a_job_that_is_waited_for_too(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, operations.InsertJob(job(), [], LARGE))
        assert await store.ask(reads.job_file, store.root, "acme", JOB) == LARGE

    database.run(scenario)


def test_who_lists_jobs_reads_none_of_their_files(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        insert(store, LARGE)
        insert(store, SMALL, "2" * 32)
        await store.barrier()
        # With nothing left to read from, a question that reads no contents is still answered.
        engine = make_engine(database.url)
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE blobs RENAME TO away"))
        engine.dispose()
        listed, _ = await store.ask(reads.jobs, "acme")
        assert [found.file_digest is None for found in listed] == [False, False]
        assert await store.ask(reads.job, "acme", JOB) in listed
        with pytest.raises(StoreUnavailable):
            await store.ask(reads.job_file, store.root, "acme", JOB)

    database.run(scenario)
