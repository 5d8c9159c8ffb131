"""Nodes of a Chef Infra Server: what is asked, stored and told, whatever it answers."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from http.client import HTTPMessage
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from pushcli.client.connection import Response
from pushcli.protocol.chef_answers import ChefAway, ChefRefuses
from pushcli_server.chef import nodes
from pushcli_server.chef.client import ChefClient
from pushcli_server.chef.measured import NodeMetrics
from pushcli_server.chef.node_mirror import MAX_READS, Known
from pushcli_server.chef.nodes import ChefNodes
from pushcli_server.store import (
    Store,
    StoreUnavailable,
    chef_nodes,
    mirrored_nodes,
    operations,
    whitelist_reads,
)
from pushcli_server.store.records import NodeObject
from tests.integration.store.conftest import Database

pytestmark = pytest.mark.timeout(60)
ORG = "acme"
HOSTILE = "@hostile@"


class Chef:
    """Stands for the other server: nodes by name, with their normal attributes."""

    def __init__(self) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self.asked: Counter[str] = Counter()
        self.most_rows = 10_000
        """A page of more does not come."""
        self.faults: dict[str, Exception] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.hostile = b"0"
        """Stands where a node has `HOSTILE`."""

    async def ask(
        self, org: str, *parts: str, query: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Response:
        what = "/".join(parts)
        self.asked[what] += 1
        if what in self.faults:
            raise self.faults[what]
        if what == "nodes":
            said: Any = {
                name: f"https://chef/organizations/{org}/nodes/{name}" for name in self.nodes
            }
        elif what == "search/node":
            assert query is not None
            rows = int(query["rows"])
            if rows > self.most_rows:
                raise ChefAway("it is larger than that")
            start = int(query["start"])
            said = {"total": len(self.nodes), "rows": [
                {"data": {"name": name, "push_jobs": self.nodes[name].get("push_jobs")}}
                for name in sorted(self.nodes)[start : start + rows]
            ]}  # fmt: skip
        elif (normal := self.nodes.get(parts[1])) is not None:
            said = {"name": parts[1], "normal": normal}
        else:
            return Response(404, HTTPMessage(), b'{"error":["node not found"]}')
        content = json.dumps(said).encode().replace(json.dumps(HOSTILE).encode(), self.hostile)
        if (gate := self.gates.get(what)) is not None:
            # What it said was so when it was asked.
            await gate.wait()
        return Response(200, HTTPMessage(), content)


class World:
    """A server's half."""

    def __init__(self, store: Store, poll: float = 0.0) -> None:
        self.store = store
        self.chef = Chef()
        self.told: list[tuple[str, list[str]]] = []
        self.now = 0.0
        self.metrics = NodeMetrics(CollectorRegistry())
        self.nodes = ChefNodes(
            cast("ChefClient", self.chef), store, poll, self._tell, self.metrics,
            lambda: self.now, lambda: 1e9 + self.now,
        )  # fmt: skip

    def _tell(self, org: str, names: Sequence[str]) -> None:
        self.told.append((org, list(names)))

    async def look(self) -> None:
        """Once, at what is due."""
        self.nodes.meet(ORG)
        [organization] = self.nodes._organizations.values()
        await self.nodes._look(organization)

    async def stored(self) -> dict[str, Known]:
        rows = await self.store.lists.ask(mirrored_nodes.of_organization, ORG)
        return {name: Known(there, shown, digest) for name, there, shown, digest in rows}

    async def entries(self, node: str) -> dict[str, Any] | None:
        found = await self.store.lists.ask(whitelist_reads.of_nodes, ORG, [node], "chef")
        return {e.name: e.value for e in found[0].whitelist.entries} if found else None


def has(**entries: Any) -> dict[str, Any]:
    return {"push_jobs": {"whitelist": entries}}


async def begin(store: Store, **more: Any) -> World:
    await store.write(operations.CreateOrganization(ORG))
    return World(store, **more)


def test_own_node_objects_stay_as_they_were(database: Database) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store)
        own = NodeObject(
            org=ORG, name="n1", normal=json.dumps(has(own="x")), run_list='["role[a]"]'
        )
        await store.write(operations.PutNode(node=own, create=True, created_at=1.0))
        before = await store.lists.ask(chef_nodes.of_nodes, ORG, ["n1"])
        world.chef.nodes = {"n1": has(theirs="y"), "n2": {}}
        await world.look()
        assert await world.entries("n1") == {"theirs": "y"}
        del world.chef.nodes["n1"]
        await world.look()
        assert await world.entries("n1") is None
        assert await store.lists.ask(chef_nodes.of_nodes, ORG, ["n1"]) == before
        [kept] = await store.lists.ask(whitelist_reads.of_nodes, ORG, ["n1"])
        assert [entry.name for entry in kept.whitelist.entries] == ["own"]
        await store.write(operations.DeleteOrganization(ORG))
        assert await world.stored() == {}

    database.run(scenario)


def test_an_agent_hears_that_its_node_is_gone_and_nobody_else_needs_to(database: Database) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store)
        await store.write(operations.KnowClient(ORG, "came"))
        world.chef.nodes = {"came": has(a="x"), "never": has(a="x")}
        await world.look()
        world.chef.nodes.clear()
        await world.look()
        assert (await world.stored()).keys() == {"came"}
        assert await world.nodes.names(ORG) == ([], ["came"])
        sent = await store.lists.ask(
            whitelist_reads.messages_to, ORG, ["came", "never"], (), 1, "chef"
        )
        assert [(name, fields["entries"]) for name, fields in sent] == [("came", [])]

    database.run(scenario)


def test_only_what_changed_is_read_stored_and_told(database: Database) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store)
        world.chef.nodes = {f"n{number:02}": {} for number in range(30)}
        world.chef.nodes["n07"] = has(a="x")
        await world.look()
        assert sorted(name for _, names in world.told for name in names) == sorted(world.chef.nodes)
        assert {what for what in world.chef.asked if what.startswith("nodes/")} == {"nodes/n07"}
        world.told.clear()
        await world.look()
        assert world.told == []
        world.chef.nodes["n08"] = has(b="y")
        await world.look()
        assert world.told == [(ORG, ["n08"])]
        assert await world.entries("n08") == {"b": "y"}
        assert world.metrics.changes.labels(ORG)._value.get() == 31

    database.run(scenario)


def test_after_a_restart_it_is_known_again(database: Database) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store)
        world.chef.nodes = {"n1": has(a="x")}
        await world.look()
        again = World(store)
        assert await again.nodes.names(ORG) == (["n1"], [])
        assert again.chef.asked == {}
        again.chef.nodes = world.chef.nodes
        await again.look()
        assert again.told == []

    database.run(scenario)


def test_another_chef_infra_server_later_says_what_its_own_nodes_have(database: Database) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store)
        world.chef.nodes = {"n1": has(a="x")}
        await world.look()
        await store.write(operations.AllowChef(url="https://chef", at=1.0))
        assert await world.stored() != {}
        await store.write(operations.RefuseChef())
        assert await world.stored() == {}
        assert await World(store).entries("n1") is None

    database.run(scenario)


def test_who_asks_first_waits_for_the_first_look_and_not_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store)
        world.chef.nodes = {"n1": {}}
        asked = asyncio.ensure_future(world.nodes.names(ORG))
        running = asyncio.ensure_future(world.nodes.run())
        assert await asked == (["n1"], [])
        running.cancel()
        other = World(store)
        await store.write(operations.CreateOrganization("other"))
        monkeypatch.setattr(nodes, "FIRST", 0.05)
        assert await other.nodes.names("other") == ([], [])

    database.run(scenario)


def test_an_answer_that_comes_late_replaces_nothing_newer(database: Database) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store)
        world.chef.nodes = {"n1": has(a="old")}
        gate = world.chef.gates["nodes/n1"] = asyncio.Event()
        looking = asyncio.ensure_future(world.look())
        while not world.chef.asked["nodes/n1"]:
            await asyncio.sleep(0.001)
        del world.chef.gates["nodes/n1"]
        world.chef.nodes["n1"] = has(a="new")
        await world.nodes.read(ORG, ["n1"])
        assert await world.entries("n1") == {"a": "new"}
        gate.set()
        await looking
        assert await world.entries("n1") == {"a": "new"}

    database.run(scenario)


def test_a_page_that_comes_late_replaces_nothing_newer(database: Database) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store)
        world.chef.nodes = {"n1": {}}
        gate = world.chef.gates["search/node"] = asyncio.Event()
        looking = asyncio.ensure_future(world.look())
        while not world.chef.asked["search/node"]:
            await asyncio.sleep(0.001)
        world.chef.nodes["n1"] = has(a="new")
        await world.nodes.read(ORG, ["n1"])
        gate.set()
        await looking
        assert await world.entries("n1") == {"a": "new"}

    database.run(scenario)


def test_few_in_a_row_that_fail_do_not_end_the_look(database: Database) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store)
        world.chef.nodes = {f"n{number:02}": has(a="x") for number in range(24)}
        for number in range(24):
            if number % 5:
                world.chef.faults[f"nodes/n{number:02}"] = ChefAway("it failed")
        await world.look()
        assert world.metrics.failures.labels(ORG)._value.get() == 0
        assert (await world.stored()).keys() == {"n00", "n05", "n10", "n15", "n20"}

    database.run(scenario)


def test_a_look_that_fails_keeps_nobody_waiting_for_the_first(database: Database) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store, poll=60.0)
        world.chef.faults["nodes"] = ChefAway("it is away")
        await world.look()
        asked = asyncio.ensure_future(world.nodes.names(ORG))
        async with asyncio.timeout(nodes.FIRST / 2):
            assert await asked == ([], [])

    database.run(scenario)


def test_a_look_that_takes_too_long_is_given_up_and_others_nodes_are_looked_at(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store, poll=60.0)
        for other in ("other", "third"):
            await store.write(operations.CreateOrganization(other))
        world.chef.nodes = {"n1": {}}
        gate = world.chef.gates["nodes"] = asyncio.Event()
        monkeypatch.setattr(nodes, "LOOK", 0.05)
        monkeypatch.setattr(nodes, "FIRST", 60.0)
        running = asyncio.ensure_future(world.nodes.run())
        assert await world.nodes.names(ORG) == ([], [])
        assert world.metrics.failures.labels(ORG)._value.get() == 1
        gate.set()
        monkeypatch.setattr(nodes, "LOOK", 60.0)
        # It sleeps until what it knows is due, or another is met.
        world.now = 3600.0
        world.nodes.meet("third")
        while await world.nodes.names("other") != (["n1"], []):
            await asyncio.sleep(0.01)
        running.cancel()

    database.run(scenario)


def test_pages_that_do_not_come_are_asked_for_in_smaller_ones(database: Database) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store)
        world.chef.nodes = {f"n{number:03}": {} for number in range(250)}
        world.chef.most_rows = 100
        await world.look()
        assert len(await world.stored()) == 250
        # One of 1,000 that did not come, and three of 100; none was read by itself.
        assert world.chef.asked["search/node"] == 4
        assert sum(world.chef.asked.values()) == 5
        await world.look()
        # It is remembered how large they may be.
        assert world.chef.asked["search/node"] == 7

    database.run(scenario)


def test_where_search_does_not_work_nodes_are_read_one_by_one(database: Database) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store)
        world.chef.most_rows = 0
        world.chef.nodes = {"n1": has(a="x"), "n2": {}}
        await world.look()
        assert await world.entries("n1") == {"a": "x"}
        assert await world.entries("n2") == {}
        assert world.metrics.failures.labels(ORG)._value.get() == 0

    database.run(scenario)


def test_one_that_fails_stops_no_other_and_many_in_a_row_end_the_look(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(store: Store) -> None:
        caplog.set_level(logging.INFO)
        world = await begin(store, poll=60.0)
        world.chef.nodes = {f"n{number:02}": has(a="x") for number in range(40)}
        world.chef.faults["nodes/n03"] = ChefAway("it failed")
        await world.look()
        assert len(await world.stored()) == 39
        await world.look()
        assert caplog.text.count("n03: it failed") == 1
        assert world.metrics.failures.labels(ORG)._value.get() == 0
        world.chef.nodes = {name: has(a="y") for name in world.chef.nodes}
        for name in world.chef.nodes:
            world.chef.faults[f"nodes/{name}"] = ChefAway("it is away")
        before = sum(world.chef.asked.values())
        await world.look()
        assert world.metrics.failures.labels(ORG)._value.get() == 1
        assert sum(world.chef.asked.values()) - before < 30
        assert await world.entries("n01") == {"a": "x"}
        assert caplog.text.count("it is away") == caplog.text.count("cannot be looked at") == 1
        [organization] = world.nodes._organizations.values()
        assert organization.due == 60.0
        world.chef.faults.clear()
        await world.look()
        assert await world.entries("n01") == {"a": "y"}
        assert caplog.text.count("are looked at again") == 1

    database.run(scenario)


def test_what_one_look_leaves_the_next_takes_soon(database: Database) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store, poll=60.0)
        world.chef.nodes = {f"n{number:04}": has(a="x") for number in range(MAX_READS + 7)}
        await world.look()
        assert len(await world.stored()) == MAX_READS
        [organization] = world.nodes._organizations.values()
        assert organization.due == 1.0
        await world.look()
        assert len(await world.stored()) == MAX_READS + 7
        assert organization.due == 60.0

    database.run(scenario)


def test_what_could_not_be_stored_is_not_known(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store)
        world.chef.nodes = {"n1": has(a="x")}
        with monkeypatch.context() as broken:

            async def away(*_: Any) -> None:
                raise StoreUnavailable("it is away")

            broken.setattr(store, "write", away)
            await world.look()
        assert world.told == []
        await world.look()
        # More than once: it may have been stored.
        assert {(org, *names) for org, names in world.told} == {(ORG, "n1")}
        assert await world.entries("n1") == {"a": "x"}

    database.run(scenario)


def test_who_looks_at_a_node_has_it_read_but_not_again_and_again(database: Database) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store)
        world.chef.nodes = {"n1": has(a="x")}
        for _ in range(3):
            await world.nodes.refresh(ORG, ["n1"])
        assert world.chef.asked["nodes/n1"] == 1
        assert await world.entries("n1") == {"a": "x"}
        world.now += nodes.FRESH
        world.chef.faults["nodes/n1"] = ChefAway("it is away")
        await world.nodes.refresh(ORG, ["n1"])
        assert world.chef.asked["nodes/n1"] == 2
        assert await world.entries("n1") == {"a": "x"}

    database.run(scenario)


def test_what_is_stored_is_told_also_when_whoever_asked_went_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store)
        world.chef.nodes = {"n1": has(a="x")}
        await world.look()
        world.told.clear()
        world.chef.nodes = {"n1": has(a="y")}
        write, begun = store.write, asyncio.Event()

        async def slowly(*ops: operations.Operation) -> None:
            await write(*ops)
            begun.set()
            await asyncio.sleep(0.05)

        monkeypatch.setattr(store, "write", slowly)
        asking = asyncio.ensure_future(world.nodes.refresh(ORG, ["n1"]))
        await begun.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await world.look()
        assert await world.entries("n1") == {"a": "y"}
        assert world.told == [(ORG, ["n1"])]

    database.run(scenario)


def test_what_may_have_been_stored_is_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store)
        write = store.write

        async def unanswered(*ops: operations.Operation) -> None:
            await write(*ops)
            raise StoreUnavailable("it went away before it answered")

        world.chef.nodes = {"n1": has(a="x")}
        with monkeypatch.context() as broken:
            broken.setattr(store, "write", unanswered)
            await world.look()
        await world.look()
        assert await world.entries("n1") == {"a": "x"}
        assert (ORG, ["n1"]) in world.told

    database.run(scenario)


def test_pages_grow_again_after_it_was_away_for_a_moment(database: Database) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store)
        world.chef.nodes = {f"n{number:03}": {} for number in range(250)}
        world.chef.most_rows = 1
        await world.look()
        world.chef.most_rows = 10_000
        for _ in range(25):
            await world.look()
        before = world.chef.asked["search/node"]
        await world.look()
        assert world.chef.asked["search/node"] - before == 1

    database.run(scenario)


def test_an_announced_node_that_cannot_be_read_keeps_no_other_from_it(database: Database) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store)
        names = [f"n{number:02}" for number in range(60)]
        world.chef.nodes = {name: has(a="x") for name in names}
        world.chef.nodes["n03"] = has(a="x" * 1_000_001)
        with pytest.raises(ChefRefuses, match="n03: its push_jobs"):
            await world.nodes.read(ORG, names)
        assert len(await world.stored()) == 59
        # Where it is away nobody waits for all.
        world.chef.faults = {f"nodes/{name}": ChefAway("it is away") for name in names}
        before = sum(world.chef.asked.values())
        with pytest.raises(ChefAway, match="n00: it is away"):
            await world.nodes.read(ORG, names)
        assert sum(world.chef.asked.values()) - before < 30

    database.run(scenario)


def test_many_that_cannot_be_read_keep_no_edit_from_agents(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store, poll=60.0)
        world.chef.nodes = {"z": has(a="x")}
        await world.look()
        for number in range(MAX_READS + 7):
            world.chef.nodes[f"n{number:04}"] = has(a="x")
            world.chef.faults[f"nodes/n{number:04}"] = ChefRefuses("it refuses our requests")
        await world.look()
        await world.look()
        world.chef.nodes["z"] = has(a="y")
        await world.look()
        assert await world.entries("z") == {"a": "y"}
        [organization] = world.nodes._organizations.values()
        # Nor is it asked for them without a pause.
        assert organization.due == 60.0
        said = len(caplog.records)
        assert said <= MAX_READS + 10
        await world.look()
        assert len(caplog.records) == said
        # One that can be read at last is.
        world.chef.faults.clear()
        for _ in range(3):
            await world.look()
        assert len(await world.stored()) == MAX_READS + 8

    database.run(scenario)


@pytest.mark.parametrize("hostile", [b'"\\ud800"', b"[" * 5000 + b"]" * 5000])
def test_a_row_that_cannot_be_read_keeps_no_edit_of_others_from_agents(
    database: Database, hostile: bytes
) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store, poll=60.0)
        nodes = {f"n{number:04}": has(a="x") for number in range(MAX_READS)}
        world.chef.nodes = {**nodes, "n0500": {"push_jobs": HOSTILE}}
        world.chef.hostile = hostile
        await world.look()
        assert len(await world.stored()) == MAX_READS - 1
        world.chef.asked.clear()
        world.chef.nodes["n0999"] = has(a="y")
        await world.look()
        assert await world.entries("n0999") == {"a": "y"}
        read = [what for what in world.chef.asked if what.startswith("nodes/")]
        assert len(read) < 20
        assert world.chef.asked["search/node"] < 60

    database.run(scenario)


def test_names_that_no_node_has_are_not_kept_for_ever_where_nobody_looks(
    database: Database,
) -> None:
    async def scenario(store: Store) -> None:
        world = await begin(store, poll=0.0)
        world.chef.nodes = {"n1": has(a="x")}
        await world.look()
        missing = [f"no{number}" for number in range(50)]
        assert await world.nodes.read(ORG, ["n1", *missing]) == missing
        [organization] = world.nodes._organizations.values()
        assert set(organization.mirror._asked) == {"n1"}

    database.run(scenario)
