"""How nodes are counted for monitoring."""

import pytest

from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.brake_state import Pause
from pushcli_server.core.identity import NodeKey, Requestor
from pushcli_server.core.node import Phase
from pushcli_server.metrics import node_states
from tests.unit.server.core.fleet_script import A, B, Script


def paused(fleet: Script, node: NodeKey, until: float) -> None:
    pause = Pause(reason="disk", by=Requestor("user", "", "ann"), at=0.0, until=until)
    fleet.tell(on_fleet.PausesStored(node.org, [node.name], pause, 0))


def states(fleet: Script) -> dict[tuple[str, str], int]:
    return dict(node_states(fleet.fleet, fleet.now))


def test_each_node_is_in_one_state() -> None:
    fleet = Script()
    fleet.run(A)
    fleet.bring(B)
    # It is there, and has not said yet that it is ready.
    fleet.configure(NodeKey("acme", "c"), "key of c")
    fleet.hear(NodeKey("acme", "c"))
    assert states(fleet) == {
        ("acme", "busy"): 1, ("acme", "available"): 1, ("acme", "unavailable"): 1,
    }  # fmt: skip


@pytest.mark.parametrize("there", [True, False])
def test_a_paused_node_is_paused_until_then_and_one_that_is_not_there_is_offline(
    there: bool,
) -> None:
    fleet = Script()
    fleet.bring(B)
    paused(fleet, B, until=fleet.now + 1000.0)
    if not there:
        fleet.wait(100.0)
        assert fleet.fleet.nodes[B].phase is Phase.OFFLINE
    assert states(fleet) == {("acme", "paused" if there else "offline"): 1}
    paused(fleet, B, until=fleet.now)
    assert states(fleet) == {("acme", "available" if there else "offline"): 1}
