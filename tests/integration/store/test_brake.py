"""What becomes of a freeze or a pause of which nobody knows whether it was stored."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pushcli_server.brake import BrakeService
from pushcli_server.clock import Clock
from pushcli_server.core.brake_state import Freeze, Pause
from pushcli_server.core.fleet_state import Fleet, Rules
from pushcli_server.core.identity import NodeKey, Requestor
from pushcli_server.engine import Engine
from pushcli_server.identities import OwnIdentities
from pushcli_server.release import Releases
from pushcli_server.store import Store, brake_reads, operations
from pushcli_server.store import store as store_module
from pushcli_server.store.errors import OutcomeUnknown
from pushcli_server.store.records import AuditRecord
from pushcli_server.timers import Timers
from tests.integration.store.conftest import ON_SQLITE, Database
from tests.integration.store.writing import ORGS
from tests.support.bare_engine import bare_engine

pytestmark = pytest.mark.timeout(60)
NODE = NodeKey("acme", "n")
ANN = Requestor("user", "", "ann")
LINE = operations.Audit(
    AuditRecord(at=1.0, org="acme", actor="ann", action="x", target="n", origin="")
)
CLIENT = operations.CreateClient(org="acme", name="n", public_key="PEM")


@contextmanager
def locked(database: Database) -> Iterator[None]:
    """Nothing is written meanwhile; what was to be written is, then."""
    other = sqlite3.connect(database.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits as long for the database as it does itself for a lock."""
    monkeypatch.setattr(store_module, "PATIENCE", 0.3)


@ON_SQLITE
@pytest.mark.usefixtures("impatient")
def test_a_freeze_that_may_have_been_stored_holds_and_an_unfreeze_does_not(
    database: Database,
) -> None:
    freeze = Freeze(reason="storage", by=ANN, at=1.0)

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        service = BrakeService(bare_engine(Fleet(Rules())), store, OwnIdentities(store))
        for wanted in (freeze, None):
            with locked(database), pytest.raises(OutcomeUnknown):
                await service.set_freeze("acme", wanted, LINE, write=store.write)
            assert service.freeze("acme") == freeze
            await store.barrier()

    database.run(scenario)


@ON_SQLITE
@pytest.mark.usefixtures("impatient")
def test_a_pause_that_may_have_been_stored_holds(database: Database) -> None:
    nothing: Any = None

    async def scenario(store: Store) -> None:
        await store.write(*ORGS, CLIENT)
        clock = Clock()
        timers = Timers(clock, lambda _: None)
        engine = Engine(
            Fleet(Rules()), clock=clock, store=store, releases=Releases(), timers=timers,
            feeds=nothing, spawn=nothing, channel=nothing, notes=nothing, outputs=nothing,
        )  # fmt: skip
        service = BrakeService(engine, store, OwnIdentities(store))
        pause = Pause(reason="disk", by=ANN, at=clock.date(), until=clock.now() + 600)
        try:
            with locked(database), pytest.raises(OutcomeUnknown):
                await service.pause("acme", ["n"], pause, [LINE], write=store.write)
            await store.barrier()
            assert len(await store.ask(brake_reads.pauses, clock.date())) == 1, "it was stored"
            assert await service.paused("acme", ["n"]) == ["n"]
        finally:
            timers.close()

    database.run(scenario)


def test_a_client_that_is_deleted_while_its_pause_is_stored_leaves_none(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, CLIENT)
        fleet = Fleet(Rules())
        service = BrakeService(bare_engine(fleet), store, OwnIdentities(store))

        async def write(*changes: operations.Operation) -> None:
            await store.write(*changes)
            await store.write(operations.DeleteClient("acme", "n"))
            fleet.deletions.note(NODE)

        pause = Pause(reason="disk", by=ANN, at=1.0, until=Clock().now() + 600)
        await service.pause("acme", ["n"], pause, [LINE], write=write)
        assert fleet.pauses == {}

    database.run(scenario)
