"""Config requests whose signature came before: the node's own, or a stranger's who read it."""

from typing import Any

import pytest

from pushcli.protocol import extensions, messages
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.admissions import BESIDE_FOR, KEYS_BESIDE, KeyOfAnotherNode
from pushcli_server.core.fleet_nodes import ClientGone
from pushcli_server.core.states import NodeState
from tests.unit.server.core.fleet_script import JOB, RULES, A, B, Script, of

OWN = "key of a in acme"


def served() -> Script:
    """A node at work."""
    fleet = Script()
    fleet.run(A)
    return fleet


def state_of(fleet: Script) -> tuple[Any, ...]:
    node = fleet.fleet.nodes[A]
    return (
        node.curve_key, node.previous_curve_key, node.configured_at, node.extensions,
        node.phase, node.peer, node.adopting, fleet.state(A),
    )  # fmt: skip


def test_a_stranger_with_a_captured_request_changes_nothing() -> None:
    fleet = served()
    before = state_of(fleet)
    effects = fleet.configure(A, "thief's", repeated=True, offered=frozenset())
    effects += fleet.configure(A, OWN, repeated=True, offered=frozenset(), adopts=frozenset({"x"}))
    assert effects == []
    assert state_of(fleet) == before
    assert fleet.fleet.admits(OWN, fleet.now)


def test_however_often_he_asks_the_nodes_own_keys_stay() -> None:
    fleet = served()
    keys = [f"thief's {number}" for number in range(50)]
    for key in keys:
        fleet.configure(A, key, repeated=True)
    assert fleet.fleet.admits(OWN, fleet.now)
    assert [key for key in keys if fleet.fleet.admits(key, fleet.now)] == keys[-KEYS_BESIDE:]


def test_his_key_lets_him_connect_for_a_short_time_only() -> None:
    fleet = served()
    fleet.configure(A, "thief's", repeated=True)
    assert fleet.fleet.admits("thief's", fleet.now + BESIDE_FOR - 1)
    assert not fleet.fleet.admits("thief's", fleet.now + BESIDE_FOR), "though the node is there"


def test_he_cannot_claim_another_nodes_key() -> None:
    fleet = served()
    fleet.bring(B)
    with pytest.raises(KeyOfAnotherNode):
        fleet.configure(A, "key of b in acme", repeated=True)


def test_nor_keep_a_key_from_the_node_that_comes_with_it_later() -> None:
    fleet = served()
    fleet.configure(A, "key of b in acme", repeated=True)
    fleet.bring(B)
    assert fleet.fleet.admissions.owner("key of b in acme") == B
    fleet.tell(on_fleet.ClientDeleted(A))
    assert fleet.fleet.admits("key of b in acme", fleet.now)


def test_the_node_that_comes_with_two_keys_in_one_second_is_served_under_the_second() -> None:
    """The session key signs its message: no stranger has that."""
    fleet = Script()
    fleet.configure(A, "first", offered=frozenset())
    fleet.configure(A, "second", repeated=True, offered=frozenset({extensions.RESULTS}))
    effects = fleet.hear(A, curve_key="second", incarnation_id="i2", peer=b"p2")
    node = fleet.fleet.nodes[A]
    assert (node.curve_key, node.extensions) == ("second", {extensions.RESULTS})
    assert of(on_fleet.SaveNode, effects)[0].node is node
    fleet.hear(A, messages.Aborted, curve_key="second", incarnation_id="i2", peer=b"p2")
    assert fleet.fleet.why_unavailable(A, fleet.now) is None
    fleet.keep_alive(BESIDE_FOR + 1, A, curve_key="second", incarnation_id="i2", peer=b"p2")
    assert fleet.fleet.admits("second", fleet.now)


def test_a_restart_that_the_session_key_proves_ends_what_the_run_before_it_did() -> None:
    fleet = served()
    fleet.configure(A, "second", repeated=True)
    assert fleet.state(A) is NodeState.RUNNING
    fleet.hear(A, curve_key="second", incarnation_id="i2", peer=b"p2")
    assert fleet.state(A) is NodeState.CRASHED


def test_one_that_adopts_its_jobs_keeps_them() -> None:
    fleet = served()
    fleet.configure(A, "second", repeated=True, adopts=frozenset({JOB.id}))
    fleet.hear(
        A, curve_key="second", incarnation_id="i2", peer=b"p2", job_state="running", job_id=JOB.id
    )
    assert fleet.state(A) is NodeState.RUNNING


def test_a_deleted_client_has_no_key_beside_its_own_either() -> None:
    fleet = served()
    fleet.configure(A, "second", repeated=True)
    fleet.tell(on_fleet.ClientDeleted(A))
    assert not fleet.fleet.admits("second", fleet.now)
    assert fleet.fleet.admissions.owner("second") is None


def test_a_repeat_from_before_the_deletion_admits_nobody() -> None:
    fleet = served()
    request = on_fleet.ConfigurationRequested(
        node=A, curve_key="k", offered=extensions.ALL, adopts=frozenset(), deletions=0,
        repeated=True,
    )  # fmt: skip
    fleet.tell(on_fleet.ClientDeleted(A))
    with pytest.raises(ClientGone):
        fleet.tell(request)


@pytest.mark.parametrize("back", [240.0, 86_400.0])
def test_a_node_whose_clock_was_set_back_is_served(back: float) -> None:
    """What a request says of the time decides nothing here: its signature is what counts."""
    fleet = served()
    fleet.now -= back
    fleet.configure(A, "key 2")
    assert fleet.fleet.admits("key 2", fleet.now)


def test_the_key_under_which_messages_came_outlives_those_under_which_none_did() -> None:
    fleet = Script()
    fleet.bring(A)
    for number in range(3):
        fleet.configure(A, f"never used {number}")
    node = fleet.fleet.nodes[A]
    assert (node.curve_key, node.previous_curve_key) == ("never used 2", OWN)
    fleet.hear(A)
    fleet.configure(A, "newest")
    assert node.previous_curve_key == "never used 2"


def test_saved_keys_hold_for_the_rest_of_their_time_by_the_servers_clock() -> None:
    fleet = Script()
    fleet.configure(A, "own")
    assert fleet.fleet.nodes[A].configured_at == fleet.now
    assert not fleet.fleet.admits("own", fleet.now + RULES.lifetime)
