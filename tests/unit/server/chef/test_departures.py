"""Whose connection ends because his client is gone, by whatever the other server says."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from pushcli.protocol.chef_answers import ChefAway, ChefRefuses
from pushcli_server.chef.departures import Departures
from pushcli_server.core.identity import NodeKey
from pushcli_server.store import StoreUnavailable


class Clients:
    """Stands for what Chef says: who is listed, and who has keys."""

    def __init__(self, listed: set[str], keyed: set[str]) -> None:
        self.listed = listed
        self.keyed = keyed
        self.faults: dict[str, Exception] = {}

    async def unknown_clients(self, org: str, wanted: Sequence[str]) -> list[str]:
        if org in self.faults:
            raise self.faults[org]
        return [name for name in wanted if name not in self.listed]

    async def client_keys(self, org: str, name: str) -> list[tuple[str, str]]:
        if name in self.faults:
            raise self.faults[name]
        return [("pem", "salt")] if name in self.keyed else []


def expelled(clients: Clients, *nodes: NodeKey) -> list[NodeKey]:
    gone: list[NodeKey] = []
    asyncio.run(Departures(cast("Any", clients), lambda: nodes, gone.append, 1.0).look())
    return gone


def test_whose_client_is_neither_listed_nor_found_goes() -> None:
    nodes = [NodeKey("acme", name) for name in ("there", "unlisted", "keyless", "gone")]
    clients = Clients({"there", "keyless"}, {"there", "unlisted"})
    assert expelled(clients, *nodes) == [NodeKey("acme", "gone")]


@pytest.mark.parametrize(
    "fault", [ChefAway("away"), ChefRefuses("wrong"), StoreUnavailable("away")]
)
def test_while_one_cannot_be_asked_others_are(fault: Exception) -> None:
    nodes = [NodeKey("broken", "n1"), NodeKey("acme", "n1")]
    clients = Clients(set(), set())
    clients.faults["broken"] = fault
    assert expelled(clients, *nodes) == [NodeKey("acme", "n1")]
    clients.faults["n1"] = fault
    assert expelled(clients, *nodes) == []
