"""What agents report while a whitelist is read that changes meanwhile."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import zmq
from sqlalchemy import text

from pushcli.protocol import extensions, messages
from pushcli.whitelist.statements import Change
from pushcli_server import whitelist_push
from pushcli_server.channel.command_channel import CommandChannel
from pushcli_server.channel.crowd import Limits
from pushcli_server.clock import Clock
from pushcli_server.core.fleet_state import Fleet, Rules
from pushcli_server.core.identity import NodeKey
from pushcli_server.core.node import Node, Patience
from pushcli_server.outbox import Outbox
from pushcli_server.store import Store, operations, whitelist_reads
from pushcli_server.store.database import make_engine
from pushcli_server.whitelist_push import WhitelistPush
from tests.integration.store.conftest import ON_SQLITE, Database
from tests.integration.store.writing import ORGS
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(60)
LATEST = 1000
LATE = "its agent has not confirmed it yet"
FULL = "cannot save the server's whitelist in FILE: No space left on device"
TURNS = 12
"""Of the event loop, in one of which the first edit's whitelist is read and not sent yet."""


def edit(name: str, version: int, node: str) -> operations.EditWhitelists:
    record = {"signer": "ann", "version": version}
    changes = {node: {name: ("true", record)}}
    return operations.EditWhitelists(org="acme", changes=changes, latest=LATEST)


def commit(database: Database, store: Store, change: operations.Operation, word: str) -> None:
    """Commit while the event loop stands still: whatever was read waits for it."""
    # What was asked for before is read by then, or the turn that it takes is another one.
    time.sleep(0.05)
    store.submit(change)
    engine = make_engine(database.url)

    def there() -> bool:
        with engine.begin() as connection:
            return word in "".join(connection.execute(text("SELECT normal FROM nodes")).scalars())

    until(there, "it is committed")
    engine.dispose()


@contextmanager
def connected() -> Iterator[tuple[Fleet, Outbox]]:
    """A fleet, and a channel to it on which nobody listens."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    fleet = Fleet(Rules(), "run")
    channel = CommandChannel(
        context, lambda _: None, lambda _: "", Limits(9, 9, 9), lambda _: 10**6, 10.0, lambda: True
    )  # fmt: skip
    try:
        yield fleet, Outbox(fleet, channel)
    finally:
        channel.close()
        context.term()


def report(node: str, digest: str, error: str | None = None) -> messages.WhitelistReport:
    return messages.WhitelistReport(
        node=node, org="acme", incarnation_id="1", client="test", sequence=1, timestamp="",
        digest=digest, error=error, entries=[],
    )  # fmt: skip


async def join(fleet: Fleet, store: Store, node: str) -> NodeKey:
    """Have this node connected, with an edit of its whitelist."""
    key = NodeKey("acme", node)
    fleet.nodes[key] = Node(
        key=key, patience=Patience(), peer=b"peer", extensions=frozenset({extensions.WHITELIST})
    )  # fmt: skip
    client = operations.CreateClient(org="acme", name=node, public_key="pem", enrolls=True)
    await store.write(client, edit("first", 5, node))
    return key


@ON_SQLITE
def test_no_edit_is_confirmed_by_a_report_that_does_not_rest_on_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whitelist_push, "SETTLE", 0.2)

    async def reported(
        store: Store, fleet: Fleet, push: WhitelistPush, node: str, turns: int
    ) -> dict[str, str]:
        """Two edits, the second so many turns of the loop after the first; the agent has heard of
        the first one only.
        """
        key = await join(fleet, store, node)
        [(_, first)] = await store.lists.ask(
            whitelist_reads.messages_to, "acme", [node], set(), LATEST
        )
        push.changed("acme", [node])
        for _ in range(turns):
            await asyncio.sleep(0)
        word = f"second-{node}"
        commit(database, store, edit(word, 6, node), word)
        push.changed("acme", [node])
        settled = asyncio.create_task(push.settled("acme", [node], [Change(word, "true")]))
        while not settled.done():
            push.record(key, report(node, first["digest"]))
            await asyncio.sleep(0.01)
        return (await settled).not_in_force

    async def scenario(store: Store) -> None:
        with connected() as (fleet, outbox):
            push = WhitelistPush(fleet, outbox, Clock(), store)
            sending = asyncio.create_task(push.run())
            await store.write(*ORGS)
            for turns in range(TURNS):
                node = f"web{turns:02}"
                said = await reported(store, fleet, push, node, turns)
                assert said == {node: LATE}, turns
            sending.cancel()

    database.run(scenario)


@ON_SQLITE
@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([FULL], [], LATE),
        ([], [FULL], FULL),
        ([], [FULL, None], LATE),
        ([], [None, FULL], FULL),
    ],
    ids=["of the edit before", "of this one", "got over", "come up"],
)
def test_an_agents_error_is_that_of_an_edit_if_it_came_since_it_went_out_and_still_holds(
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    before: list[str | None],
    after: list[str | None],
    said: str,
) -> None:
    monkeypatch.setattr(whitelist_push, "SETTLE", 0.5)
    caplog.set_level(logging.DEBUG, logger="pushcli_server.whitelist_push")

    async def scenario(store: Store) -> None:
        with connected() as (fleet, outbox):
            push = WhitelistPush(fleet, outbox, Clock(), store)
            await store.write(*ORGS)
            key = await join(fleet, store, "web01")
            push.changed("acme", ["web01"])
            settled = asyncio.create_task(
                push.settled("acme", ["web01"], [Change("first", "true")])
            )
            await asyncio.sleep(0)
            for error in before:
                push.record(key, report("web01", "older", error))
            sending = asyncio.create_task(push.run())
            while "the whitelist of web01 goes out" not in caplog.text:
                await asyncio.sleep(0.005)
            for error in after:
                push.record(key, report("web01", "older", error))
            assert (await settled).not_in_force == {"web01": said}
            sending.cancel()

    database.run(scenario)
