"""The store's suite runs on SQLite and, where one is reachable, on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pushcli_server.store import Store
from tests.support.postgresql import throw_away_database
from tests.support.waiting import patient

ON_SQLITE = pytest.mark.parametrize("empty", ["sqlite"], indirect=True)
ON_POSTGRESQL = pytest.mark.parametrize("empty", ["postgresql"], indirect=True)
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

    def run(self, scenario: Callable[[Store], Any]) -> Any:
        """Run a scenario with a started store, on a loop of its own."""

        async def whole() -> Any:
            async with self.opened() as store, asyncio.timeout(patient(15)):
                return await scenario(store)

        return asyncio.run(whole())


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without tables."""
    if request.param == "sqlite":
        yield Database(f"sqlite:///{tmp_path / 'pushcli.db'}", tmp_path / "blobs")
        return
    with throw_away_database() as url:
        yield Database(url, tmp_path / "blobs")


@pytest.fixture
def database(empty: Database) -> Database:
    """A database with its tables."""
    empty.create()
    return empty
