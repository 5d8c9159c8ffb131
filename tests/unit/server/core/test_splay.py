"""How far apart agents ask for their configuration after a restart of the server."""

import msgspec
import pytest

from pushcli_server.core.fleet_state import Fleet
from pushcli_server.core.identity import NodeKey
from tests.unit.server.core.fleet_script import RULES


def splay(nodes: int, given: float = 0.0) -> float:
    """Of a fleet of so many nodes."""
    fleet = Fleet(rules=msgspec.structs.replace(RULES, reconfigure_splay=given))
    for number in range(nodes):
        fleet.node(NodeKey("acme", f"n{number}"))
    return fleet.reconfigure_splay


def test_few_nodes_ask_within_a_quiet_interval() -> None:
    assert splay(0) == splay(1000) == RULES.patience.quiet_interval


@pytest.mark.parametrize(("nodes", "expected"), [(4000, 20), (10_000, 50)])
def test_many_are_as_far_apart_as_the_server_answers_them(nodes: int, expected: float) -> None:
    assert splay(nodes) == expected


def test_what_is_set_counts_for_any_number() -> None:
    assert splay(0, 7.5) == splay(4000, 7.5) == 7.5
