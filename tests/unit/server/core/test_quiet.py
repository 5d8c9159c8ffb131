"""Nodes that are heard seldom (extension `quiet`), as scripts."""

from typing import Any

import pytest

from pushcli.protocol import extensions, messages
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.node import DEAF_GRACE, Patience, Phase
from tests.unit.server.core.fleet_script import JOB, RULES, A, Script, of, sent

SILENCE = RULES.patience.silence
QUIET = RULES.patience.quiet_interval


def quiet() -> Script:
    fleet = Script()
    fleet.bring(A, offered=extensions.ALL)
    fleet.hear(A)
    return fleet


def is_there(fleet: Script) -> bool:
    return fleet.fleet.why_unavailable(A, fleet.now) is None


@pytest.mark.parametrize(("interval", "expected"), [(0.1, 1.0), (1, 10), (5, 30), (60, 60)])
def test_ten_intervals_are_one_but_no_longer_than_half_a_minute(
    interval: float, expected: float
) -> None:
    assert Patience(interval=interval).quiet_interval == pytest.approx(expected)


def test_each_heartbeat_is_answered_where_it_came_from() -> None:
    fleet = Script()
    fleet.bring(A, offered=extensions.ALL)
    (beat,) = of(on_fleet.Send, fleet.hear(A))
    assert (beat.peer, beat.kind, beat.fields) == (b"a", messages.Beat, {"incarnation_id": ""})


def test_nobody_else_gets_an_answer_or_more_time() -> None:
    fleet = Script()
    fleet.bring(A)
    assert of(on_fleet.Send, fleet.hear(A)) == []
    fleet.wait(SILENCE + 0.1)
    assert not is_there(fleet)


def test_a_quiet_node_may_be_silent_for_so_much_longer() -> None:
    fleet = quiet()
    fleet.wait(QUIET + SILENCE - 0.1)
    assert is_there(fleet)
    fleet.wait(0.2)
    assert not is_there(fleet)


@pytest.mark.parametrize(
    "doing", [{"job_id": JOB.id, "job_state": "running"}, {"pending_results": [JOB.id]}]
)
def test_nor_is_one_that_has_something_to_do_heard_more_often(doing: dict[str, Any]) -> None:
    fleet = quiet()
    fleet.run(A, offered=extensions.ALL)
    fleet.hear(A, **doing)
    fleet.wait(QUIET + SILENCE - 0.1)
    assert is_there(fleet)
    fleet.wait(0.2)
    assert not is_there(fleet)


def test_one_that_is_asked_for_its_vote_is_there_or_is_not() -> None:
    fleet = quiet()
    fleet.wait(5)
    fleet.start(A)
    fleet.wait(SILENCE + DEAF_GRACE - 0.1)
    assert is_there(fleet)
    fleet.wait(0.2)
    assert not is_there(fleet)
    assert fleet.job.status.is_final


@pytest.mark.parametrize("due", [on_fleet.CommitDue, on_fleet.RunDue])
def test_one_that_is_not_asked_after_all_is_not_expected(
    due: type[on_fleet.CommitDue | on_fleet.RunDue],
) -> None:
    fleet = quiet()
    deadline = fleet.fleet.nodes[A].offline_at
    assert fleet.tell(due(job=JOB, node=A.name)) == []
    assert fleet.fleet.nodes[A].offline_at == deadline


def test_one_that_is_to_run_is_there_or_is_not() -> None:
    fleet = quiet()
    fleet.start(A)
    fleet.hear(A, messages.AckCommit, job_id=JOB.id)
    assert messages.Run in sent(fleet.done, A)
    fleet.wait(SILENCE + DEAF_GRACE - 0.1)
    assert is_there(fleet)
    fleet.wait(0.2)
    assert not is_there(fleet)


def test_one_that_is_aborted_is_there_or_is_not() -> None:
    fleet = quiet()
    fleet.run(A, offered=extensions.ALL)
    fleet.hear(A, job_id=JOB.id, job_state="running")
    fleet.tell(on_fleet.AbortRequested(job=JOB, requestor="ann", origin=""))
    fleet.wait(SILENCE + DEAF_GRACE - 0.1)
    assert fleet.fleet.nodes[A].phase is Phase.REHAB
    fleet.wait(0.2)
    assert fleet.fleet.nodes[A].phase is Phase.OFFLINE


def test_one_that_says_that_it_is_at_it_has_its_time() -> None:
    fleet = quiet()
    fleet.run(A, offered=extensions.ALL)
    fleet.hear(A, job_id=JOB.id, job_state="running")
    fleet.tell(on_fleet.AbortRequested(job=JOB, requestor="ann", origin=""))
    fleet.wait(3)
    fleet.hear(A, job_id=JOB.id, job_state="running")
    fleet.wait(QUIET)
    assert fleet.fleet.nodes[A].phase is Phase.REHAB


def test_one_whose_connection_ended_is_asked_and_given_up_as_any_other() -> None:
    fleet = quiet()
    fleet.wait(5)
    effects = fleet.tell(on_fleet.ConnectionEnded(A))
    (beat,) = of(on_fleet.Send, effects)
    assert (beat.kind, beat.fields["ask"]) == (messages.Beat, True)
    fleet.wait(SILENCE - 0.1)
    assert is_there(fleet)
    fleet.wait(0.2)
    assert not is_there(fleet)


def test_it_was_another_connection_than_its_current_one() -> None:
    fleet = quiet()
    fleet.tell(on_fleet.ConnectionEnded(A))
    fleet.hear(A)
    fleet.wait(QUIET + SILENCE - 0.1)
    assert is_there(fleet)


def test_it_comes_back_on_another_connection() -> None:
    fleet = quiet()
    fleet.tell(on_fleet.ConnectionEnded(A))
    fleet.wait(1)
    assert messages.Ack in sent(fleet.hear(A, peer=b"new"), A)
    fleet.wait(QUIET)
    assert is_there(fleet)


def test_the_end_of_an_old_agents_connection_means_nothing() -> None:
    fleet = Script()
    fleet.bring(A)
    deadline = fleet.fleet.nodes[A].offline_at
    assert fleet.tell(on_fleet.ConnectionEnded(A)) == []
    assert fleet.fleet.nodes[A].offline_at == deadline


def test_one_that_was_displaced_is_answered_and_the_conflict_lasts() -> None:
    fleet = quiet()
    fleet.hear(A, incarnation_id="another", peer=b"b")
    fleet.wait(3)
    (beat,) = of(on_fleet.Send, fleet.hear(A))
    assert (beat.peer, beat.kind) == (b"a", messages.Beat)
    assert not is_there(fleet)
    fleet.wait(5)
    fleet.hear(A, incarnation_id="another", peer=b"b")
    fleet.wait(QUIET - 5.5)
    fleet.hear(A, incarnation_id="another", peer=b"b")
    assert "conflict" in str(fleet.fleet.why_unavailable(A, fleet.now))


def test_an_agent_that_agrees_no_more_is_not_waited_for() -> None:
    fleet = quiet()
    fleet.configure(A, fleet.fleet.nodes[A].curve_key or "", offered=frozenset())
    fleet.hear(A)
    fleet.wait(SILENCE + 0.1)
    assert not is_there(fleet)


def test_nothing_that_it_says_then_makes_it_quiet() -> None:
    fleet = quiet()
    fleet.configure(A, fleet.fleet.nodes[A].curve_key or "", offered=frozenset())
    fleet.hear(A, messages.Facts, automatic={})
    fleet.wait(SILENCE + 0.1)
    assert not is_there(fleet)


def test_one_that_was_displaced_gets_no_turn_while_the_other_is_only_quiet() -> None:
    fleet = quiet()
    fleet.hear(A, incarnation_id="another", peer=b"b")
    fleet.hear(A, messages.Aborted, incarnation_id="another", peer=b"b")
    fleet.hear(A, incarnation_id="another", peer=b"b")
    fleet.wait(QUIET - 0.5)
    fleet.hear(A)
    assert fleet.fleet.nodes[A].incarnation == "another"


def test_after_a_standstill_a_quiet_node_has_its_whole_time() -> None:
    fleet = quiet()
    fleet.now += QUIET + SILENCE + 1
    fleet.tell(on_fleet.Stalled(QUIET + SILENCE + 1))
    fleet.wait(QUIET + SILENCE - 0.1)
    assert is_there(fleet)
    fleet.wait(5)
    assert not is_there(fleet)


def test_while_the_database_is_out_of_reach_each_answer_says_so() -> None:
    fleet = quiet()
    for is_reached, more in ((False, {"away": True}), (True, {})):
        assert fleet.tell(on_fleet.DatabaseReached(is_reached)) == []
        (beat,) = of(on_fleet.Send, fleet.hear(A))
        assert beat.fields == {"incarnation_id": "", **more}
