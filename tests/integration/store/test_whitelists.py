"""Whitelists in the nodes' attributes, on both databases."""

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import text

from pushcli_server.core import whitelist as core
from pushcli_server.store import CannotApply, Store, operations, whitelist_reads
from pushcli_server.store.database import make_engine
from pushcli_server.store.errors import Outdated, UnknownNodes, WhitelistConflict
from tests.integration.store.conftest import Database
from tests.integration.store.writing import ORGS
from tests.support.editors import old

pytestmark = pytest.mark.timeout(60)
LATEST = 1000
NODES = [f"web{number:02}" for number in range(1, 4)]


def enroll(*names: str) -> list[operations.CreateClient]:
    return [
        operations.CreateClient(org="acme", name=name, public_key="pem", enrolls=True)
        for name in names
    ]


def edit(name: str, value: Any, version: int, *nodes: str) -> operations.EditWhitelists:
    record = {"signer": "ann", "version": version, "removed": value is None}
    return operations.EditWhitelists(
        org="acme",
        changes={node: {name: (value, record)} for node in nodes},
        latest=LATEST,
    )


def by_hand(database: Database, node: str, level: str, value: Any) -> None:
    engine = make_engine(database.url)
    with engine.begin() as connection:
        statement = text(f'UPDATE nodes SET "{level}" = :value WHERE name = :node')
        connection.execute(statement, {"value": json.dumps(value), "node": node})
    engine.dispose()


async def entries(store: Store, node: str) -> dict[str, core.AttributeEntry]:
    [found] = await store.ask(whitelist_reads.of_nodes, "acme", [node])
    return {entry.name: entry for entry in found.whitelist.entries}


def test_an_edit_is_on_all_nodes_at_once_with_its_signature(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, *enroll(*NODES, "db01"))
        await store.write(edit("uptime", "uptime", 5, *NODES))
        for node in NODES:
            entry = (await entries(store, node))["uptime"]
            assert (entry.value, entry.level, entry.record["version"]) == ("uptime", "normal", 5)
        assert await entries(store, "db01") == {}
        assert [
            one.node for one in await store.ask(whitelist_reads.of_nodes, "acme", ["nobody"])
        ] == []

    database.run(scenario)


def test_an_unknown_node_refuses_the_whole_edit(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, *enroll(*NODES))
        with pytest.raises(UnknownNodes, match="no such node: db01, db02"):
            await store.write(edit("uptime", "uptime", 5, *NODES, "db02", "db01"))
        assert await entries(store, NODES[0]) == {}

    database.run(scenario)


def test_a_removed_entry_leaves_its_signature(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, *enroll(*NODES))
        await store.write(edit("uptime", "uptime", 5, *NODES))
        await store.write(edit("uptime", None, 6, NODES[0]))
        [found] = await store.ask(whitelist_reads.of_nodes, "acme", [NODES[0]])
        assert found.whitelist.entries == []
        assert found.whitelist.removed["uptime"]["version"] == 6
        with pytest.raises(WhitelistConflict, match="no entry 'uptime'"):
            await store.write(edit("uptime", None, 7, NODES[0]))
        # And it can be set again, with a version above that of its removal.
        with pytest.raises(Outdated):
            await store.write(edit("uptime", "uptime", 6, NODES[0]))
        await store.write(edit("uptime", "uptime", 8, NODES[0]))

    database.run(scenario)


def test_a_version_that_does_not_rise_is_refused_and_told(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, *enroll(*NODES))
        await store.write(edit("uptime", "uptime", 5, *NODES))
        with pytest.raises(Outdated) as caught:
            await store.write(edit("uptime", "uptime -p", 5, *NODES))
        assert caught.value.version == 5

    database.run(scenario)


def test_what_another_level_says_cannot_be_changed_here(database: Database) -> None:
    async def make(store: Store) -> None:
        await store.write(*ORGS, *enroll(*NODES))

    database.run(make)
    by_hand(database, "web01", "override", {"push_jobs": {"whitelist": {"uptime": "w"}}})
    by_hand(database, "web02", "default", {"push_jobs": {"whitelist": {"uptime": "w"}}})

    async def scenario(store: Store) -> None:
        assert (await entries(store, "web01"))["uptime"].level == "override"
        with pytest.raises(WhitelistConflict, match="level override of node web01"):
            await store.write(edit("uptime", "uptime", 5, "web01"))
        with pytest.raises(WhitelistConflict, match="level default of node web02"):
            await store.write(edit("uptime", None, 5, "web02"))
        await store.write(edit("uptime", "uptime", 5, "web02"))
        assert (await entries(store, "web02"))["uptime"].value == "uptime"

    database.run(scenario)


def test_an_entry_that_was_edited_by_hand_keeps_no_proof(database: Database) -> None:
    async def make(store: Store) -> None:
        await store.write(*ORGS, *enroll("web01"))
        await store.write(edit("chef", {"command_line": "chef-client"}, 5, "web01"))

    database.run(make)
    by_hand(database, "web01", "default", {"push_jobs": {"whitelist": {"chef": {"lock": True}}}})

    async def scenario(store: Store) -> None:
        # Merged as Chef does it: nobody signed the result.
        entry = (await entries(store, "web01"))["chef"]
        assert entry.value == {"command_line": "chef-client", "lock": True}
        assert entry.record is None

    database.run(scenario)


@pytest.mark.parametrize("normal", [[], "x", {"push_jobs": 3}, {"push_jobs": {"whitelist": []}}])
def test_attributes_of_another_shape_hold_no_whitelist(database: Database, normal: Any) -> None:
    async def make(store: Store) -> None:
        await store.write(*ORGS, *enroll("web01"))

    database.run(make)
    by_hand(database, "web01", "normal", normal)

    async def scenario(store: Store) -> None:
        assert await entries(store, "web01") == {}
        await store.write(edit("uptime", "uptime", 5, "web01"))
        assert (await entries(store, "web01"))["uptime"].value == "uptime"

    database.run(scenario)


def test_a_whitelist_that_fits_no_message_is_refused(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, *enroll("web01"))
        for number in range(12):
            await store.write(edit(f"n{number}", "x" * 16_000, 5, "web01"))
        with pytest.raises(WhitelistConflict, match="over 200000"):
            await store.write(edit("n12", "x" * 16_000, 5, "web01"))

    database.run(scenario)


def test_edits_at_once_lose_nothing(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, *enroll(*NODES))
        writes = [store.write(edit(f"n{number}", "x", 5, *NODES)) for number in range(30)]
        await asyncio.gather(*writes)
        for node in NODES:
            assert len(await entries(store, node)) == 30

    database.run(scenario)


def test_the_message_to_a_node_has_a_digest_of_all_that_it_says(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, *enroll(*NODES))
        [(_, before)] = await store.ask(whitelist_reads.messages_to, "acme", ["web01"], (), LATEST)
        await store.write(edit("uptime", "uptime", 5, "web01"))
        [(_, after)] = await store.ask(whitelist_reads.messages_to, "acme", ["web01"], (), LATEST)
        await store.write(
            operations.SaveEditor(
                org="acme",
                key="SHA256:x",
                version=1,
                statement=json.dumps(old("ann", "bob", 5).raw),
                latest=LATEST,
            )
        )
        [(_, vouched)] = await store.ask(whitelist_reads.messages_to, "acme", ["web01"], (), LATEST)
        assert len({before["digest"], after["digest"], vouched["digest"]}) == 3
        assert len(after["entries"]) == 1
        assert vouched["left_out"] == 0

    database.run(scenario)


def test_a_stored_version_of_the_future_is_no_newer_one(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS, *enroll("web01"))
        await store.write(edit("uptime", "stolen", 2**62, "web01"))
        await store.write(edit("uptime", "uptime", 5, "web01"))
        assert (await entries(store, "web01"))["uptime"].value == "uptime"
        with pytest.raises(CannotApply):
            await store.write(edit("uptime", "x", 5, "web01"))

    database.run(scenario)
