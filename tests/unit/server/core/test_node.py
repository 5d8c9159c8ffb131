"""A node's presence as scripts: verified messages and time in, effects out."""

import itertools
from typing import Any

import pytest

from pushcli.protocol import extensions, messages
from pushcli_server.core.identity import NodeKey
from pushcli_server.core.node import (
    DEAF_GRACE,
    Configured,
    Effect,
    Expelled,
    Forward,
    Interest,
    Node,
    NotifyDeleted,
    NotifyDown,
    NotifyOutOfRehab,
    NotifyReconnected,
    NotifyRestarted,
    Patience,
    Phase,
    Received,
    ResetRequested,
    SaveNode,
    SendAbort,
    SendAck,
    TimePassed,
    handle,
)

JOB = "1" * 32
_sequence = itertools.count(1)


def message(
    kind: type = messages.Heartbeat, *, run: str = "i1", job: str | None = None, **more: Any
) -> Any:
    if kind is messages.Heartbeat:
        more.setdefault("job_state", "idle")
    return kind(
        node="n", org="acme", incarnation_id=run, job_id=job, sequence=next(_sequence),
        timestamp="Mon, 23 Nov 2026 20:43:16 GMT", **more,
    )  # fmt: skip


def hear(
    node: Node, kind: type = messages.Heartbeat, *, now: float = 0.0, peer: bytes = b"1",
    interest: Interest = Interest.NONE, **more: Any,
) -> list[Effect]:  # fmt: skip
    return handle(node, Received(peer, message(kind, **more), interest), now)


def unknown_node() -> Node:
    return Node(key=NodeKey("acme", "n"), patience=Patience(interval=1.0, offline_threshold=3))


def online_node() -> Node:
    node = unknown_node()
    hear(node)
    hear(node, messages.Aborted)
    assert node.available(0.0)
    return node


def test_an_unknown_agent_is_aborted_and_available_once_it_says_so() -> None:
    node = unknown_node()
    assert hear(node) == [SaveNode(), SendAbort()]
    assert (node.phase, node.available(0.0)) == (Phase.REHAB, False)
    assert hear(node, messages.Aborted) == [NotifyOutOfRehab()]
    assert node.available(0.0)


def test_aborts_are_repeated_every_second_until_answered() -> None:
    node = unknown_node()
    hear(node, now=0.0)
    assert node.deadline() == 1.0
    assert handle(node, TimePassed(), 1.0) == [SendAbort()]
    assert node.deadline() == 2.0
    hear(node, messages.Aborted, now=1.5)
    assert node.phase is Phase.REHAB, "the second answer is still to come"
    hear(node, messages.Aborted, now=1.6)
    assert node.available(1.6)


def test_a_deaf_agent_that_answers_fewer_aborts_is_taken_back_after_a_bounded_wait() -> None:
    node = unknown_node()
    hear(node, now=0.0)
    handle(node, TimePassed(), 1.0)
    hear(node, messages.Aborted, now=3.0)
    handle(node, TimePassed(), 4.0)
    assert node.available(4.0)
    assert hear(node, messages.Aborted, now=4.5) == [], "the late answer is absorbed"


def test_a_known_agent_on_a_new_connection_gets_an_ack() -> None:
    node = online_node()
    effects = hear(node, peer=b"2")
    assert effects[:2] == [SendAck(), NotifyReconnected()]


def test_a_node_in_rehab_on_a_new_connection_hears_an_abort_at_once() -> None:
    node = unknown_node()
    hear(node)
    assert hear(node, peer=b"2") == [SendAbort()]


def test_another_incarnation_is_a_restart() -> None:
    node = online_node()
    assert hear(node, run="i2") == [SaveNode(), NotifyRestarted(frozenset()), SendAbort()]


def test_an_incarnation_that_was_left_is_never_new_again() -> None:
    node = online_node()
    hear(node, run="i2", now=0.0)
    assert hear(node, run="i1", now=0.5) == []
    assert node.incarnation == "i2"


def test_two_live_incarnations_under_one_name_are_a_conflict() -> None:
    node = online_node()
    hear(node, run="i2", now=0.0)
    hear(node, messages.Aborted, run="i2", now=0.1)
    assert node.available(0.1)
    hear(node, run="i1", now=3.0)
    assert not node.available(3.0)
    assert "two agents" in node.why_unavailable(3.0)
    assert node.available(10.0)


def test_silence_makes_it_offline_and_its_jobs_learn_it() -> None:
    node = online_node()
    hear(node, now=10.0)
    assert 13.0 < node.deadline() < 14.0
    assert handle(node, TimePassed(), node.deadline()) == [NotifyDown(False)]
    assert node.phase is Phase.OFFLINE


def test_a_node_that_may_be_killing_a_command_gets_4_more_seconds() -> None:
    node = online_node()
    hear(node, now=10.0)
    handle(node, ResetRequested(), 10.0)
    handle(node, TimePassed(), 13.9)
    assert node.phase is Phase.REHAB
    while node.phase is Phase.REHAB and node.deadline() < 100:
        handle(node, TimePassed(), node.deadline())
    assert node.phase is Phase.OFFLINE


def test_a_heartbeat_that_names_an_unknown_job_leads_to_rehab() -> None:
    node = online_node()
    unknown: Any = {"interest": Interest.UNKNOWN, "job": JOB, "job_state": "running"}
    assert hear(node, **unknown) == [SendAbort()]
    assert node.phase is Phase.REHAB


def test_for_5_seconds_after_its_end_a_job_swallows_all() -> None:
    node = online_node()
    for kind in (messages.AckCommit, messages.Succeeded, messages.NackRun, messages.Aborted):
        assert hear(node, kind, interest=Interest.ENDED, job=JOB) == []
    assert node.available(0.0)


def test_any_message_that_names_no_job_but_should_leads_to_rehab() -> None:
    for kind in (messages.AckCommit, messages.Succeeded, messages.NackCommit, messages.AckRun):
        node = online_node()
        assert hear(node, kind) == [SendAbort()]


def test_aborted_never_causes_rehab() -> None:
    for interest in Interest:
        node = online_node()
        hear(node, messages.Aborted, interest=interest, job=JOB)
        assert node.phase is Phase.ONLINE


def test_a_repeated_or_old_sequence_number_is_ignored() -> None:
    node = online_node()
    old = message()
    handle(node, Received(b"1", old, Interest.NONE), 0.0)
    assert handle(node, Received(b"1", old, Interest.NONE), 0.0) == []


def test_a_config_request_with_a_new_key_takes_it_out_of_service_at_once() -> None:
    node = online_node()
    effects = handle(node, Configured(True, frozenset(), frozenset()), 1.0)
    assert effects == [NotifyRestarted(frozenset())]
    assert not node.available(1.0)


def test_a_reconfigure_with_the_same_key_changes_nothing() -> None:
    node = online_node()
    assert handle(node, Configured(False, frozenset(), frozenset()), 1.0) == []
    assert node.available(1.0)


def test_a_restarted_agent_that_adopts_its_jobs_is_not_aborted() -> None:
    node = online_node()
    offered = frozenset({extensions.ADOPT, extensions.RESULTS})
    effects = handle(node, Configured(True, offered, frozenset({JOB})), 1.0)
    assert effects == [NotifyRestarted(frozenset({JOB}))]
    beat: Any = {"interest": Interest.ACTIVE, "job": JOB, "job_state": "running"}
    effects = hear(node, run="i2", peer=b"2", now=1.0, **beat)
    assert SendAbort() not in effects
    assert SendAck() in effects
    assert isinstance(effects[-1], Forward)


def test_a_result_from_the_spool_is_passed_on_even_in_rehab() -> None:
    node = unknown_node()
    hear(node)
    effects = hear(node, messages.Succeeded, interest=Interest.UNKNOWN, job=JOB, spooled=True)
    assert [type(e) for e in effects] == [Forward]


def test_a_reset_of_an_offline_node_waits_for_its_return() -> None:
    node = online_node()
    handle(node, TimePassed(), node.deadline())
    assert handle(node, ResetRequested(), 50.0) == []
    assert hear(node, now=60.0, peer=b"2") == [SendAbort()]


def test_an_expelled_node_is_out_at_once_and_its_commands_are_given_up() -> None:
    for spools in (frozenset[str](), extensions.ALL):
        node = online_node()
        node.extensions = spools
        assert handle(node, Expelled(), 1.0) == [NotifyDeleted()]
        assert (node.phase, node.peer, node.deadline()) == (Phase.OFFLINE, None, float("inf"))


def two_machines(pause: float) -> Node:
    """Another machine took the name at 0; the first one speaks again after this pause."""
    node = online_node()
    hear(node, run="i2", now=0.0)
    hear(node, messages.Aborted, run="i2", now=0.0)
    hear(node, run="i1", now=pause)
    return node


def test_what_was_under_way_when_an_agent_restarted_is_no_conflict() -> None:
    assert two_machines(2.0).available(2.0)
    assert not two_machines(2.1).available(2.1)


def test_an_agent_whose_abort_is_unanswered_has_4_more_seconds_once_it_is_taken_back() -> None:
    node = online_node()
    handle(node, ResetRequested(), 10.0)
    handle(node, ResetRequested(), 10.0)
    hear(node, messages.Aborted, now=10.1)
    handle(node, TimePassed(), 11.1)
    assert (node.phase, node.aborts) == (Phase.ONLINE, 1)
    hear(node, now=12.0)
    assert node.offline_at == 12.0 + node.patience.silence + 4.0
    hear(node, messages.Aborted, now=13.0)
    hear(node, now=14.0)
    assert node.offline_at == 14.0 + node.patience.silence


def test_an_agent_that_adopts_its_jobs_does_so_once() -> None:
    node = online_node()
    offered = frozenset({extensions.ADOPT, extensions.RESULTS})
    handle(node, Configured(True, offered, frozenset({JOB})), 1.0)
    hear(node, run="i2", peer=b"2", now=1.0)
    effects = hear(node, run="i3", peer=b"3", now=2.0)
    assert NotifyRestarted(frozenset()) in effects
    assert node.phase is Phase.REHAB, "the next run of the agent adopts nothing by itself"


# --- two machines under one name


GONE = Patience().silence + DEAF_GRACE
"""Seconds after which the machine that took the name is taken for stopped."""


def test_once_the_clone_has_stopped_the_original_is_taken_back() -> None:
    node = two_machines(3.0)
    assert "two agents use this name" in node.why_unavailable(3.0)
    hear(node, run="i2", now=5.0)
    hear(node, run="i1", peer=b"1", now=5.0 + GONE)
    assert not node.available(5.0 + GONE), "the clone may be late"
    effects = hear(node, run="i1", peer=b"1", now=5.1 + GONE)
    assert effects == [SaveNode(), NotifyRestarted(frozenset()), SendAbort()]
    assert node.why_unavailable(5.1 + GONE) == "being reset (rehab)"
    hear(node, messages.Aborted, run="i1", peer=b"1", now=5.2 + GONE)
    assert node.available(5.2 + GONE)
    assert node.incarnation == "i1"


def test_if_the_clone_is_started_again_there_is_a_conflict_again() -> None:
    node = two_machines(3.0)
    back = 3.1 + GONE
    hear(node, run="i1", now=back)
    hear(node, messages.Aborted, run="i1", now=back)
    hear(node, run="i2", now=back + 3.0)
    assert "two agents use this name" in node.why_unavailable(back + 3.0)
    assert node.incarnation == "i1", "the clone's run was left: it takes no name from anybody"


@pytest.mark.parametrize("beat", [1.0, 3.0])
def test_as_long_as_both_talk_neither_takes_the_name_back(beat: float) -> None:
    node = two_machines(3.0)
    now = 3.0
    for _ in range(40):
        now += beat
        hear(node, run="i2", now=now)
        assert hear(node, run="i1", now=now) == []
        assert not node.available(now)


def test_that_the_original_asks_for_a_configuration_does_not_keep_it_out() -> None:
    node = two_machines(3.0)
    for second in range(4, 30):
        handle(node, Configured(second == 4, frozenset(), frozenset()), float(second))
        hear(node, run="i1", peer=b"%d" % second, now=float(second))
        while node.deadline() <= second:
            handle(node, TimePassed(), float(second))
    hear(node, messages.Aborted, run="i1", peer=b"29", now=30.0)
    assert node.available(30.0)


def test_of_three_machines_the_one_that_goes_on_is_taken_back() -> None:
    node = two_machines(3.0)
    hear(node, run="i3", now=4.0)
    hear(node, run="i2", now=6.5)
    assert not node.available(6.5)
    hear(node, run="i1", now=4.1 + GONE)
    hear(node, messages.Aborted, run="i1", now=4.1 + GONE)
    assert node.available(4.1 + GONE)


def test_what_a_previous_run_left_under_way_is_never_taken_back() -> None:
    node = online_node()
    hear(node, run="i2", now=10.0, peer=b"2")
    hear(node, messages.Aborted, run="i2", now=10.0, peer=b"2")
    hear(node, run="i1", now=10.1)
    assert (node.incarnation, node.available(10.1)) == ("i2", True)


def test_the_wait_for_further_answers_has_a_deadline_of_its_own() -> None:
    node = online_node()
    handle(node, ResetRequested(), 10.0)
    handle(node, ResetRequested(), 10.5)
    hear(node, messages.Aborted, now=10.6)
    node.abort_at = 100.0
    assert node.deadline() == 11.6
