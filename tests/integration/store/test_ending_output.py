"""Whoever reads a job's nodes while a result is being stored is told of it, or that it comes."""

from collections.abc import Callable
from typing import Any

import pytest

from pushcli.protocol import extensions
from pushcli_server.clock import Clock
from pushcli_server.core.fleet_state import Fleet, Rules
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.core.node import Phase
from pushcli_server.identities import OwnIdentities
from pushcli_server.jobs import JobService
from pushcli_server.output_feeds import OutputFeeds
from pushcli_server.output_log import OutputLog
from pushcli_server.store import Store, operations
from tests.integration.store.conftest import ON_SQLITE, Database
from tests.integration.store.writing import ORGS, job
from tests.support.bare_engine import bare_engine

pytestmark = pytest.mark.timeout(60)
JOB = JobKey("acme", "1" * 32)
NODE = NodeKey("acme", "a")


def ended() -> Fleet:
    fleet = Fleet(Rules())
    node = fleet.node(NODE)
    node.extensions, node.phase = extensions.ALL, Phase.ONLINE
    return fleet


async def write(store: Store) -> None:
    record = job(JOB.id, status="aborted", default_capture=True)
    await store.write(*ORGS, operations.InsertJob(record, [(NODE.name, "aborted")], None))


async def seen(
    monkeypatch: pytest.MonkeyPatch,
    store: Store,
    fleet: Fleet,
    *,
    before: Callable[[], object] = lambda: None,
    after: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """What is told of the node to whom something happens while he reads."""
    ask = store.lists.ask

    async def asked(*question: Any) -> Any:
        before()
        answer = await ask(*question)
        after()
        return answer

    monkeypatch.setattr(store.lists, "ask", asked)
    found = await JobService(bare_engine(fleet), store, OwnIdentities(store)).nodes(JOB)
    assert found is not None
    [view] = found
    return view


@ON_SQLITE
def test_what_is_stored_meanwhile_is_told_to_be_still_to_come(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(store: Store) -> None:
        await write(store)
        fleet = ended()
        fleet.endings.begin(NODE, JOB, Clock().now())
        over = await seen(monkeypatch, store, fleet, after=lambda: fleet.endings.stored(NODE, JOB))
        assert over["output_pending"] is True

    database.run(scenario)


@ON_SQLITE
def test_what_is_ended_meanwhile_is_told_to_be_still_to_come(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(store: Store) -> None:
        await write(store)
        fleet = ended()
        begun = await seen(
            monkeypatch, store, fleet, before=lambda: fleet.endings.begin(NODE, JOB, Clock().now())
        )
        assert (begun["ending"], begun["output_pending"]) == (True, True)

    database.run(scenario)


@ON_SQLITE
def test_what_is_over_is_told_to_be_so(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(store: Store) -> None:
        await write(store)
        view = await seen(monkeypatch, store, ended())
        assert view == {"node": "a", "state": "aborted"}

    database.run(scenario)


@ON_SQLITE
def test_who_follows_a_job_stays_until_what_its_commands_wrote_is_stored(
    database: Database,
) -> None:
    async def scenario(store: Store) -> None:
        await write(store)
        fleet = ended()
        feeds, log = OutputFeeds(Clock(), fleet, store), OutputLog("live")
        assert feeds.is_over(JOB, log)
        fleet.endings.begin(NODE, JOB, Clock().now())
        assert not feeds.is_over(JOB, log)
        # A log of a job that was over before has what there was, and grows no more.
        kept = await feeds.open(JOB)
        assert kept is not None
        assert feeds.is_over(JOB, kept)
        fleet.endings.stored(NODE, JOB)
        assert feeds.is_over(JOB, log)

    database.run(scenario)
