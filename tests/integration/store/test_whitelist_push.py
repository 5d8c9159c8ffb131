"""What agents report while a whitelist is read that changes meanwhile."""

import asyncio
import time

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


@ON_SQLITE
def test_no_edit_is_confirmed_by_a_report_that_does_not_rest_on_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whitelist_push, "SETTLE", 0.2)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    fleet = Fleet(Rules(), "run")
    channel = CommandChannel(
        context, lambda _: None, lambda _: "", Limits(9, 9, 9), lambda _: 10**6, 10.0, lambda: True
    )  # fmt: skip

    async def reported(store: Store, push: WhitelistPush, node: str, turns: int) -> dict[str, str]:
        """Two edits, the second so many turns of the loop after the first; the agent has heard of
        the first one only.
        """
        key = NodeKey("acme", node)
        fleet.nodes[key] = Node(
            key=key, patience=Patience(), peer=b"peer", extensions=frozenset({extensions.WHITELIST})
        )  # fmt: skip
        client = operations.CreateClient(org="acme", name=node, public_key="pem", enrolls=True)
        await store.write(client, edit("first", 5, node))
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
            push.record(
                key,
                messages.WhitelistReport(
                    node=node, org="acme", incarnation_id="1", client="test", sequence=1,
                    timestamp="", digest=first["digest"], entries=[],
                ),
            )  # fmt: skip
            await asyncio.sleep(0.01)
        return (await settled).not_in_force

    async def scenario(store: Store) -> None:
        push = WhitelistPush(fleet, Outbox(fleet, channel), Clock(), store)
        sending = asyncio.create_task(push.run())
        await store.write(*ORGS)
        for turns in range(TURNS):
            node = f"web{turns:02}"
            said = await reported(store, push, node, turns)
            assert said == {node: "its agent has not confirmed it yet"}, turns
        sending.cancel()

    try:
        database.run(scenario)
    finally:
        channel.close()
        context.term()
