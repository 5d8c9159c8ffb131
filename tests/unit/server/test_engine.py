"""The engine's table has a way to carry out whatever the fleet can ask for."""

import asyncio
import time
from pathlib import Path
from typing import Any, get_args

import pytest

from pushcli.protocol import messages
from pushcli.protocol.timestamps import format_rfc1123
from pushcli_server import engine as engine_module
from pushcli_server.clock import Clock
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.fleet_state import Fleet, Rules
from pushcli_server.core.identity import NodeKey
from pushcli_server.core.node import Patience, Phase
from pushcli_server.engine import Engine
from pushcli_server.feeds import Feeds
from pushcli_server.release import Releases
from pushcli_server.store import Store, operations
from pushcli_server.store import store as store_module
from pushcli_server.timers import Timers
from tests.support.bare_engine import bare_engine
from tests.support.waiting import patient

NODE = NodeKey("acme", "node1")
COMPLAINT = "Send'> failed; what does not rest on it goes on"


def test_there_is_a_row_for_every_effect_and_for_nothing_else() -> None:
    engine = bare_engine(Fleet(Rules()))
    assert engine._carry_out.keys() == set(get_args(on_fleet.Effect))


def test_an_effect_that_fails_costs_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nothing: Any = None
    place = f"sqlite:///{tmp_path}/db", tmp_path / "blobs"
    Store.create(*place)

    async def scenario() -> None:
        store, releases, clock = Store.open(*place), Releases(), Clock()
        store.start(asyncio.get_running_loop(), releases.committed)
        timers = Timers(clock, lambda _: None)
        engine = Engine(
            Fleet(Rules()), clock=clock, store=store, releases=releases,
            timers=timers, feeds=Feeds(clock, store.submit, {}), spawn=nothing,
            # Whoever sends, or has a note taken, finds a fault of ours.
            channel=nothing, notes=nothing, outputs=nothing,
        )  # fmt: skip
        try:
            message = messages.Heartbeat(
                node=NODE.name, org=NODE.org, client="vm", protocol_version="2.0", sequence=1,
                timestamp=format_rfc1123(time.time()), incarnation_id="i", job_state="idle",
            )  # fmt: skip
            engine.receive(NODE, b"peer", "", message, "key")
            node = engine.fleet.nodes[NODE]
            assert node.phase is Phase.REHAB
            # It is asked to abort, in vain, and asked again when that is due.
            async with asyncio.timeout(patient(10)):
                while caplog.text.count(COMPLAINT) < 2:
                    await asyncio.sleep(0.01)
        finally:
            timers.close()
            await store.close()

    asyncio.run(scenario())


def test_output_leaves_the_room_before_the_database_to_what_cannot_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing: Any = None
    place = f"sqlite:///{tmp_path}/db", tmp_path / "blobs"
    Store.create(*place)
    monkeypatch.setattr(store_module, "MOST_BYTES", 1)
    fields: dict[str, Any] = {
        "node": NODE.name, "org": NODE.org, "sequence": 1, "incarnation_id": "i",
        "timestamp": format_rfc1123(time.time()),
    }  # fmt: skip

    async def scenario() -> None:
        store, releases, clock = Store.open(*place), Releases(), Clock()
        store.start(asyncio.get_running_loop(), releases.committed)
        timers = Timers(clock, lambda _: None)
        engine = Engine(
            Fleet(Rules()), clock=clock, store=store, releases=releases, timers=timers,
            feeds=Feeds(clock, store.submit, {}), spawn=nothing, channel=nothing, notes=nothing,
            outputs=nothing,
        )  # fmt: skip
        try:
            # It waits for as long as the event loop is not given its turn.
            store.submit(operations.AppendOutput(store.incoming("x"), 0, b"x"))
            chunk = messages.Output(**fields, job_id="1" * 32, channel="stdout", offset=0, data="")
            engine.receive(NODE, b"peer", "", chunk, "key")
            assert NODE not in engine.fleet.nodes
            vote = messages.NackCommit(**fields, job_id="1" * 32)
            engine.receive(NODE, b"peer", "", vote, "key")
            assert NODE in engine.fleet.nodes
        finally:
            timers.close()
            await store.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("ends", [True, False])
def test_nobody_is_called_silent_while_messages_wait_to_be_read_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, ends: bool
) -> None:
    nothing: Any = None
    place = f"sqlite:///{tmp_path}/db", tmp_path / "blobs"
    Store.create(*place)
    monkeypatch.setattr(engine_module, "AGAIN", 0.02)
    behind = True
    looked = asyncio.Event()

    def is_behind() -> bool:
        looked.set()
        return behind

    async def scenario() -> None:
        nonlocal behind
        store, releases, clock = Store.open(*place), Releases(), Clock()
        store.start(asyncio.get_running_loop(), releases.committed)
        timers = Timers(clock, lambda _: None)
        patience = Patience(interval=0.05, offline_threshold=1)
        engine = Engine(
            Fleet(Rules(patience=patience)), clock=clock, store=store, releases=releases,
            timers=timers, feeds=Feeds(clock, store.submit, {}), spawn=nothing, channel=nothing,
            notes=nothing, outputs=nothing, is_behind=is_behind,
        )  # fmt: skip
        node = engine.fleet.node(NODE)
        node.phase, node.incarnation, node.peer = Phase.ONLINE, "i", b"peer"
        try:
            message = messages.Heartbeat(
                node=NODE.name, org=NODE.org, client="vm", protocol_version="2.0", sequence=1,
                timestamp=format_rfc1123(time.time()), incarnation_id="i", job_state="idle",
            )  # fmt: skip
            engine.receive(NODE, b"peer", "", message, "key")
            async with asyncio.timeout(patient(10)):
                for _ in range(3):
                    looked.clear()
                    await looked.wait()
                assert clock.now() > node.offline_at
                assert node.phase is Phase.ONLINE
                if ends:
                    behind = False
                else:
                    # There is one who always sends more than is read.
                    monkeypatch.setattr(engine_module, "LONGEST_BEHIND", 0.2)
                while node.phase is Phase.ONLINE:
                    await asyncio.sleep(0.01)
        finally:
            timers.close()
            await store.close()

    asyncio.run(scenario())
