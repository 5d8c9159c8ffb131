"""The store's suite runs on SQLite and, where one is reachable, on PostgreSQL."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pushcli_server.store import Store
from tests.support.postgresql import throw_away_database
from tests.support.waiting import patient

ON_SQLITE = pytest.mark.parametrize("dialect", ["sqlite"], indirect=True)
ON_POSTGRESQL = pytest.mark.parametrize("dialect", ["postgresql"], indirect=True)
"""For a test of what only one of them has."""


class Database:
    """A throw-away database, and its store's directory."""

    def __init__(self, url: str, root: Path) -> None:
        self.url = url
        self.root = root
        self.released: list[int] = []
        self.refused: list[int] = []
        self.written: list[float | None] = []
        """Seconds of each commit; None: it failed."""

    def create(self) -> None:
        """Make its tables."""
        Store.create(self.url, self.root)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Store]:
        """A started store; what it released and refused is collected here."""
        store = Store.open(self.url, self.root)
        store.start(asyncio.get_running_loop(), self.released.append, self.written.append)
        try:
            yield store
        finally:
            self.refused = list(store.refused)
            await store.close()

    def large(self) -> int:
        """How many contents there are that no row could hold, wherever they are kept."""
        files = sum(path.is_file() for path in self.root.rglob("*"))
        if not self.url.startswith("postgresql"):
            return files
        assert files == 0
        with psycopg.connect(self.url) as session:
            found = session.execute("SELECT count(DISTINCT digest) FROM blob_pieces").fetchone()
        return int(found[0]) if found is not None else 0

    def run(self, scenario: Callable[[Store], Any]) -> Any:
        """Run a scenario with a started store, on a loop of its own."""

        async def whole() -> Any:
            async with self.opened() as store, asyncio.timeout(patient(15)):
                return await scenario(store)

        return asyncio.run(whole())


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    """On which of them it runs."""
    return str(request.param)


@pytest.fixture
def empty(dialect: str, tmp_path: Path) -> Iterator[Database]:
    """A database without tables."""
    if dialect == "sqlite":
        yield Database(f"sqlite:///{tmp_path / 'pushcli.db'}", tmp_path / "blobs")
        return
    with throw_away_database() as url:
        yield Database(url, tmp_path / "blobs")


@pytest.fixture
def database(dialect: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with its tables, and nothing in them but what is there from the start."""
    root = tmp_path / "blobs"
    if dialect == "sqlite":
        shutil.copytree(request.getfixturevalue("made_sqlite"), tmp_path, dirs_exist_ok=True)
        yield Database(f"sqlite:///{tmp_path / 'pushcli.db'}", root)
        return
    made: Reused = request.getfixturevalue("made_postgresql")
    url = made.url()
    shutil.copytree(made.root, root)
    yield Database(url, root)
    made.give_back()


@pytest.fixture(scope="session")
def made_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is copied: to make the tables takes longer."""
    directory = tmp_path_factory.mktemp("sqlite")
    Database(f"sqlite:///{directory / 'pushcli.db'}", directory / "blobs").create()
    return directory


@pytest.fixture(scope="session")
def made_postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Reused"]:
    """What one test after the other has: to make a database takes half a second of two cores."""
    with ExitStack() as stack:
        yield Reused(stack, tmp_path_factory.mktemp("postgresql"))


class Reused:
    """A database that is emptied after each test; one whose tables a test changed is left."""

    def __init__(self, stack: ExitStack, root: Path) -> None:
        self._stack = stack
        self.root = root / "blobs"
        self._url = self._shape = ""

    def url(self) -> str:
        """Of one with all its tables."""
        if not self._url:
            self._url = self._stack.enter_context(throw_away_database())
            Database(self._url, self.root).create()
            with psycopg.connect(self._url) as session:
                self._shape = self._what(session)
        return self._url

    def give_back(self) -> None:
        """A test has ended."""
        url, self._url = self._url, ""
        # A test may have let nobody in any more.
        with suppress(psycopg.OperationalError), psycopg.connect(url, autocommit=True) as session:
            session.execute(_ALONE)
            session.execute(_EMPTY)
            if self._what(session) == self._shape:
                self._url = url

    @staticmethod
    def _what(session: psycopg.Connection) -> str:
        return str(session.execute(_SHAPE).fetchall())


_ALONE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_EMPTY = """
    DO $$ DECLARE name text; BEGIN
      SET LOCAL session_replication_role = replica;
      FOR name IN SELECT quote_ident(tablename) FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
        EXECUTE 'DELETE FROM ' || name;
      END LOOP;
      PERFORM setval(quote_ident(sequencename)::regclass, start_value, false) FROM pg_sequences;
    END $$
"""
_SHAPE = """
    SELECT 'version', version_num, '' FROM alembic_version
    UNION ALL SELECT relname, attname, concat(atttypid, attnotnull, atthasdef)
      FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
      WHERE relnamespace = 'public'::regnamespace AND NOT attisdropped
    UNION ALL SELECT conname, pg_get_constraintdef(oid), '' FROM pg_constraint
      WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT tgname, CAST(tgenabled AS text), '' FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT proname, prosrc, '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'setting', setconfig::text, '' FROM pg_db_role_setting
      JOIN pg_database d ON d.oid = setdatabase WHERE datname = current_database()
    ORDER BY 1, 2, 3
"""
