"""Jobs that are frozen and nodes that are paused, as the fleet decides it."""

import pytest

from pushcli.protocol import messages
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.brake import Frozen
from pushcli_server.core.brake_state import Freeze, Pause
from pushcli_server.core.identity import NodeKey, Requestor
from pushcli_server.core.states import JobStatus, NodeState
from tests.unit.server.core.fleet_script import JOB, A, B, Script

ANN = Requestor("user", "", "ann")
FREEZE = Freeze(reason="storage is down", by=ANN, at=1000.0)
WHY = "paused by ann: disk replaced"


def pause(until: float = 1100.0) -> Pause:
    return Pause(reason="disk replaced", by=ANN, at=1000.0, until=until)


def paused(fleet: Script, *nodes: NodeKey, until: float = 1100.0) -> None:
    names, deletions = [node.name for node in nodes], fleet.fleet.deletions.count
    fleet.tell(on_fleet.PausesStored("acme", names, pause(until), deletions))


def asked(effects: list[on_fleet.Effect]) -> list[str]:
    return [
        effect.node.name
        for effect in effects
        if isinstance(effect, on_fleet.Send) and effect.kind is messages.Commit
    ]


def reasons(effects: list[on_fleet.Effect]) -> dict[str, tuple[NodeState, str | None]]:
    return {
        change.node: (change.state, change.reason)
        for effect in effects
        if isinstance(effect, on_fleet.SaveJobNodes)
        for change in effect.changes
    }


# --- freezing


def test_no_job_of_a_frozen_organization_starts() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.tell(on_fleet.FreezeStored("acme", FREEZE))
    with pytest.raises(Frozen) as caught:
        fleet.start(A)
    assert caught.value.freeze == FREEZE
    assert fleet.fleet.jobs == {}
    fleet.tell(on_fleet.FreezeStored("acme", None))
    assert asked(fleet.start(A)) == ["a"]


def test_another_organization_is_not_frozen() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.tell(on_fleet.FreezeStored("other", FREEZE))
    assert asked(fleet.start(A)) == ["a"]


def test_what_runs_goes_on() -> None:
    fleet = Script()
    fleet.run(A)
    fleet.tell(on_fleet.FreezeStored("acme", FREEZE))
    fleet.hear(A, messages.Succeeded, job_id=JOB.id)
    assert fleet.fleet.ended[JOB].status is JobStatus.COMPLETE


# --- pausing


@pytest.mark.parametrize("offered", [frozenset[str](), None], ids=["old", "ours"])
def test_a_paused_node_votes_no_and_is_not_asked(offered: frozenset[str] | None) -> None:
    fleet = Script()
    more = {} if offered is None else {"offered": offered}
    fleet.bring(A, B, **more)
    paused(fleet, A)
    effects = fleet.start(A, B, quorum=1)
    assert asked(effects) == ["b"]
    assert reasons(effects) == {"a": (NodeState.NACKED, WHY)}
    votes = [(e.event, e.node, e.status) for e in effects if isinstance(e, on_fleet.Publish)]
    assert votes == [("start", None, None), ("quorum_vote", "a", "failure")]
    # It was not asked, so there is nothing to be reset.
    assert not any(
        isinstance(e, on_fleet.Send) and e.kind is messages.Abort and e.node == A for e in effects
    )


def test_with_all_paused_the_quorum_fails_at_once() -> None:
    fleet = Script()
    fleet.bring(A)
    paused(fleet, A)
    fleet.start(A)
    assert fleet.fleet.ended[JOB].status is JobStatus.QUORUM_FAILED


def test_of_a_node_that_is_down_the_pause_is_told() -> None:
    fleet = Script()
    paused(fleet, A)
    assert reasons(fleet.start(A))["a"] == (NodeState.NACKED, WHY)


def test_a_pause_ends_by_itself_and_is_forgotten() -> None:
    fleet = Script()
    fleet.bring(A)
    paused(fleet, A, until=1010.0)
    fleet.keep_alive(9, A)
    assert fleet.fleet.pause(A, fleet.now) is not None
    fleet.keep_alive(2, A)
    assert fleet.fleet.pauses == {}
    assert asked(fleet.start(A)) == ["a"]


def test_a_longer_pause_takes_the_place_of_a_shorter_one() -> None:
    fleet = Script()
    paused(fleet, A, until=1010.0)
    paused(fleet, A, until=1100.0)
    fleet.wait(20)
    assert fleet.fleet.pause(A, fleet.now) is not None


def test_a_resumed_node_is_asked_again() -> None:
    fleet = Script()
    fleet.bring(A)
    paused(fleet, A)
    fleet.tell(on_fleet.PausesStored("acme", ["a"], None, 0))
    assert asked(fleet.start(A)) == ["a"]


def test_a_job_that_votes_or_runs_is_not_stopped_by_a_pause() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.start(A)
    paused(fleet, A)
    fleet.hear(A, messages.AckCommit, job_id=JOB.id)
    fleet.hear(A, messages.AckRun, job_id=JOB.id)
    assert fleet.job.nodes["a"] is NodeState.RUNNING


def test_a_deleted_node_leaves_no_pause_to_the_next_of_its_name() -> None:
    fleet = Script()
    fleet.bring(A)
    paused(fleet, A)
    fleet.tell(on_fleet.ClientDeleted(A))
    assert fleet.fleet.pauses == {}
    # One that was under way while the client was deleted.
    fleet.tell(on_fleet.PausesStored("acme", ["a"], pause(), 0))
    assert fleet.fleet.pauses == {}


def test_a_deleted_organization_leaves_nothing_behind() -> None:
    fleet = Script()
    paused(fleet, A)
    fleet.tell(on_fleet.FreezeStored("acme", FREEZE))
    fleet.tell(on_fleet.OrganizationClosed("acme", ANN, "192.0.2.7"))
    paused(fleet, B)
    fleet.tell(on_fleet.FreezeStored("acme", FREEZE))
    assert (fleet.fleet.pauses, fleet.fleet.freezes) == ({}, {})


def test_pauses_are_stored_anew_when_the_clock_is_set() -> None:
    fleet = Script()
    paused(fleet, A, B)
    saved = fleet.tell(on_fleet.ClockSet(3600.0))
    assert saved == [on_fleet.SavePauses("acme", ["a", "b"], pause())]
    assert fleet.fleet.pause(A, fleet.now) is not None
