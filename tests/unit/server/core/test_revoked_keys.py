"""A key of a node's client is revoked: whoever was admitted by it is so no longer."""

import pytest

from pushcli.protocol import extensions, messages
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.admissions import KEYS_PER_NODE
from pushcli_server.core.fleet_nodes import ClientGone
from pushcli_server.core.node import REVOKED
from pushcli_server.core.states import NodeState
from tests.unit.server.core.fleet_script import JOB, RULES, USUAL, A, B, Script, of, restarted, sent

STOLEN = on_fleet.KeysRevoked(A, frozenset({"stolen"}))


def admitted(*keys: tuple[str, str]) -> Script:
    """A node that asked with these keys of its client for these CURVE keys, and came with each."""
    fleet = Script()
    for curve_key, client_key in keys:
        fleet.configure(A, curve_key, client_key=client_key)
        fleet.hear(A, curve_key=curve_key)
        fleet.hear(A, messages.Aborted, curve_key=curve_key)
    assert fleet.fleet.why_unavailable(A, fleet.now) is None
    return fleet


def test_its_connection_ends_and_no_other_is_let_in() -> None:
    fleet = admitted(("k", "stolen"))
    fleet.bring(B)
    effects = fleet.tell(STOLEN)
    assert of(on_fleet.EndConnections, effects) == [on_fleet.EndConnections(A)]
    [saved] = of(on_fleet.SaveNode, effects)
    assert saved.node.client_key == REVOKED
    assert not fleet.fleet.admits("k", fleet.now)
    assert fleet.fleet.admissions.owner("k") is None, "what still comes on it is dropped unread"
    assert fleet.fleet.why_unavailable(A, fleet.now) is not None
    assert fleet.fleet.client_keys(A) == frozenset()
    assert fleet.tell(STOLEN) == []
    assert fleet.fleet.admits("key of b in acme", fleet.now)


def test_after_a_restart_it_is_known_by_which_key_it_was_let_in() -> None:
    fleet = restarted(admitted(("k1", "stolen"), ("k2", "good")), A)
    assert fleet.fleet.client_keys(A) == {"stolen", "good"}
    fleet.tell(STOLEN)
    assert fleet.fleet.client_keys(A) == {"good"}
    assert [fleet.fleet.admits(key, fleet.now) for key in ("k1", "k2")] == [False, True]
    assert not restarted(fleet, A).fleet.admits("k1", fleet.now)
    assert restarted(fleet, A).fleet.admits("k2", fleet.now)


def test_what_its_other_key_admitted_stays() -> None:
    fleet = admitted(("k1", "good"), ("k2", "stolen"))
    assert of(on_fleet.EndConnections, fleet.tell(STOLEN))
    assert [fleet.fleet.admits(key, fleet.now) for key in ("k1", "k2")] == [True, False]
    assert fleet.fleet.nodes[A].previous_curve_key == "k1"


def test_nor_is_its_job_touched_where_its_connection_is_by_another() -> None:
    """It was restarted with its next key; then the one before is deleted."""
    fleet = admitted(("k1", "stolen"), ("k2", "good"))
    fleet.start(A)
    [saved] = fleet.tell(STOLEN)
    assert isinstance(saved, on_fleet.SaveNode)
    assert (saved.node.curve_key, saved.node.previous_curve_key) == ("k2", None)
    assert not fleet.fleet.admits("k1", fleet.now)
    fleet.hear(A, messages.AckCommit, job_id=JOB.id)
    assert fleet.state(A) is NodeState.READY


def test_one_that_comes_on_the_connection_before_is_out_with_that() -> None:
    fleet = admitted(("k1", "stolen"))
    fleet.configure(A, "k2", client_key="good")
    fleet.hear(A, curve_key="k1")
    assert fleet.fleet.nodes[A].peer_key == "k1"
    assert of(on_fleet.EndConnections, fleet.tell(STOLEN))
    assert fleet.fleet.why_unavailable(A, fleet.now) is not None
    assert fleet.fleet.admits("k2", fleet.now)


def test_what_nobody_knows_by_which_key_it_was_admitted_goes_with_the_next_that_is_known() -> None:
    fleet = restarted(admitted(("k1", ""), ("k2", "")), A)
    assert fleet.fleet.client_keys(A) == {""}
    assert fleet.fleet.admits("k1", fleet.now)
    fleet.hear(A, curve_key="k2")
    fleet.configure(A, "k2", client_key="good")
    assert fleet.fleet.nodes[A].peer is not None
    assert [fleet.fleet.admits(key, fleet.now) for key in ("k1", "k2")] == [False, True]
    assert not restarted(fleet, A).fleet.admits("k1", fleet.now)


def test_or_when_a_key_of_its_client_is_taken_away() -> None:
    fleet = admitted(("k", ""))
    assert of(on_fleet.EndConnections, fleet.tell(on_fleet.KeysRevoked(A, frozenset({""}))))
    assert not fleet.fleet.admits("k", fleet.now)


def test_a_key_that_is_admitted_after_a_restart_alone_is_forgotten_too() -> None:
    """Its saving began; or newer ones displaced it from what is remembered."""
    fleet = admitted(("k1", "stolen"), ("k2", "good"))
    for number in range(KEYS_PER_NODE):
        fleet.configure(A, f"never used {number}", client_key="good")
    assert "stolen" not in fleet.fleet.admissions.client_keys(A)
    fleet.fleet.nodes[A].previous_curve_key = "k1"
    fleet.fleet.nodes[A].previous_client_key = "stolen"
    assert "stolen" in fleet.fleet.client_keys(A)
    assert of(on_fleet.SaveNode, fleet.tell(STOLEN))
    assert not restarted(fleet, A).fleet.admits("k1", fleet.now)


def test_one_under_which_it_came_again_with_another_key_of_its_client_stays() -> None:
    fleet = admitted(("k", "stolen"), ("k", "good"))
    assert fleet.tell(STOLEN) == []
    assert fleet.fleet.admits("k", fleet.now)
    assert fleet.fleet.why_unavailable(A, fleet.now) is None


@pytest.mark.parametrize("client_key", ["another", ""])
def test_who_was_let_in_by_another_key_or_it_is_not_known_by_which_stays(client_key: str) -> None:
    fleet = admitted(("k", client_key))
    assert fleet.tell(STOLEN) == []
    assert fleet.tell(on_fleet.KeysRevoked(A, frozenset())) == []
    assert fleet.fleet.admits("k", fleet.now)


def test_what_is_of_no_node_is_nothing() -> None:
    fleet = Script()
    assert fleet.tell(STOLEN) == []
    fleet.fleet.node(A)
    assert fleet.tell(on_fleet.KeysRevoked(A, frozenset({""}))) == []


def test_a_configuration_that_is_being_saved_admits_nobody() -> None:
    fleet = admitted(("k1", "stolen"))
    fleet.slow_store = True
    deletions = fleet.fleet.deletions.count
    fleet.tell(
        on_fleet.ConfigurationRequested(
            node=A, curve_key="k2", offered=USUAL, adopts=frozenset(), deletions=deletions,
            client_key="stolen",
        )
    )  # fmt: skip
    fleet.tell(STOLEN)
    stored = on_fleet.ConfigurationStored(
        node=A, curve_key="k2", deletions=deletions, client_key="stolen"
    )
    with pytest.raises(ClientGone):
        fleet.tell(stored)
    assert not fleet.fleet.admits("k2", fleet.now)
    fleet.commit()
    assert not restarted(fleet, A).fleet.admits("k2", fleet.now)


def test_a_repeated_request_admits_by_the_same_key() -> None:
    fleet = admitted(("k1", "good"))
    fleet.configure(A, "k2", client_key="stolen", repeated=True)
    assert fleet.fleet.admissions.client_keys(A) == {"good", "stolen"}
    fleet.hear(A, curve_key="k2", incarnation_id="i2", peer=b"p2")
    assert fleet.fleet.nodes[A].client_key == "stolen"
    fleet.tell(STOLEN)
    assert [fleet.fleet.admits(key, fleet.now) for key in ("k1", "k2")] == [True, False]
    fleet.configure(A, "k3", client_key="stolen", repeated=True)
    fleet.tell(STOLEN)
    assert not fleet.fleet.admits("k3", fleet.now)
    fleet.tell(on_fleet.ClientDeleted(A))
    assert not fleet.fleet.admits("k1", fleet.now)


def at_work() -> Script:
    fleet = Script()
    fleet.run(A, run_timeout=2 * RULES.grace.lost)
    fleet.configure(A, "key of a in acme", client_key="stolen")
    assert fleet.state(A) is NodeState.RUNNING
    fleet.tell(STOLEN)
    assert fleet.state(A) is NodeState.RUNNING
    return fleet


@pytest.mark.parametrize("restarts", ["nobody", "the server"])
def test_what_it_runs_goes_on_when_it_is_back_in_time(restarts: str) -> None:
    fleet = at_work()
    if restarts == "the server":
        fleet = restarted(fleet, A)
        assert not fleet.fleet.admits("key of a in acme", fleet.now)
    fleet.configure(A, "key of a in acme", client_key="good")
    assert fleet.fleet.admits("key of a in acme", fleet.now)
    effects = fleet.hear(A, peer=b"p2", job_state="running", job_id=JOB.id)
    assert messages.Abort not in sent(effects, A)
    assert fleet.state(A) is NodeState.RUNNING
    fleet.hear(A, messages.Succeeded, peer=b"p2", job_id=JOB.id)
    assert fleet.state(A) is NodeState.SUCCEEDED


def test_one_that_is_not_there_gets_no_more_time_for_what_it_runs() -> None:
    fleet = Script()
    fleet.run(A, run_timeout=2 * RULES.grace.lost)
    fleet.configure(A, "key of a in acme", client_key="stolen")
    fleet.wait(RULES.grace.lost - 1)
    effects = fleet.tell(STOLEN)
    assert {type(effect) for effect in effects} == {on_fleet.SaveNode, on_fleet.EndConnections}
    fleet.wait(RULES.patience.silence + 3)
    assert fleet.state(A) is NodeState.CRASHED


def test_or_is_out_of_contact() -> None:
    fleet = at_work()
    fleet.wait(RULES.grace.lost + 1)
    assert fleet.state(A) is NodeState.CRASHED


def test_what_it_offers_is_kept() -> None:
    fleet = admitted(("k", "stolen"))
    fleet.tell(STOLEN)
    assert extensions.RESULTS in fleet.fleet.nodes[A].extensions
