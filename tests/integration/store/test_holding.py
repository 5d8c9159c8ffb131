"""One server works with a database; what another writes that took its place before counts not."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text

from pushcli.errors import StartError
from pushcli_server.core.leases import Process
from pushcli_server.store import Store, StoreUnavailable, operations, processes, reads, schema
from pushcli_server.store.database import make_engine, writing
from tests.integration.store.conftest import ON_POSTGRESQL, ON_SQLITE, Database
from tests.integration.store.writing import ORGS, job

pytestmark = pytest.mark.timeout(60)
FIRST, SECOND = "1" * 36, "2" * 36
LEASE = 1.0
IN_THE_WAY = "another server works with this database"


@asynccontextmanager
async def holding(
    database: Database, incarnation: str, lease: float = LEASE
) -> AsyncIterator[Store]:
    """A started store that has the database."""
    store = Store.open(database.url, database.root)
    try:
        await store.acquire(incarnation, lease)
        store.start(asyncio.get_running_loop(), lambda ticket: None)
        yield store
    finally:
        await store.close()


def change(database: Database, **values: Any) -> None:
    """As if the holder's row said so."""
    engine = make_engine(database.url)
    with writing(engine).begin() as connection:
        connection.execute(schema.servers.update().values(**values))
    engine.dispose()


def row(database: Database) -> Any:
    engine = make_engine(database.url)
    with engine.connect() as connection:
        found = connection.execute(schema.servers.select()).one()
    engine.dispose()
    return found


def run(scenario: Callable[[], Any]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 30))


def test_one_that_ended_leaves_it_to_the_next_at_once(database: Database) -> None:
    async def scenario() -> None:
        for epoch in (1, 2):
            async with holding(database, FIRST, lease=600) as store:
                await store.write(*ORGS[: 1 if epoch == 1 else 0])
                assert row(database).epoch == epoch
            assert row(database).renewed_at is None

    run(scenario)


def test_while_one_lives_no_other_begins(database: Database) -> None:
    async def scenario() -> None:
        async with holding(database, FIRST, lease=600) as store:
            with pytest.raises(StartError, match=IN_THE_WAY):
                async with holding(database, SECOND):
                    pass
            await store.write(*ORGS)

    run(scenario)


def test_of_one_that_was_killed_nobody_waits_for_the_lease(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with holding(database, FIRST, lease=600):
            pass
        change(database, renewed_at=time.time(), process="as it was")
        monkeypatch.setattr(processes, "look_for", lambda process: Process.GONE)
        async with holding(database, SECOND):
            assert row(database).incarnation_id == SECOND

    run(scenario)


@ON_POSTGRESQL
@pytest.mark.parametrize("is_first", [True, False])
def test_of_those_that_begin_at_once_one_has_it(database: Database, is_first: bool) -> None:
    async def scenario() -> None:
        if not is_first:
            async with holding(database, "0" * 36):
                pass
        stores = [Store.open(database.url, database.root) for _ in range(8)]
        taken = await asyncio.gather(
            *(store.acquire(str(number) * 36, 600) for number, store in enumerate(stores)),
            return_exceptions=True,
        )
        refused = [error for error in taken if error is not None]
        assert [type(error) for error in refused] == [StartError] * 7
        assert row(database).epoch == (1 if is_first else 2)
        for store in stores:
            await store.close()

    run(scenario)


@ON_SQLITE
def test_a_file_that_nobody_has_open_is_free_whatever_its_row_says(database: Database) -> None:
    async def scenario() -> None:
        async with holding(database, FIRST):
            pass
        # A copy of a server at work, on another machine.
        change(database, renewed_at=time.time(), process="elsewhere", lease=600.0)
        async with holding(database, SECOND) as store:
            await store.write(*ORGS)

    run(scenario)


@ON_POSTGRESQL
def test_one_elsewhere_is_waited_for_until_its_lease_is_over(database: Database) -> None:
    async def scenario() -> None:
        async with holding(database, FIRST):
            pass
        change(database, renewed_at=time.time(), process="elsewhere", lease=LEASE)
        began = time.monotonic()
        async with holding(database, SECOND):
            assert time.monotonic() - began > LEASE / 2

    run(scenario)


@ON_POSTGRESQL
def test_one_elsewhere_that_says_anything_keeps_it(database: Database) -> None:
    async def scenario() -> None:
        async with holding(database, FIRST, lease=LEASE) as store:
            change(database, process="elsewhere")
            renewing = asyncio.create_task(store.renew())
            with pytest.raises(StartError, match=f"{IN_THE_WAY}: on .*, since 2"):
                async with holding(database, SECOND):
                    pass
            renewing.cancel()
            await store.write(*ORGS)

    run(scenario)


@pytest.mark.parametrize("values", [{"epoch": 7}, {"incarnation_id": SECOND}])
def test_what_is_written_after_another_took_over_is_refused_as_a_whole_and_for_ever(
    database: Database, values: dict[str, Any]
) -> None:
    async def scenario() -> None:
        async with holding(database, FIRST) as store:
            await store.write(*ORGS)
            change(database, host="db2", **values)
            # Somebody waits for one of them.
            store.submit(operations.InsertJob(job(), [("a", "new")], None))
            with pytest.raises(StoreUnavailable, match=f"{IN_THE_WAY}: on db2, since"):
                await store.write(operations.CreateOrganization("third"))
            assert IN_THE_WAY in await store.superseded_by
            with pytest.raises(StoreUnavailable, match=IN_THE_WAY):
                await store.write(operations.CreateOrganization("fourth"))
        found = await asyncio.to_thread(rows, database)
        assert found == {"organizations": len(ORGS), "jobs": 0}
        assert row(database).renewed_at is not None, "its end is not the other's"

    run(scenario)


def rows(database: Database) -> dict[str, int]:
    engine = make_engine(database.url)
    with engine.connect() as connection:
        found = {
            name: connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one()
            for name in ("organizations", "jobs")
        }
    engine.dispose()
    return found


@ON_POSTGRESQL
def test_one_that_has_nothing_to_write_hears_of_it_too(database: Database) -> None:
    async def scenario() -> None:
        async with holding(database, FIRST, lease=LEASE) as store:
            renewing = asyncio.create_task(store.renew())
            before = row(database).renewed_at
            while row(database).renewed_at == before:
                await asyncio.sleep(0.05)
            change(database, epoch=7, host="db2")
            assert "on db2" in await store.superseded_by
            await renewing

    run(scenario)


@ON_POSTGRESQL
def test_who_takes_over_waits_for_a_commit_that_was_begun_before(database: Database) -> None:
    """Its transaction has looked at the row; the other begins with what it stored."""

    async def scenario() -> None:
        async with holding(database, FIRST) as store:
            await store.write(*ORGS)
            change(database, process="elsewhere", renewed_at=0.0)
            engine = make_engine(database.url)
            with engine.begin() as connection:
                # It waits here for as long as we like, in the midst of its transaction.
                connection.execute(text("LOCK TABLE jobs IN EXCLUSIVE MODE"))
                store.submit(operations.InsertJob(job(), [("a", "new")], None))
                await until_waits(engine, "jobs")
                other = Store.open(database.url, database.root)
                taking = asyncio.create_task(other.acquire(SECOND, LEASE))
                await until_waits(engine, "servers")
                assert not taking.done()
            await taking
            engine.dispose()
            try:
                assert await other.ask(reads.job, "acme", job().id) is not None
            finally:
                await other.close()

    run(scenario)


async def until_waits(engine: Any, table: str) -> None:
    """Somebody waits in a statement on this table."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database() AND query LIKE :about"
    )
    while True:
        with engine.connect() as connection:
            if connection.execute(waiting, {"about": f"%{table}%"}).scalar_one():
                return
        await asyncio.sleep(0.02)
