"""A store of version 0.1.0 with thousands of files: all move, in little memory, despite kills."""

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from pushcli.errors import StoreError
from pushcli_server.store import Store, database, identity_reads, reads
from pushcli_server.store.database import make_engine
from tests.integration.store import old_store
from tests.integration.store.conftest import ON_SQLITE, Database

pytestmark = pytest.mark.timeout(240)
JOBS = 1500
MEMORY = 40_000_000
"""Bytes; the files have more than seventy million."""


def upgrading(store: Database) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.store.upgrade", store.url, str(store.root)],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip


def ask(store: Database, query: str) -> object:
    """The one value that a query gives; None if the tables are not so far."""
    engine = make_engine(store.url)
    try:
        with engine.connect() as connection:
            return connection.execute(text(query)).scalar()
    except DBAPIError:
        return None
    finally:
        engine.dispose()


def moved(store: Database) -> int:
    """How many files are in their new place for good."""
    found = ask(store, "SELECT count(file_digest) FROM jobs")
    return found if isinstance(found, int) else 0


def kill_upgrade(store: Database, enough: int, patience: float) -> object:
    """Have the store upgraded until so many files have moved, and a little; its version then."""
    process = upgrading(store)
    while process.poll() is None and moved(store) < enough:
        time.sleep(0.01)
    time.sleep(patience)
    process.kill()
    process.communicate()
    return ask(store, "SELECT version_num FROM alembic_version")


def refusal(store: Database, monkeypatch: pytest.MonkeyPatch, head: str) -> str:
    """What a program that needs this version says of the store; empty: it works with it."""
    monkeypatch.setattr(database, "HEAD", head)
    try:
        Store.open(store.url, store.root).dispose()
    except StoreError as error:
        return str(error)
    finally:
        monkeypatch.undo()
    return ""


def different(connection: Connection, root: Path, jobs: int) -> list[str]:
    """The ids of jobs that have not the file that they had."""
    return [
        job_id
        for job_id, file in old_store.random_files(jobs)
        if reads.job_file(connection, root, "acme", job_id) != file
    ]


def verify(store: Database, jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is there, byte for byte, and only for programs of this version."""

    async def read() -> None:
        opened = Store.open(store.url, store.root)
        assert await opened.ask(different, opened.root, jobs) == []
        listed, _ = await opened.ask(reads.jobs, "acme")
        assert len(listed) == jobs
        assert sum(job.file_digest is None for job in listed) == jobs / 50
        assert len(await opened.ask(reads.job_nodes, "acme", listed[0].id)) == 1
        assert await opened.ask(identity_reads.client, "acme", "n") is not None
        assert await opened.ask(identity_reads.session_salts) == {("acme", "n"): ""}
        opened.dispose()

    with monkeypatch.context() as patched:
        patched.setattr(reads, "JOBS_AT_ONCE", jobs + 1)
        asyncio.run(read())
    assert f"newer version ({database.HEAD}" in refusal(store, monkeypatch, old_store.VERSION)
    assert ask(store, "SELECT count(file) FROM jobs") is None
    assert ask(store, "SELECT count(admin) FROM clients") is None


def test_thousands_of_files_move_in_little_memory_and_despite_kills(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_store.make(empty, old_store.random_files(JOBS))
    assert "run `pushcli server init` again" in refusal(empty, monkeypatch, database.HEAD)
    chosen = random.Random(2)
    for enough in (1, *sorted(chosen.sample(range(50, JOBS // 3), 3))):
        assert kill_upgrade(empty, enough, chosen.uniform(0, 0.05)) == "0003"
        assert enough <= moved(empty) < 0.98 * JOBS, "batch by batch"
        assert "newer version (0003" in refusal(empty, monkeypatch, old_store.VERSION)
        assert "run `pushcli server init` again" in refusal(empty, monkeypatch, database.HEAD)
    with upgrading(empty) as process:
        grown, _ = process.communicate()
    assert int(grown) < MEMORY
    verify(empty, JOBS, monkeypatch)


def test_a_kill_at_the_beginning_or_the_end_leaves_a_version_that_is_whole(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_store.make(empty, old_store.random_files(50))
    chosen = random.Random(3)
    for enough in (0, 0, 0, 49, 49):
        version = kill_upgrade(empty, enough, chosen.uniform(0, 0.8 if enough == 0 else 0.02))
        works = {head: not refusal(empty, monkeypatch, head) for head in ("0002", database.HEAD)}
        assert works == {head: head == version for head in works}
    empty.create()
    verify(empty, 50, monkeypatch)


@ON_SQLITE
def test_a_database_that_held_little_but_files_shrinks(empty: Database) -> None:
    old_store.make(empty, old_store.random_files(200))
    file = Path(empty.url.removeprefix("sqlite:///"))
    before = file.stat().st_size
    empty.create()
    assert file.stat().st_size < before / 10


@ON_SQLITE
def test_what_a_running_server_adds_at_the_last_moment_is_not_lost(empty: Database) -> None:
    old_store.make(empty, iter([("b", "raw:first")]))
    engine = make_engine(empty.url)
    columns = ", ".join(f'"{name}"' for name in old_store.COLUMNS)
    late = columns.replace('"id"', "'a'").replace('"file"', "'raw:late'")
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER late AFTER UPDATE ON jobs WHEN NEW.id = 'b' BEGIN"
                f" INSERT INTO jobs ({columns}) SELECT {late} FROM jobs; END"
            )
        )
    with pytest.raises(StoreError, match="a server is still writing"):
        empty.create()
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER late"))
    engine.dispose()
    empty.create()

    async def scenario(store: Store) -> None:
        for job_id, file in (("a", "raw:late"), ("b", "raw:first")):
            assert await store.ask(reads.job_file, store.root, "acme", job_id) == file

    empty.run(scenario)
