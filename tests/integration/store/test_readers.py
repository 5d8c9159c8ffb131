"""Questions have their time, and those that grow hold up none that do not."""

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, text

from pushcli_server.store import Store, operations, reads, schema
from pushcli_server.store.database import make_engine
from pushcli_server.store.errors import StoreUnavailable, TookTooLong
from pushcli_server.store.readers import Door, Readers
from tests.integration.store.conftest import Database
from tests.integration.store.writing import ORGS, job
from tests.support.waiting import patient

pytestmark = pytest.mark.timeout(60)


def endless(connection: Connection) -> Any:
    """Count what no computer can count."""
    tables = ", ".join(f"feed_events t{number}" for number in range(8))
    return connection.scalar(text(f"SELECT count(*) FROM {tables}"))


def quick(connection: Connection) -> int:
    found = connection.scalar(select(func.count()).select_from(schema.feed_events))
    return int(found or 0)


async def nothing() -> None:
    """Wait for no commit."""


async def filled(store: Store) -> None:
    await store.write(*(operations.AppendEvent("f", n, n, b"x") for n in range(1, 101)))


def test_what_takes_too_long_is_given_up_and_costs_nothing_more(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await filled(store)
        engine = make_engine(database.url)
        readers = Readers(engine, "test", 1, 0.3, Door(nothing, StoreUnavailable, lambda: None))
        for _ in range(2):
            begin = time.monotonic()
            with pytest.raises(TookTooLong, match=r"no answer within 0\.3 s"):
                await readers.ask(endless)
            assert time.monotonic() - begin < patient(2)
            # The one thread and its connection are free again.
            assert await readers.ask(quick) == 100
        readers.close()
        engine.dispose()

    database.run(scenario)


def test_questions_do_not_wait_behind_searches_and_lists(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await filled(store)
        long = [
            asyncio.create_task(readers.ask(endless))
            for readers in (store.lists, store.searches)
            for _ in range(4)
        ]
        await asyncio.sleep(0.2)
        begin = time.monotonic()
        assert await store.ask(quick) == 100
        assert time.monotonic() - begin < patient(0.5)
        assert not any(task.done() for task in long)
        begin = time.monotonic()
        await store.close()
        assert time.monotonic() - begin < patient(7)
        for task in long:
            with pytest.raises((StoreUnavailable, asyncio.CancelledError)):
                await task

    asyncio.run(whole(database, scenario))


async def whole(database: Database, scenario: Any) -> None:
    """Run it with a store that it closes itself."""
    store = Store.open(database.url, database.root)
    store.start(asyncio.get_running_loop(), lambda _: None)
    await scenario(store)


def test_jobs_come_page_by_page_in_order(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "JOBS_AT_ONCE", 4)
    ids = [f"{number:032x}" for number in range(10)]

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        for number, job_id in enumerate(reversed(ids)):
            # Several of one moment.
            record = job(job_id, created_at=float(number // 3))
            store.submit(operations.InsertJob(record, []))
        found: list[str] = []
        after = None
        while True:
            page, are_more = await store.lists.ask(reads.jobs, "acme", after)
            assert len(page) <= 4
            found += [record.id for record in page]
            if not are_more:
                break
            after = page[-1].created_at, page[-1].id
        whole = sorted(((n // 3, job_id) for n, job_id in enumerate(reversed(ids))))
        assert found == [job_id for _, job_id in whole]

    database.run(scenario)


def test_a_page_of_long_commands_is_short(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        for number in range(5):
            record = job(f"{number:032x}", command="x" * 600_000)
            store.submit(operations.InsertJob(record, []))
        page, are_more = await store.lists.ask(reads.jobs, "acme")
        assert (len(page), are_more) == (2, True)

    database.run(scenario)
