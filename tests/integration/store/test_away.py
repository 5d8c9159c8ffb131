"""A database that is away for a while: who waits is told the truth, the rest keeps its order."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from urllib.parse import urlsplit

import pytest

from pushcli import keys
from pushcli_server import persistence
from pushcli_server.identities import OwnIdentities
from pushcli_server.rest.auth import Access, Authenticator
from pushcli_server.rest.rights import Rights
from pushcli_server.store import (
    Store,
    StoreUnavailable,
    identity_reads,
    operations,
    reads,
)
from pushcli_server.store import store as store_module
from pushcli_server.store.errors import OutcomeUnknown, ResultUnknown
from tests.integration.store.conftest import ON_POSTGRESQL, ON_SQLITE, Database
from tests.integration.store.writing import (
    JOB,
    ORGS,
    changed,
    job,
    kept_output,
    until_healthy,
    with_job,
)
from tests.support.tcp_way import TcpWay, tcp_way
from tests.support.waiting import patient

pytestmark = pytest.mark.timeout(60)
GROUP = operations.CreateGroup("acme", "g")


@contextmanager
def behind_a_way(database: Database) -> Iterator[tuple[TcpWay, Database]]:
    parts = urlsplit(database.url)
    with tcp_way(parts.hostname or "", parts.port or 5432) as way:
        url = parts._replace(netloc=f"{parts.username}@127.0.0.1:{way.port}").geturl()
        yield way, Database(url, database.root)


async def until_done(store: Store) -> None:
    """Wait until all that was submitted is written, whatever happens meanwhile."""
    while store.committed < store.ticket:
        await asyncio.sleep(0.01)
    await until_healthy(store)


def committing(data: bytes) -> bool:
    """Whether a client of PostgreSQL ends its transaction."""
    # Not one that begins as `READ COMMITTED`.
    return b"COMMIT\0" in data


@ON_POSTGRESQL
def test_a_network_that_is_away_for_a_while_loses_nothing_and_doubles_nothing(
    database: Database,
) -> None:
    with behind_a_way(database) as (way, behind):

        async def scenario(store: Store) -> None:
            await with_job(store, "a", "b")
            await store.barrier()
            await asyncio.to_thread(way.close)
            store.submit(changed("a", "ready"), operations.AppendEvent("feed", 1, 1, b"first"))
            await until_healthy(store, False)
            store.submit(changed("a", "running"), operations.AppendEvent("feed", 2, 2, b"second"))
            for refused in (store.write(GROUP), store.barrier(), store.ask(reads.jobs, "acme")):
                with pytest.raises(StoreUnavailable, match="cannot be reached"):
                    await refused
            await asyncio.to_thread(way.open)
            await until_healthy(store)
            assert [n for _, n, _, _ in await store.ask(reads.feed_events)] == [1, 2]
            assert (await store.ask(reads.job_nodes, "acme", JOB))[0].state == "running"
            assert not await store.ask(identity_reads.group_exists, "acme", "g")

        behind.run(scenario)


@ON_POSTGRESQL
@pytest.mark.parametrize("waited_for", [True, False])
def test_a_commit_whose_confirmation_is_lost_was_a_commit(
    database: Database, waited_for: bool
) -> None:
    with behind_a_way(database) as (way, behind):

        async def scenario(store: Store) -> None:
            await with_job(store, "a")
            await store.barrier()
            way.break_after = committing
            event = operations.AppendEvent("feed", 1, 1, b"once")
            if waited_for:
                await store.write(GROUP, event)
            else:
                store.submit(event)
            store.submit(operations.AppendEvent("feed", 2, 2, b"then"))
            await asyncio.to_thread(way.broken.wait)
            await until_done(store)
            assert [n for _, n, _, _ in await store.ask(reads.feed_events)] == [1, 2]
            assert not store.refused, "nothing was tried twice"

        behind.run(scenario)


@ON_POSTGRESQL
@pytest.mark.parametrize("which", [1, 2, 3])
def test_output_comes_into_the_database_whichever_confirmation_is_lost(
    database: Database, which: int
) -> None:
    """That of the content, that of its pieces, or that of the result; its file goes then."""
    content, commits = b"x" * 20_000, count(1)
    with behind_a_way(database) as (way, behind):

        async def scenario(store: Store) -> None:
            await with_job(store, "a")
            await store.barrier()
            way.break_after = lambda data: committing(data) and next(commits) == which
            output = operations.StoreOutput(job_id=JOB, node="a", stdout=content, stderr=b"")
            store.submit(changed("a", "succeeded"), output)
            store.submit(persistence.ended(JOB, 1.0))
            await asyncio.to_thread(way.broken.wait)
            await until_done(store)
            assert list(store.root.glob("??/*")) == []
            assert await kept_output(store, "acme", JOB, "a", "stdout") == content
            assert not store.refused, "nothing was tried twice"

        behind.run(scenario)


@ON_POSTGRESQL
def test_a_database_that_says_nothing_is_not_waited_for_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "PATIENCE", 0.5)

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        async with held(database):
            with pytest.raises(OutcomeUnknown, match="does not answer"):
                await store.write(GROUP)
            with pytest.raises(StoreUnavailable, match="does not answer"):
                await store.ask(reads.jobs, "acme")
        while not await store.ask(identity_reads.group_exists, "acme", "g"):
            await asyncio.sleep(0.05)

    database.run(scenario)


class held:  # noqa: N801 - a context
    """Another session holds what the writer needs."""

    def __init__(self, database: Database) -> None:
        import psycopg  # noqa: PLC0415

        self._connection = psycopg.connect(database.url)

    async def __aenter__(self) -> None:
        self._connection.execute("LOCK TABLE groups IN ACCESS EXCLUSIVE MODE")

    async def __aexit__(self, *_: object) -> None:
        self._connection.close()


@ON_SQLITE
def test_a_database_that_is_locked_for_longer_than_we_wait(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushcli_server.store.database._BUSY", 0.3)

    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        await store.barrier()
        other = sqlite3.connect(database.url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        writing = asyncio.ensure_future(store.write(GROUP))
        store.submit(changed("a", "ready"))
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            await writing
        assert not store.healthy
        # What is committed can be read, unless the question comes after a change that is not.
        with pytest.raises(StoreUnavailable, match="locked by another process"):
            await store.ask(reads.jobs, "acme")
        other.execute("ROLLBACK")
        other.close()
        await until_healthy(store)
        assert (await store.ask(reads.job_nodes, "acme", JOB))[0].state == "ready"
        assert not await store.ask(identity_reads.group_exists, "acme", "g"), "it was refused"

    database.run(scenario)


@ON_SQLITE
def test_the_file_of_a_job_that_was_taken_back_goes(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushcli_server.store.database._BUSY", 0.3)

    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        await store.barrier()
        other = sqlite3.connect(database.url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreUnavailable):
            await store.write(operations.InsertJob(job("2" * 32), [], "f" * 20_000))
        other.execute("ROLLBACK")
        other.close()
        await until_healthy(store)
        assert [path for path in store.root.rglob("*") if path.is_file()] == []

    database.run(scenario)


def test_a_job_that_nobody_was_promised_is_taken_back(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        answer = store.begin(operations.InsertJob(job(), [("a", "new")]))
        await store.answered(answer)
        assert await store.ask(reads.job, "acme", JOB)

    database.run(scenario)


def test_too_much_that_waits_is_refused(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MOST_BYTES", 1000)

    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        await store.barrier()
        # All in one turn of the loop: the writer cannot tell of anything meanwhile.
        for number in range(3):
            store.submit(operations.AppendEvent("feed", number, number, b"x" * 400))
        assert store.is_full
        with pytest.raises(StoreUnavailable, match="too much"):
            await store.write(GROUP)
        await store.barrier()
        await asyncio.sleep(0)
        assert not store.is_full
        await store.write(GROUP)

    database.run(scenario)


@ON_POSTGRESQL
def test_what_was_written_is_not_said_to_have_failed(database: Database) -> None:
    with behind_a_way(database) as (way, behind):

        async def scenario(store: Store) -> None:
            await store.write(*ORGS)
            await asyncio.to_thread(way.close)
            with pytest.raises(ResultUnknown):
                await store.ask(reads.jobs, "acme")
            # Nor is it when only a part of it was: whoever repeats it is to look first.
            with pytest.raises(OutcomeUnknown):
                await store.write(GROUP)
            await asyncio.to_thread(way.open)

        behind.run(scenario)


@ON_POSTGRESQL
def test_whoever_reads_a_feed_goes_on_while_nobody_can_be_asked(database: Database) -> None:
    pair = keys.generate().public_key()
    with behind_a_way(database) as (way, behind):

        async def scenario(store: Store) -> None:
            ann = operations.CreateUser(name="ann", public_key=keys.public_pem(pair))
            await store.write(*ORGS, ann, operations.AssociateUser("acme", "ann"))
            identities = OwnIdentities(store)
            who = Authenticator(identities, Rights(identities, store))
            [found] = await store.ask(identity_reads.principals, "acme", "ann")

            async def still_allowed() -> bool:
                return await who.still_allowed("acme", found, pair, Access.MEMBER, {}, "/")

            assert await still_allowed()
            await asyncio.to_thread(way.close)
            assert await still_allowed()
            # The question that nobody answered made the writer look, too: what is written before
            # it has looked again would be refused.
            await until_healthy(store, False)
            await asyncio.to_thread(way.open)
            await until_healthy(store)
            await store.write(operations.DeleteUser("ann"))
            async with asyncio.timeout(patient(5)):
                while await still_allowed():
                    await asyncio.sleep(0.02)

        behind.run(scenario)
