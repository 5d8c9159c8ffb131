"""Whose keys are looked at, in turns."""

import asyncio
from collections.abc import Collection

import pytest

from pushcli.protocol.chef_answers import ChefAway, ChefRefuses
from pushcli_server.core.identity import NodeKey
from pushcli_server.revocations import Revocations
from pushcli_server.store import StoreUnavailable

AT_ONCE = 100
NODES = [NodeKey("acme", f"n{number}") for number in range(AT_ONCE + 50)]


def looked_at(
    looks: int, fault: Exception | None = None, failing: Collection[int] = (3,)
) -> list[list[NodeKey]]:
    """At whom, in each look; one of them cannot be asked for."""
    found: list[list[NodeKey]] = []

    async def look_at(node: NodeKey) -> None:
        found[-1].append(node)
        if fault is not None and NODES.index(node) in failing:
            raise fault

    async def scenario() -> None:
        revocations = Revocations(lambda: NODES, look_at, 1.0, AT_ONCE)
        for _ in range(looks):
            found.append([])
            await revocations.look()

    asyncio.run(scenario())
    return found


def test_everybody_is_looked_at_before_anybody_again() -> None:
    assert looked_at(3) == [NODES[:AT_ONCE], NODES[AT_ONCE:], NODES[:AT_ONCE]]


@pytest.mark.parametrize(
    "fault", [ChefAway("away"), ChefRefuses("wrong"), StoreUnavailable("away")]
)
def test_one_that_cannot_be_asked_for_keeps_no_other(fault: Exception) -> None:
    assert looked_at(1, fault) == [NODES[:AT_ONCE]]


def test_many_in_a_row_end_the_look_and_the_next_goes_on_behind_them() -> None:
    fault = ChefAway("away")
    assert looked_at(2, fault, range(3, 8)) == [NODES[:8], NODES[8 : 8 + AT_ONCE]]
    assert looked_at(1, fault, [*range(4), *range(5, 9)]) == [NODES[:AT_ONCE]]
