"""The vote and the run as scripts: events in, the feed and the node states out.

The scenes are those that the original server was recorded with; where ours differs on
purpose, the test says so.
"""

import pytest

from pushcli.protocol.run import Outcome, RunSpec
from pushcli_server.core.identity import JobKey
from pushcli_server.core.job import handle
from pushcli_server.core.job_events import (
    AbortRequested,
    Effect,
    Event,
    HeartbeatReceived,
    NodeChange,
    NodeDeleted,
    NodeDown,
    NodeRestarted,
    Publish,
    Reconnected,
    Reset,
    ResultReceived,
    Resumed,
    RunAnswered,
    SaveNodes,
    SendCommit,
    SendRun,
    Started,
    TimePassed,
    UnexpectedReceived,
    VoteReceived,
)
from pushcli_server.core.job_state import Grace, Job, JobSpec
from pushcli_server.core.states import JobStatus, NodeState

A, B, C = "a", "b", "c"


def make_job(*nodes: str, quorum: int | None = None, run_timeout: float = 3600) -> Job:
    spec = JobSpec(
        run=RunSpec(command="x", run_timeout=run_timeout),
        nodes=nodes,
        quorum=len(nodes) if quorum is None else quorum,
    )
    return Job(
        key=JobKey("acme", "1" * 32),
        spec=spec,
        requestor="ann",
        created_at=0,
        updated_at=0,
        grace=Grace(),
    )


def play(job: Job, *events: Event, now: float = 1.0) -> list[Effect]:
    return [effect for event in events for effect in handle(job, event, now)]


def feed(effects: list[Effect]) -> list[str]:
    return [
        " ".join(filter(None, (e.event, e.node, e.status)))
        for e in effects
        if isinstance(e, Publish)
    ]


def started(*nodes: str, **more: float) -> Job:
    job = make_job(*nodes, **more)  # type: ignore[arg-type]
    play(job, Started({}))
    return job


def running(*nodes: str, quorum: int | None = None) -> Job:
    """A job whose nodes are all told to run and have said that they do."""
    job = make_job(*nodes, quorum=quorum)
    play(job, Started({}), *(VoteReceived(n, ready=True) for n in nodes))
    play(job, *(RunAnswered(n, started=True) for n in nodes))
    return job


def yes(node: str) -> VoteReceived:
    return VoteReceived(node, ready=True)


def no(node: str) -> VoteReceived:
    return VoteReceived(node, ready=False)


def ran(node: str) -> RunAnswered:
    return RunAnswered(node, started=True)


SCENES: dict[str, tuple[Job, list[Event], list[str], dict[str, str], str]] = {
    "all succeed": (
        make_job(A, B),
        [Started({}), yes(B), yes(A), ran(B), ran(A), ResultReceived(B, False),
         ResultReceived(A, True)],
        ["start", "quorum_vote b success", "quorum_vote a success", "quorum_succeeded",
         "run_start b", "run_start a", "run_complete b failure", "run_complete a success",
         "job_complete complete"],
        {A: "succeeded", B: "failed"}, "complete",
    ),
    "nack_commit, quorum 1": (
        make_job(A, B, quorum=1),
        [Started({}), no(B), yes(A), ran(A), ResultReceived(A, True)],
        ["start", "quorum_vote b failure", "quorum_vote a success", "quorum_succeeded",
         "run_start a", "run_complete a success", "job_complete complete"],
        {A: "succeeded", B: "nacked"}, "complete",
    ),
    "nack_commit, quorum all": (
        make_job(A, B),
        [Started({}), yes(A), no(B)],
        ["start", "quorum_vote a success", "quorum_vote b failure", "job_complete quorum_failed"],
        {A: "was_ready", B: "nacked"}, "quorum_failed",
    ),
    "nack_run": (
        make_job(A, B),
        [Started({}), yes(A), yes(B), ran(B), RunAnswered(A, False), ResultReceived(B, True)],
        ["start", "quorum_vote a success", "quorum_vote b success", "quorum_succeeded",
         "run_start b", "rehab a", "run_complete a run_nacked", "run_complete b success",
         "job_complete complete"],
        {A: "failed", B: "succeeded"}, "complete",
    ),
    "ack_run, then nack_run": (
        make_job(A),
        [Started({}), yes(A), ran(A), RunAnswered(A, False)],
        ["start", "quorum_vote a success", "quorum_succeeded", "run_start a", "rehab a",
         "run_complete a run_nacked_while_running", "job_complete complete"],
        {A: "failed"}, "complete",
    ),
    "succeeded without ack_run": (
        make_job(A),
        [Started({}), yes(A), ResultReceived(A, True)],
        ["start", "quorum_vote a success", "quorum_succeeded", "rehab a",
         "run_complete a crashed", "job_complete complete"],
        {A: "crashed"}, "complete",
    ),
    "ack_commit again, after the quorum": (
        make_job(A, B),
        [Started({}), yes(B), yes(A), yes(A), ran(B), ResultReceived(B, True)],
        ["start", "quorum_vote b success", "quorum_vote a success", "quorum_succeeded",
         "rehab a", "run_complete a crashed", "run_start b", "run_complete b success",
         "job_complete complete"],
        {A: "crashed", B: "succeeded"}, "complete",
    ),
    "ack_commit, then nack_commit": (
        make_job(A, B, quorum=1),
        [Started({}), yes(A), no(A), yes(B)],
        ["start", "quorum_vote a success", "rehab a", "quorum_vote a lost_availibility",
         "quorum_vote b success", "quorum_succeeded"],
        {A: "unavailable", B: "ready"}, "running",
    ),
    "ack_run while voting": (
        make_job(A, B, quorum=1),
        [Started({}), ran(A), yes(B), ran(B), ResultReceived(B, True)],
        ["start", "rehab a", "quorum_vote b success", "quorum_succeeded", "run_start b",
         "run_complete b success", "job_complete complete"],
        {A: "unavailable", B: "succeeded"}, "complete",
    ),
    "aborted while running": (
        make_job(A),
        [Started({}), yes(A), ran(A), UnexpectedReceived(A)],
        ["start", "quorum_vote a success", "quorum_succeeded", "run_start a", "rehab a",
         "run_complete a crashed", "job_complete complete"],
        {A: "crashed"}, "complete",
    ),
    "dies while voting": (
        make_job(A, B, quorum=1),
        [Started({}), yes(B), NodeDown(A), ran(B), ResultReceived(B, True)],
        ["start", "quorum_vote b success", "quorum_vote a down", "rehab a", "quorum_succeeded",
         "run_start b", "run_complete b success", "job_complete complete"],
        {A: "unavailable", B: "succeeded"}, "complete",
    ),
    "dies while running": (
        make_job(A),
        [Started({}), yes(A), ran(A), NodeDown(A)],
        ["start", "quorum_vote a success", "quorum_succeeded", "run_start a", "rehab a",
         "run_complete a crashed", "job_complete complete"],
        {A: "crashed"}, "complete",
    ),
    "succeeded twice": (
        make_job(A, B),
        [Started({}), yes(A), yes(B), ran(B), ran(A), ResultReceived(A, True),
         ResultReceived(A, True), ResultReceived(B, True)],
        ["start", "quorum_vote a success", "quorum_vote b success", "quorum_succeeded",
         "run_start b", "run_start a", "run_complete a success", "rehab a",
         "run_complete a client_died_while_running", "run_complete b success",
         "job_complete complete"],
        {A: "succeeded", B: "succeeded"}, "complete",
    ),
    "offline at the start": (
        make_job(A),
        [Started({A: "offline"})],
        ["start", "quorum_vote a down", "rehab a", "job_complete quorum_failed"],
        {A: "unavailable"}, "quorum_failed",
    ),
    "ack from a node that nacked": (
        make_job(A, B),
        [Started({}), no(A), yes(A)],
        ["start", "quorum_vote a failure", "rehab a", "quorum_vote a unexpected_commit"],
        {A: "nacked", B: "new"}, "voting",
    ),
    "nack from a node that nacked": (
        make_job(A, B),
        [Started({}), no(A), no(A)],
        ["start", "quorum_vote a failure", "rehab a", "quorum_vote a client_died_while_voting"],
        {A: "nacked", B: "new"}, "voting",
    ),
    "quorum of 0 and nobody ready": (
        make_job(A, quorum=0),
        [Started({}), no(A)],
        ["start", "quorum_vote a failure", "quorum_succeeded", "job_complete complete"],
        {A: "nacked"}, "complete",
    ),
    "a quorum above the number of nodes": (
        make_job(A, quorum=2),
        [Started({}), yes(A)],
        ["start", "quorum_vote a success", "job_complete quorum_failed"],
        {A: "was_ready"}, "quorum_failed",
    ),
    "aborted by an operator": (
        make_job(A, B, quorum=1),
        [Started({}), no(B), yes(A), ran(A), AbortRequested("ann")],
        ["start", "quorum_vote b failure", "quorum_vote a success", "quorum_succeeded",
         "run_start a", "job_complete aborted"],
        {A: "aborted", B: "nacked"}, "aborted",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCENES)
def test_scene(name: str) -> None:
    job, events, expected_feed, states, status = SCENES[name]
    effects = play(job, *events)
    assert feed(effects) == expected_feed
    assert {n: str(s) for n, s in job.nodes.items()} == states
    assert str(job.status) == status


def test_saves_stand_before_the_sends_that_rest_on_them() -> None:
    job = make_job(A)
    names = [type(e).__name__ for e in play(job, Started({}), yes(A))]
    assert names.index("SaveNew") < names.index("SendCommit")
    assert names.index("SaveNodes") < names.index("SaveJob") < names.index("SendRun")


def test_voting_timeout_writes_no_rehab_event_but_resets() -> None:
    job = started(A, B, quorum=1)
    play(job, yes(B))
    effects = play(job, TimePassed(), now=61.0)
    assert feed(effects) == ["quorum_vote a voting_timeout", "quorum_succeeded"]
    assert Reset([A]) in effects
    assert job.nodes == {A: NodeState.UNAVAILABLE, B: NodeState.READY}


def test_waking_before_the_deadline_does_nothing() -> None:
    assert play(started(A), TimePassed(), now=59.0) == []


def test_run_timeout_ends_all_that_are_not_done() -> None:
    job = running(A, B)
    play(job, ResultReceived(B, succeeded=True))
    effects = play(job, TimePassed(), now=3602.0)
    assert feed(effects) == ["job_complete timed_out"]
    assert Reset([A]) in effects
    assert job.nodes == {A: NodeState.TIMED_OUT, B: NodeState.SUCCEEDED}


def test_a_job_of_0_seconds_times_out_as_soon_as_it_runs() -> None:
    job = started(A, run_timeout=0)
    play(job, yes(A))
    play(job, TimePassed())
    assert job.status is JobStatus.TIMED_OUT


def test_a_command_that_the_node_timed_out_makes_the_job_timed_out() -> None:
    job = running(A)
    play(job, ResultReceived(A, succeeded=False, spooled=True, outcome=Outcome(timed_out=True)))
    assert (job.nodes[A], job.status) == (NodeState.TIMED_OUT, JobStatus.TIMED_OUT)


def test_a_blip_of_a_spooling_node_is_no_crash() -> None:
    job = running(A)
    play(job, NodeDown(A, spools=True))
    assert job.nodes[A] is NodeState.RUNNING
    play(job, TimePassed(), now=300.0)
    assert job.nodes[A] is NodeState.RUNNING
    play(job, ResultReceived(A, succeeded=True, spooled=True), now=300.5)
    assert job.nodes[A] is NodeState.SUCCEEDED


def test_a_spooling_node_that_stays_away_crashes() -> None:
    job = running(A)
    play(job, NodeDown(A, spools=True), now=10.0)
    effects = play(job, TimePassed(), now=310.0)
    assert feed(effects) == ["rehab a", "run_complete a crashed", "job_complete complete"]


def test_a_node_that_the_command_may_restart_is_waited_for_until_the_run_timeout() -> None:
    job = started(A, B)
    play(job, VoteReceived(A, ready=True, reboots=True), yes(B), ran(A), ran(B))
    play(job, NodeDown(A, spools=True), NodeDown(B, spools=True), now=10.0)
    play(job, TimePassed(), now=3000.0)
    assert job.nodes == {A: NodeState.RUNNING, B: NodeState.CRASHED}
    play(job, TimePassed(), now=5000.0)
    assert job.nodes[A] is NodeState.TIMED_OUT


def test_it_is_waited_for_after_a_restart_of_the_server_too() -> None:
    job = started(A, B)
    play(job, VoteReceived(A, ready=True, reboots=True), yes(B), ran(A), ran(B))
    play(job, Resumed(), now=10.0)
    play(job, TimePassed(), now=3000.0)
    assert job.nodes == {A: NodeState.RUNNING, B: NodeState.CRASHED}
    play(job, TimePassed(), now=5000.0)
    assert job.nodes[A] is NodeState.TIMED_OUT


def test_a_vote_is_saved_with_whether_the_command_may_restart_the_node() -> None:
    job = started(A, B, C)
    changes = [
        effect.changes
        for effect in play(job, VoteReceived(A, ready=True, reboots=True), yes(B))
        if isinstance(effect, SaveNodes)
    ]
    assert changes == [
        [NodeChange(A, NodeState.READY, reboots=True)],
        [NodeChange(B, NodeState.READY)],
    ]


def test_a_heartbeat_ends_the_wait_for_a_lost_node() -> None:
    job = running(A)
    play(job, NodeDown(A, spools=True), HeartbeatReceived(A, "running"))
    assert play(job, TimePassed(), now=310.0) == []


@pytest.mark.parametrize(
    "word", [HeartbeatReceived(A, "running"), RunAnswered(A, started=True)], ids=["beat", "ack"]
)
def test_a_node_that_was_heard_of_has_its_whole_time_again(word: Event) -> None:
    job = running(A)
    play(job, NodeDown(A, spools=True), now=10.0)
    play(job, word, now=200.0)
    play(job, NodeDown(A, spools=True), now=250.0)
    assert play(job, TimePassed(), now=549.0) == []
    assert "run_complete a crashed" in feed(play(job, TimePassed(), now=550.0))


def test_a_lost_nodes_time_runs_from_when_it_was_lost_first() -> None:
    job = running(A)
    play(job, NodeDown(A, spools=True), now=10.0)
    play(job, NodeDown(A, spools=True), now=200.0)
    assert "run_complete a crashed" in feed(play(job, TimePassed(), now=310.0))


def test_a_result_from_the_spool_counts_although_its_ack_run_was_lost() -> None:
    job = started(A)
    play(job, yes(A))
    effects = play(job, ResultReceived(A, succeeded=True, spooled=True))
    assert feed(effects) == ["run_start a", "run_complete a success", "job_complete complete"]


def test_a_repeated_result_from_the_spool_has_no_effect() -> None:
    job = running(A, B)
    play(job, ResultReceived(A, succeeded=True, spooled=True))
    assert play(job, ResultReceived(A, succeeded=True, spooled=True)) == []


def test_one_idle_heartbeat_may_have_crossed_our_message_two_are_a_crash() -> None:
    job = running(A)
    assert play(job, HeartbeatReceived(A, "idle")) == []
    assert "run_complete a crashed" in feed(play(job, HeartbeatReceived(A, "idle")))


@pytest.mark.parametrize(
    "sign",
    [
        HeartbeatReceived(A, "running"),
        HeartbeatReceived(A, "idle", result_pending=True),
        RunAnswered(A, started=True),
    ],
)
def test_idle_heartbeats_are_counted_anew_after_a_sign_of_work(sign: Event) -> None:
    job = running(A)
    idle = HeartbeatReceived(A, "idle")
    assert play(job, idle, sign, idle) == []
    assert "run_complete a crashed" in feed(play(job, idle))


def test_idle_with_the_result_still_in_the_spool_is_no_crash() -> None:
    job = running(A)
    idle = HeartbeatReceived(A, "idle", result_pending=True)
    assert play(job, idle, idle, idle) == []


def test_a_restarted_agent_that_dropped_its_command_is_a_crash() -> None:
    job = running(A)
    assert "run_complete a crashed" in feed(play(job, NodeRestarted(A)))


class TestAfterARestartOfTheServer:
    def test_a_ready_node_that_is_still_committed_is_told_to_run_once_more(self) -> None:
        job = started(A)
        play(job, yes(A))
        play(job, Resumed())
        committed = HeartbeatReceived(A, "committed")
        assert play(job, committed) == [SendRun([A])]
        assert play(job, committed) == []

    def test_a_running_node_is_adopted(self) -> None:
        job = started(A)
        play(job, yes(A), Resumed(), HeartbeatReceived(A, "running"))
        assert job.nodes[A] is NodeState.RUNNING
        assert play(job, TimePassed(), now=100.0) == []

    def test_silence_ends_no_work_before_the_grace_is_over(self) -> None:
        job = running(A)
        play(job, Resumed(), now=100.0)
        assert play(job, TimePassed(), now=159.0) == []
        assert "run_complete a crashed" in feed(play(job, TimePassed(), now=160.0))

    def test_a_node_that_was_not_asked_yet_is_asked_again(self) -> None:
        job = started(A)
        play(job, Resumed())
        assert play(job, HeartbeatReceived(A, "idle")) == [SendCommit([A])]
        assert play(job, HeartbeatReceived(A, "idle")) == []

    def test_a_vote_that_was_lost_is_read_from_the_heartbeat(self) -> None:
        job = started(A, B)
        play(job, Resumed(), HeartbeatReceived(A, "committed"))
        assert job.nodes[A] is NodeState.READY

    def test_a_run_timeout_that_passed_meanwhile_fires_at_once(self) -> None:
        job = running(A)
        play(job, Resumed(), TimePassed(), now=4000.0)
        assert job.status is JobStatus.TIMED_OUT


def test_on_a_new_connection_what_was_under_way_is_repeated() -> None:
    job = started(A)
    assert play(job, Reconnected(A), HeartbeatReceived(A, "idle")) == [SendCommit([A])]


def test_a_heartbeat_that_says_committed_is_no_vote() -> None:
    job = started(A, B)
    assert play(job, *[HeartbeatReceived(A, "committed")] * 5) == []
    assert job.nodes[A] is NodeState.NEW
    assert "quorum_vote a voting_timeout" in feed(play(job, TimePassed(), now=61.0))


def test_where_the_vote_may_be_lost_with_a_connection_it_is_one() -> None:
    job = started(A, B)
    assert feed(play(job, Reconnected(A), HeartbeatReceived(A, "committed"))) == [
        "quorum_vote a success"
    ]


def test_a_vote_that_says_more_is_asked_for_again() -> None:
    job = started(A, B)
    beat = HeartbeatReceived(A, "committed", votes_again=True)
    assert play(job, Reconnected(A), beat) == [SendCommit([A])]
    play(job, VoteReceived(A, ready=True, reboots=True), yes(B))
    assert job.reboots == {A}


def test_once_the_new_connection_has_spoken_only_ack_commit_is_a_vote() -> None:
    job = started(A, B)
    play(job, Reconnected(A), HeartbeatReceived(A, "idle"))
    assert play(job, HeartbeatReceived(A, "committed")) == []
    assert feed(play(job, yes(A))) == ["quorum_vote a success"]


def asked_again(vote: VoteReceived) -> Job:
    """A job whose node A was asked again while its vote was under way, which came."""
    job = started(A, B, quorum=1)
    play(job, Reconnected(A), HeartbeatReceived(A, "idle"), vote, yes(B))
    assert job.status is JobStatus.RUNNING
    return job


@pytest.mark.parametrize("voted", [yes(A), VoteReceived(A, ready=False, reason="no")])
def test_a_vote_that_was_asked_for_again_may_come_again(voted: VoteReceived) -> None:
    job = asked_again(voted)
    before = job.nodes[A]
    assert play(job, voted) == []
    assert job.nodes[A] is before


def test_a_vote_that_a_heartbeat_stood_for_may_still_come() -> None:
    job = started(A)
    play(job, Reconnected(A), HeartbeatReceived(A, "committed"))
    assert play(job, yes(A)) == []
    play(job, RunAnswered(A, started=True))
    assert play(job, yes(A)) == []


def test_another_vote_than_the_first_is_no_repetition() -> None:
    job = asked_again(yes(A))
    play(job, VoteReceived(A, ready=False, reason="changed its mind"))
    assert job.nodes[A] is NodeState.CRASHED


def test_a_vote_that_nobody_asked_for_again_is_out_of_turn() -> None:
    job = running(A)
    play(job, yes(A))
    assert job.nodes[A] is NodeState.CRASHED


def test_a_deleted_clients_vote_is_over() -> None:
    job = started(A, B)
    effects = play(job, NodeDeleted(A))
    [saved] = [e for e in effects if isinstance(e, SaveNodes)]
    assert saved.changes[0].reason == "its client was deleted while voting"
    assert feed(effects) == ["quorum_vote a down", "rehab a"]
    assert play(job, NodeDeleted(A)) == []


def test_reasons_are_saved_for_the_operator() -> None:
    job = started(A)
    effects = play(job, VoteReceived(A, ready=False, reason="not on the whitelist"))
    [saved] = [e for e in effects if isinstance(e, SaveNodes)]
    assert saved.changes[0].reason == "not on the whitelist"


def test_an_event_for_a_job_that_is_over_is_a_bug_of_ours() -> None:
    job = started(A)
    play(job, AbortRequested("ann"))
    with pytest.raises(ValueError, match="aborted"):
        play(job, yes(A))


def test_one_that_was_ready_and_is_idle_on_a_new_connection_is_asked_again() -> None:
    job = started(A, B)
    play(job, yes(A))
    assert play(job, Reconnected(A), HeartbeatReceived(A, "idle")) == [SendCommit([A])]
    # It votes as before, and runs; its result counts.
    assert play(job, yes(A)) == []
    assert SendRun([A, B]) in play(job, yes(B))
    # Its result on its way says more than that it is idle.
    job = started(A, B)
    play(job, yes(A))
    idle = HeartbeatReceived(A, "idle", result_pending=True)
    assert play(job, Reconnected(A), idle) == []


def test_one_that_was_ready_and_stays_idle_drops_out() -> None:
    job = started(A, B)
    idle = HeartbeatReceived(A, "idle")
    play(job, yes(A), Reconnected(A), idle)
    assert play(job, idle) == []
    play(job, idle)
    assert job.nodes[A] is NodeState.UNAVAILABLE
