"""One server works with a database; what another writes whose place was taken is refused."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from pushcli.errors import StartError, StoreError
from pushcli_server.core.leases import Process
from pushcli_server.store import (
    Store,
    StoreUnavailable,
    lease,
    operations,
    processes,
    schema,
    standing_by,
)
from pushcli_server.store import lease as leases
from pushcli_server.store.database import make_engine, writing
from pushcli_server.store.holding import Hooks
from tests.integration.store.conftest import ON_POSTGRESQL, ON_SQLITE, Database
from tests.integration.store.test_away import behind_a_way
from tests.integration.store.writing import ORGS, job
from tests.support.waiting import patient

pytestmark = pytest.mark.timeout(90)
LEASE = 1.0
LONG = 600.0
IN_THE_WAY = "another server works with this database"


@asynccontextmanager
async def holding(database: Database, seconds: float = LEASE) -> AsyncIterator[Store]:
    """A started store that has the database."""
    store = Store.open(database.url, database.root)
    try:
        await store.acquire(seconds)
        store.start(asyncio.get_running_loop(), lambda ticket: None)
        yield store
    finally:
        await store.close()


@contextmanager
def engine_of(database: Database) -> Iterator[Engine]:
    """Another's connections to it."""
    engine = make_engine(database.url)
    try:
        yield engine
    finally:
        engine.dispose()


def change(database: Database, **values: Any) -> None:
    """As if the holder's row said so."""
    with engine_of(database) as engine, writing(engine).begin() as connection:
        connection.execute(schema.servers.update().values(**values))


def row(database: Database) -> Any:
    """Of the holder."""
    with engine_of(database) as engine, engine.connect() as connection:
        return connection.execute(schema.servers.select()).one()


def run(scenario: Callable[[], Any]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(patient(15)):
            await scenario()

    asyncio.run(whole())


# --- both


def test_while_one_lives_no_other_begins_and_then_one_at_once(database: Database) -> None:
    async def scenario() -> None:
        async with holding(database, LONG) as store:
            with pytest.raises(StartError, match=IN_THE_WAY):
                async with holding(database):
                    pass
            await store.write(*ORGS)
        async with holding(database, LONG) as store:
            await store.write(operations.CreateOrganization("third"))

    run(scenario)


def test_who_writes_in_place_of_a_server_keeps_others_out(database: Database) -> None:
    async def scenario() -> None:
        store = Store.open(database.url, database.root)
        await store.start_alone()
        with pytest.raises(StartError, match=IN_THE_WAY):
            async with holding(database):
                pass
        await store.write(*ORGS)
        await store.close()
        async with holding(database):
            other = Store.open(database.url, database.root)
            with pytest.raises(StartError, match=IN_THE_WAY):
                await other.start_alone()
            await other.close()

    run(scenario)


# --- a file


@ON_SQLITE
def test_a_file_is_one_database_under_whatever_name(database: Database, tmp_path: Path) -> None:
    (tmp_path / "else").mkdir()
    link = tmp_path / "else" / "another.db"
    link.symlink_to(tmp_path / "pushcli.db")

    async def scenario() -> None:
        async with holding(database):
            with pytest.raises(StartError, match=r"pushcli\.db\.lock is locked"):
                async with holding(Database(f"sqlite:///{link}", database.root)):
                    pass

    run(scenario)


@ON_SQLITE
@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of others")
def test_the_lock_is_of_whom_the_database_is(database: Database, tmp_path: Path) -> None:
    shutil.chown(tmp_path / "pushcli.db", 12345, 12346)

    async def scenario() -> None:
        async with holding(database):
            found = (tmp_path / "pushcli.db.lock").stat()
            assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (12345, 12346, 0o600)

    run(scenario)


@ON_SQLITE
def test_a_lock_that_cannot_be_made_is_told_in_a_line(database: Database, tmp_path: Path) -> None:
    (tmp_path / "pushcli.db.lock").mkdir()

    async def scenario() -> None:
        with pytest.raises(StoreError, match="Is a directory"):
            async with holding(database):
                pass

    run(scenario)


# --- a lease


@ON_POSTGRESQL
@pytest.mark.parametrize("is_first", [True, False])
def test_of_those_that_begin_at_once_one_has_it(database: Database, is_first: bool) -> None:
    async def scenario() -> None:
        if not is_first:
            async with holding(database):
                pass
        stores = [Store.open(database.url, database.root) for _ in range(8)]
        taken = await asyncio.gather(
            *(store.acquire(LONG) for store in stores), return_exceptions=True
        )
        refused = [error for error in taken if error is not None]
        assert [type(error) for error in refused] == [StartError] * 7
        assert row(database).epoch == (1 if is_first else 2)
        for store in stores:
            await store.close()

    run(scenario)


@ON_POSTGRESQL
def test_of_one_that_was_killed_nobody_waits_for_the_lease(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with holding(database, LONG):
            before = row(database).incarnation_id
            monkeypatch.setattr(processes, "look_for", lambda process: Process.GONE)
            async with holding(database):
                assert row(database).incarnation_id != before

    run(scenario)


@ON_POSTGRESQL
def test_one_elsewhere_is_waited_for_until_its_lease_is_over(database: Database) -> None:
    async def scenario() -> None:
        async with holding(database):
            change(database, process="elsewhere")
            with engine_of(database) as engine, engine.connect() as connection:
                now = float(
                    connection.execute(text("SELECT extract(epoch FROM now())")).scalar_one()
                )
            change(database, renewed_at=now)
            began = time.monotonic()
            async with holding(database):
                assert LEASE * 0.9 < time.monotonic() - began < patient(2 * LEASE)

    run(scenario)


@ON_POSTGRESQL
def test_one_is_not_waited_for_longer_because_the_clock_was_set_back(database: Database) -> None:
    async def scenario() -> None:
        async with holding(database):
            change(database, process="elsewhere", renewed_at=time.time() + 3600)
            began = time.monotonic()
            async with holding(database):
                assert time.monotonic() - began > LEASE * 0.9

    run(scenario)


@ON_POSTGRESQL
def test_whoever_waited_for_a_takeover_sees_it(database: Database) -> None:
    """Also where a transaction's first look is to count for all of it."""
    with engine_of(database) as engine, engine.connect() as connection:
        name = connection.execute(text("SELECT current_database()")).scalar_one()
        connection.execute(
            text(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
        )
        connection.commit()

    async def scenario() -> None:
        async with holding(database) as store:
            await store.write(*ORGS)
            with engine_of(database) as engine, engine.connect() as connection:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({lease._LOCK})"))
                answer = store.begin(operations.CreateOrganization("third"))
                await until_one_waits(database, "pg_advisory_xact_lock_shared")
                connection.execute(text("UPDATE servers SET epoch = 7"))
                connection.commit()
            with pytest.raises(StoreUnavailable, match=IN_THE_WAY):
                await answer

    run(scenario)


@ON_POSTGRESQL
def test_the_end_waits_for_no_database_that_does_not_answer(database: Database) -> None:
    async def scenario() -> None:
        with engine_of(database) as engine, engine.connect() as connection:
            async with holding(database):
                # Nothing of its row can be changed.
                connection.execute(text("LOCK TABLE servers IN EXCLUSIVE MODE"))
            connection.commit()

    run(scenario)


@ON_POSTGRESQL
def test_one_elsewhere_that_renews_its_lease_keeps_it_however_long_it_writes(
    database: Database,
) -> None:
    async def scenario() -> None:
        async with holding(database) as store:
            await store.write(*ORGS)
            change(database, process="elsewhere")
            renewing = asyncio.create_task(store.renew())
            with engine_of(database) as engine, engine.connect() as connection:
                connection.execute(text("LOCK TABLE jobs IN EXCLUSIVE MODE"))
                store.submit(operations.InsertJob(job(), [("a", "new")], None))
                await until_one_waits(database, "jobs")
                await asyncio.sleep(2 * LEASE)
                with pytest.raises(StartError, match=f"{IN_THE_WAY}: on .*, since 2"):
                    async with holding(database):
                        pass
            await store.barrier()
            assert not store.superseded_by.done()
            renewing.cancel()

    run(scenario)


@ON_POSTGRESQL
def test_what_one_that_hangs_has_begun_keeps_nobody_waiting_and_is_not_stored(
    database: Database,
) -> None:
    async def scenario() -> None:
        async with holding(database) as store:
            await store.write(*ORGS)
            with engine_of(database) as engine, engine.connect() as connection:
                connection.execute(text("LOCK TABLE jobs IN EXCLUSIVE MODE"))
                store.submit(operations.InsertJob(job(), [("a", "new")], None))
                await until_one_waits(database, "jobs")
                change(database, process="elsewhere", renewed_at=0.0)
                async with holding(database) as other:
                    assert IN_THE_WAY in await store.superseded_by
                    await other.write(operations.CreateOrganization("third"))
        assert count(database, "organizations") == len(ORGS) + 1
        assert count(database, "jobs") == 0

    run(scenario)


@ON_POSTGRESQL
@pytest.mark.parametrize("values", [{"epoch": 7}, {"incarnation_id": "2" * 36}])
def test_what_is_written_after_another_took_over_is_refused_as_a_whole_and_for_ever(
    database: Database, values: dict[str, Any]
) -> None:
    async def scenario() -> None:
        async with holding(database) as store:
            await store.write(*ORGS)
            change(database, host="db2", **values)
            # For one of them somebody waits.
            store.submit(operations.InsertJob(job(), [("a", "new")], None))
            with pytest.raises(StoreUnavailable, match=f"{IN_THE_WAY}: on db2, since"):
                await store.write(operations.CreateOrganization("third"))
            assert IN_THE_WAY in await store.superseded_by
            with pytest.raises(StoreUnavailable, match=IN_THE_WAY):
                await store.write(operations.CreateOrganization("fourth"))
            # Who has no look at its health is answered, too.
            answer = store.begin(operations.CreateOrganization("fifth"))
            assert isinstance(answer.exception(), StoreUnavailable)
            assert store.waiting == (0, 0)
        assert (count(database, "organizations"), count(database, "jobs")) == (len(ORGS), 0)
        assert row(database).renewed_at is not None, "its end is not that of the other"

    run(scenario)


@ON_POSTGRESQL
def test_one_that_has_nothing_to_write_hears_of_it_too(database: Database) -> None:
    async def scenario() -> None:
        async with holding(database) as store:
            before = row(database).renewed_at
            renewing = asyncio.create_task(store.renew())
            while row(database).renewed_at == before:
                await asyncio.sleep(0.05)
            change(database, epoch=7, host="db2")
            assert "on db2" in await store.superseded_by
            await renewing

    run(scenario)


@ON_POSTGRESQL
def test_a_renewal_that_comes_after_the_end_does_not_undo_it(database: Database) -> None:
    async def scenario() -> None:
        async with holding(database) as store:
            hold: Any = store._hold
        assert row(database).renewed_at is None
        hold.renew()
        assert row(database).renewed_at is None

    run(scenario)


def count(database: Database, table: str) -> int:
    """Its rows."""
    with engine_of(database) as engine, engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


async def until_one_waits(database: Database, table: str) -> None:
    """A statement waits for this table."""
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database() AND query LIKE :about"
    )
    with engine_of(database) as engine:
        while True:
            with engine.connect() as connection:
                if connection.execute(waiting, {"about": f"%{table}%"}).scalar_one():
                    return
            await asyncio.sleep(0.02)


# --- standing ready


def hooks(on_wait: Callable[[str], None], may_begin: Callable[[], None] = lambda: None) -> Hooks:
    return Hooks(on_wait, may_begin)


@ON_POSTGRESQL
def test_of_several_that_stand_ready_one_takes_over_and_the_others_go_on(
    database: Database,
) -> None:
    async def scenario() -> None:
        waited_for: list[list[str]] = [[], [], []]
        stores = [Store.open(database.url, database.root) for _ in waited_for]
        async with holding(database, LONG):
            waiting = [
                asyncio.create_task(store.acquire(LONG, hooks(said.append)))
                for store, said in zip(stores, waited_for, strict=True)
            ]
            await asyncio.sleep(2 * LEASE)
            assert not any(task.done() for task in waiting), "this process is there"
            assert all(len(said) == 1 for said in waited_for)
        done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(2 * LEASE)
        assert (len(done), sum(task.done() for task in waiting)) == (1, 1)
        [first] = done
        assert first.exception() is None
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        for store in stores:
            await store.close()

    run(scenario)


@ON_POSTGRESQL
def test_whoever_stands_ready_is_listed_until_he_does_not(database: Database) -> None:
    def listed() -> int:
        with engine_of(database) as engine, engine.connect() as connection:
            _, _, now = leases.look(connection)
            return len(leases.ready(connection, now))

    async def scenario() -> None:
        async with holding(database, LONG):
            store = Store.open(database.url, database.root)
            waiting = asyncio.create_task(store.acquire(LEASE, hooks(lambda whom: None)))
            while listed() != 1:
                await asyncio.sleep(0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert listed() == 0
            await store.close()

    run(scenario)


@ON_POSTGRESQL
def test_an_answer_that_never_comes_is_not_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing_by, "_PATIENCE", 0.5)

    async def scenario() -> None:
        with behind_a_way(database) as (way, behind):
            async with holding(database, LONG):
                store = Store.open(behind.url, behind.root)
                said: list[str] = []
                waiting = asyncio.create_task(store.acquire(LEASE, hooks(said.append)))
                while not said:
                    await asyncio.sleep(0.05)
                way.swallows = frozenset({"server"})
                await asyncio.sleep(1.5)
                way.swallows = frozenset()
            await waiting
            await store.close()

    run(scenario)


@ON_POSTGRESQL
@pytest.mark.parametrize("held", [False, True])
def test_one_that_is_ended_while_it_takes_over_leaves_the_place_free(
    database: Database, held: bool
) -> None:
    async def scenario() -> None:
        store = Store.open(database.url, database.root)
        waiting = asyncio.create_task(store.acquire(LONG, hooks(lambda whom: None)))
        with engine_of(database) as engine, engine.connect() as connection:
            if held:
                # It waits with what it writes.
                connection.execute(text("LOCK TABLE servers IN SHARE MODE"))
                await until_one_waits(database, "servers")
            else:
                await asyncio.sleep(0.02)
            waiting.cancel()
            await asyncio.sleep(0.1)
        with suppress(asyncio.CancelledError):
            # It may have been faster.
            await waiting
        await store.close()
        async with holding(database):
            pass

    run(scenario)


@ON_POSTGRESQL
def test_whoever_could_not_work_leaves_the_place_to_others(database: Database) -> None:
    hindered = True

    def may_begin() -> None:
        if hindered:
            raise StartError("its port is taken", "free it")

    async def scenario() -> None:
        nonlocal hindered
        first = Store.open(database.url, database.root)
        with pytest.raises(StartError, match="its port is taken"):
            # Nobody is waited for: whoever starts it is to hear of it.
            await first.acquire(LEASE, hooks(lambda whom: None, may_begin))
        await first.close()
        second, said = Store.open(database.url, database.root), list[str]()
        async with holding(database, LONG):
            waiting = asyncio.create_task(second.acquire(LEASE, hooks(said.append, may_begin)))
            while not said:
                await asyncio.sleep(0.05)
        await asyncio.sleep(2 * LEASE)
        assert not waiting.done()
        hindered = False
        await waiting
        await second.close()

    run(scenario)
