"""A database that is away, locked or refuses: told at once, got over, nothing half done."""

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from pushcli_server.store import (
    CannotApply,
    CannotStore,
    Store,
    StoreUnavailable,
    identity_reads,
    operations,
    reads,
)
from pushcli_server.store.errors import Missing
from tests.integration.store.conftest import ON_POSTGRESQL, ON_SQLITE, Database
from tests.integration.store.writing import JOB, changed, kept_output, until_healthy, with_job
from tests.support.postgresql import away

pytestmark = pytest.mark.timeout(60)
GROUP = operations.CreateGroup("acme", "g")


@contextmanager
def administrator(database: Database) -> Iterator[tuple["psycopg.Connection[Any]", str]]:
    """A connection beside the database, and the database's name."""
    server, _, name = database.url.rpartition("/")
    connection = psycopg.connect(f"{server}/postgres", autocommit=True)
    with connection:
        yield connection, name


def cut(other: "psycopg.Connection[Any]", name: str, waiting: bool = False) -> int:
    """End the connections to a database, or only those that wait for a lock; how many."""
    condition = "AND wait_event_type = 'Lock'" if waiting else ""
    query = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        f"WHERE datname = %s AND pid <> pg_backend_pid() {condition}"
    )
    return len(other.execute(query, [name]).fetchall())


@ON_POSTGRESQL
def test_a_lost_connection_is_told_and_got_over(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        await store.barrier()
        with away(database.url):
            store.submit(changed("a", "ready"))
            await until_healthy(store, False)
            with pytest.raises(StoreUnavailable):
                await store.barrier()
            with pytest.raises(StoreUnavailable):
                await store.ask(reads.job_nodes, "acme", JOB)
            with pytest.raises(StoreUnavailable):
                await store.write(GROUP)
        await until_healthy(store)
        assert (await store.ask(reads.job_nodes, "acme", JOB))[0].state == "ready"

    database.run(scenario)


@ON_POSTGRESQL
def test_a_connection_lost_when_idle_is_not_even_noticed(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        assert await store.ask(reads.job_nodes, "acme", JOB)
        with administrator(database) as (other, name):
            assert cut(other, name) > 0
        store.submit(changed("a", "ready"))
        assert (await store.ask(reads.job_nodes, "acme", JOB))[0].state == "ready"
        await store.write(GROUP)
        assert not store.refused

    database.run(scenario)


@ON_POSTGRESQL
@pytest.mark.parametrize("written", [False, True], ids=["submitted", "written"])
def test_a_connection_lost_in_the_middle_of_a_group_loses_and_doubles_nothing(
    database: Database, written: bool
) -> None:
    content = b"x" * 20_000

    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        path = store.incoming("a.stdout")
        store.submit(operations.AppendOutput(path, 0, content[:8000]))
        await store.barrier()
        released = len(database.released)
        finish = operations.StoreOutput(job_id=JOB, node="a", stdout=path, stderr=None)
        with administrator(database) as (other, name), psycopg.connect(database.url) as lock:
            lock.execute("SELECT * FROM job_nodes FOR UPDATE")
            store.submit(
                operations.AppendOutput(path, 8000, content[8000:]),
                operations.AppendEvent("feed", 1, 1, b"once"),
            )
            if written:
                answer = asyncio.ensure_future(store.write(GROUP, finish))
            else:
                store.submit(finish)
            while not cut(other, name, waiting=True):
                await asyncio.sleep(0.01)
            await until_healthy(store, False)
            if written:
                with pytest.raises(StoreUnavailable):
                    await answer
            lock.rollback()
        await until_healthy(store)
        # What somebody waited for was refused, and so is not done later either.
        done = None if written else content
        assert await kept_output(store, "acme", JOB, "a", "stdout") == done
        assert await store.ask(identity_reads.group_exists, "acme", "g") is False
        assert await store.ask(reads.feed_events) == [("feed", 1, 1, b"once")]
        assert len(database.released) > released
        assert not store.refused

    database.run(scenario)


@ON_SQLITE
def test_sqlites_other_writers_are_waited_for(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        await store.barrier()
        other = sqlite3.connect(database.url.removeprefix("sqlite:///"), isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            # It reads before it writes: begun as a reader it would be refused.
            answer = asyncio.ensure_future(
                store.write(operations.AddMember("acme", "g", "user", "ann"))
            )
            other.execute("INSERT INTO groups VALUES ('acme', 'g')")
            while not answer.done():
                done, _ = await asyncio.wait([answer], timeout=0.3)
                if not done and other.in_transaction:
                    other.execute("COMMIT")
            await answer
        finally:
            other.close()
        assert await store.ask(identity_reads.is_member, "acme", "user", "ann", "g")
        assert store.healthy

    database.run(scenario)


@ON_POSTGRESQL
def test_what_is_queued_when_the_database_stays_away_is_named_at_the_end(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        await store.barrier()
        with away(database.url):
            store.submit(changed("a", "ready"))
            await until_healthy(store, False)
            await store.close()

    with caplog.at_level(logging.ERROR, logger="pushcli_server.store"):
        database.run(scenario)
    assert "1 changes were not written" in caplog.text


def test_a_write_that_the_database_refuses_harms_nobody_else(database: Database) -> None:
    endless = operations.CreateGroup("acme", "g" * 300)
    nobodys = operations.AddKey(
        kind="client", org="acme", name="nobody", key_name="k", public_key="K"
    )

    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        answers = [
            asyncio.ensure_future(store.write(operation))
            for operation in (endless, nobodys, GROUP, operations.CreateGroup("missing", "g"))
        ]
        store.submit(changed("a", "ready"))
        results = await asyncio.gather(*answers, return_exceptions=True)
        if database.url.startswith("postgresql"):
            assert "too long" in str(results[0])
            assert isinstance(results[0], CannotStore)
        assert [type(result) for result in results[1:]] == [Missing, type(None), CannotApply]
        assert (await store.ask(reads.job_nodes, "acme", JOB))[0].state == "ready"
        assert not store.refused

    database.run(scenario)
