"""A full disk stays full until something could be written, also if nothing waits to be written."""

import asyncio
import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, func, select

from pushcli_server.store import Store, StoreUnavailable, operations, reads, room, schema
from pushcli_server.store.database import make_engine
from tests.integration.store.conftest import ON_SQLITE, Database
from tests.integration.store.writing import JOB, ORGS, job, until_healthy
from tests.support.full_disk import fill, needs_mount, small_disk

pytestmark = pytest.mark.timeout(60)
UNLIMITED = 2**32 - 2
BRINGS = operations.InsertJob(job(), [("a", "new")], "x" * 8000, "y" * 8000)
LARGE = operations.InsertJob(job(), [("a", "new")], "x" * 200_000)


class Disk:
    """How many pages SQLite's files may have; 1: those that they have."""

    pages = UNLIMITED


@pytest.fixture
def disk() -> Iterator[Disk]:
    disk = Disk()

    def limit(connection: Connection) -> None:
        if connection.dialect.name == "sqlite":
            driver: Any = connection.connection.driver_connection
            driver.execute(f"PRAGMA max_page_count={disk.pages}")

    event.listen(Engine, "begin", limit)
    yield disk
    event.remove(Engine, "begin", limit)


def stored_blobs(database: Database) -> int:
    engine = make_engine(database.url)
    with engine.connect() as connection:
        count = connection.scalar(select(func.count()).select_from(schema.blobs))
    engine.dispose()
    return count or 0


async def failures(database: Database, count: int) -> None:
    """Wait for so many more tries that fail."""
    before = database.written.count(None)
    while database.written.count(None) < before + count:
        await asyncio.sleep(0.01)


@ON_SQLITE
def test_a_full_disk_that_nobody_writes_to_stays_full(
    database: Database, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        disk.pages = 1
        with pytest.raises(StoreUnavailable, match="its disk is full"):
            await store.write(BRINGS)
        await failures(database, 3)
        assert store.trouble == "its disk is full"
        assert "can be written again" not in caplog.text
        # Nothing waits to be written: what is committed is all there is.
        assert await store.ask(reads.job, "acme", JOB) is None
        disk.pages = UNLIMITED
        await until_healthy(store)
        await store.write(BRINGS)

    with caplog.at_level(logging.INFO, logger="pushcli_server.store"):
        database.run(scenario)
    said = {record.getMessage() for record in caplog.records}
    assert said == {
        "cannot write to the database, trying again: database or disk is full",
        "the database can be written again",
    }
    assert stored_blobs(database) == 2, "what showed that there is room is gone"


@ON_SQLITE
def test_a_store_that_ends_on_a_full_disk_with_nothing_to_write_says_nothing(
    database: Database, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        disk.pages = 1
        with pytest.raises(StoreUnavailable):
            await store.write(BRINGS)

    database.run(scenario)
    assert "were not written" not in caplog.text


@ON_SQLITE
def test_a_disk_on_which_only_less_can_be_written_than_what_failed_is_full(
    database: Database, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LEAST", 1)

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        with sqlite3.connect(database.url.removeprefix("sqlite:///")) as other:
            (pages,) = other.execute("PRAGMA page_count").fetchone()
        other.close()
        disk.pages = pages + 2
        with pytest.raises(StoreUnavailable):
            await store.write(BRINGS)
        await failures(database, 2)
        disk.pages = UNLIMITED
        await until_healthy(store)

    database.run(scenario)


def test_nothing_is_written_while_all_is_well(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        await store.write(BRINGS)
        await store.barrier()

    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        database.run(scenario)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert not [each for each in statements if each.startswith("DELETE")]


def test_who_finds_out_whether_the_database_is_back_writes(database: Database) -> None:
    async def scenario(store: Store) -> None:
        store.submit()
        await store.barrier()

    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement.partition(" ")[0])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        database.run(scenario)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert [each for each in statements if each in {"INSERT", "DELETE"}] == [
        "DELETE", "INSERT", "DELETE",
    ]  # fmt: skip
    assert stored_blobs(database) == 0


@needs_mount
@pytest.mark.slow
def test_a_real_disk(tmp_path: Path) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        ballast = await asyncio.to_thread(fill, tmp_path / "disk")
        with pytest.raises(StoreUnavailable, match="its disk is full"):
            await store.write(LARGE)
        await failures(database, 3)
        assert store.trouble == "its disk is full"
        ballast.unlink()
        await until_healthy(store)
        left = [path for path in store.root.rglob("*") if path.is_file()]
        assert [path for path in left if path.name != ".new"] == [], "nobody refers to it"
        await store.write(LARGE)

    with small_disk(tmp_path / "disk", "4m") as place:
        database = Database(f"sqlite:///{place / 'pushcli.db'}", place / "blobs")
        database.create()
        database.run(scenario)
