"""The server was away, or stood still: agents are silent for a while, and old ones for long.

The old agent counts four missed heartbeats, reopens its sockets and is silent for about 4 s;
one that runs a long command is silent until it ends (Push Jobs protocol, section 9).
"""

import pytest

from pushcli.protocol import extensions, messages
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.core.states import JobStatus, NodeState
from tests.unit.server.core.fleet_script import JOB, RULES, A, B, Script, of, restarted, sent

OLD = frozenset[str]()
LONG = 10_000.0
DOWN = RULES.patience.silence + 0.1
QUIET_DOWN = RULES.patience.quiet_interval + DOWN
"""Of an agent that sends few heartbeats."""
"""Seconds of silence that make a node offline."""


def running(*nodes: NodeKey, offered: frozenset[str] = OLD, run_timeout: float = LONG) -> Script:
    fleet = Script()
    fleet.run(*nodes, offered=offered, run_timeout=run_timeout)
    return fleet


def beat(fleet: Script, node: NodeKey = A) -> None:
    fleet.hear(node, job_state="running", job_id=JOB.id)


def changes(fleet: Script) -> list[tuple[str, NodeState, str | None]]:
    """What was saved of nodes' parts."""
    saved = of(on_fleet.SaveJobNodes, fleet.done)
    return [(c.node, c.state, c.reason) for effect in saved for c in effect.changes]


# --- a restart, and agents that keep no results


@pytest.mark.parametrize("heard", [(), (0.0,), (2.0,), (0.0, 1.0, 2.0, 3.0), (20.0, 29.0)])
@pytest.mark.parametrize("ends_after", [4.0, 31.0, 120.0, 3600.0])
def test_an_old_agent_that_is_silent_after_a_restart_still_succeeds(
    heard: tuple[float, ...], ends_after: float
) -> None:
    again = restarted(running(A), A)
    begin = again.now
    for moment in heard:
        if moment < ends_after:
            again.wait(begin + moment - again.now)
            beat(again)
    again.wait(begin + ends_after - again.now)
    assert again.state(A) is NodeState.RUNNING
    again.hear(A, messages.Succeeded, job_id=JOB.id, peer=b"new")
    assert again.state(A) is NodeState.SUCCEEDED


def test_only_the_run_timeout_ends_its_silence() -> None:
    again = restarted(running(A, run_timeout=500), A)
    beat(again)
    again.wait(490)
    assert again.state(A) is NodeState.RUNNING
    again.wait(12)
    assert again.job.status is JobStatus.TIMED_OUT
    assert again.state(A) is NodeState.TIMED_OUT


def test_an_old_agent_that_comes_with_a_new_key_has_lost_its_work() -> None:
    again = restarted(running(A), A)
    again.wait(100)
    again.configure(A, "another key", offered=OLD)
    assert changes(again)[-1] == ("a", NodeState.CRASHED, "its agent restarted while running")


def test_an_old_agent_that_says_it_is_idle_has_lost_its_work() -> None:
    again = restarted(running(A), A)
    again.wait(100)
    again.hear(A)
    again.hear(A)
    assert again.state(A) is NodeState.CRASHED


def test_a_client_that_is_deleted_meanwhile_ends_it_at_once() -> None:
    again = restarted(running(A), A)
    again.tell(on_fleet.ClientDeleted(A))
    assert changes(again)[-1] == ("a", NodeState.CRASHED, "its client was deleted while running")


def test_that_an_old_agent_began_may_be_lost_with_the_restart() -> None:
    fleet = Script()
    fleet.bring(A, offered=OLD)
    fleet.start(A, run_timeout=LONG)
    fleet.hear(A, messages.AckCommit, job_id=JOB.id)
    again = restarted(fleet, A)
    again.wait(100)
    again.hear(A, messages.Succeeded, job_id=JOB.id)
    assert again.state(A) is NodeState.SUCCEEDED
    events = [effect.event for effect in of(on_fleet.Publish, again.done)]
    assert events == ["run_start", "run_complete", "job_complete"]


def test_a_second_restart_is_borne_like_the_first() -> None:
    again = restarted(restarted(running(A), A), A)
    beat(again)
    again.wait(200)
    assert again.state(A) is NodeState.RUNNING


def test_a_job_that_starts_after_the_restart_has_the_ordinary_rule() -> None:
    fleet = running(B)
    fleet.bring(A, offered=OLD)
    again = restarted(fleet, A, B)
    again.hear(A)
    other = JobKey("acme", "2" * 32)
    again.tell(
        on_fleet.JobRequested(
            job=other,
            spec=type(again.job.spec)(run=again.job.spec.run, nodes=("a",), quorum=1),
            requestor="ann",
            origin="",
        )
    )
    again.hear(A, messages.AckCommit, job_id=other.id)
    again.hear(A, messages.AckRun, job_id=other.id)
    again.wait(DOWN)
    assert changes(again)[-1] == ("a", NodeState.CRASHED, "went offline while running")
    assert again.state(B) is NodeState.RUNNING


def test_without_a_restart_silence_ends_an_old_agents_work() -> None:
    fleet = running(A)
    fleet.wait(DOWN)
    assert fleet.state(A) is NodeState.CRASHED


def test_a_node_that_nobody_knows_any_more_is_given_up_after_the_grace() -> None:
    again = restarted(running(A))
    again.wait(RULES.grace.restart - 1)
    assert again.state(A) is NodeState.RUNNING
    again.wait(2)
    assert changes(again)[-1] == ("a", NodeState.CRASHED, "out of contact for too long")


# --- a restart, and agents that spool


def test_an_agent_that_spools_is_given_up_after_the_grace_if_it_is_not_heard_of() -> None:
    again = restarted(running(A, offered=extensions.ALL), A)
    again.wait(RULES.grace.restart + 1)
    assert again.state(A) is NodeState.CRASHED


def test_one_that_was_heard_of_is_waited_for_as_ever() -> None:
    again = restarted(running(A, offered=extensions.ALL), A)
    beat(again)
    again.wait(QUIET_DOWN + RULES.grace.lost - 1)
    assert again.state(A) is NodeState.RUNNING
    again.wait(2)
    assert again.state(A) is NodeState.CRASHED


# --- a restart while the job votes


def voting(offered: frozenset[str] = OLD) -> Script:
    """A job for which A has voted, and B not."""
    fleet = Script()
    fleet.bring(A, B, offered=offered)
    fleet.start(A, B)
    fleet.hear(A, messages.AckCommit, job_id=JOB.id)
    return fleet


@pytest.mark.parametrize("offered", [OLD, extensions.ALL])
def test_a_voters_silence_after_a_restart_is_borne_too(offered: frozenset[str]) -> None:
    again = restarted(voting(offered), A, B)
    for node in (A, B):
        again.hear(node, job_state="committed", job_id=JOB.id, peer=b"first")
    if extensions.REBOOTS in offered:
        # Its vote may have said more: it is asked for it again.
        assert messages.Commit in sent(again.done, B)
        again.hear(B, messages.AckCommit, job_id=JOB.id, peer=b"first")
    assert again.job.status is JobStatus.RUNNING, "the vote of B may have been lost"
    fresh = restarted(voting(offered), A, B)
    fresh.hear(A, job_state="committed", job_id=JOB.id)
    fresh.wait(DOWN)
    assert fresh.state(A) is NodeState.READY
    fresh.hear(B)
    fresh.hear(B, messages.AckCommit, job_id=JOB.id)
    assert fresh.job.status is JobStatus.RUNNING
    run = fresh.hear(A, job_state="committed", job_id=JOB.id, peer=b"again")
    assert messages.Run in sent(run, A)


def test_a_voter_that_never_returns_is_given_up_when_the_job_runs() -> None:
    again = restarted(voting(), A, B)
    again.hear(A, job_state="committed", job_id=JOB.id)
    again.wait(DOWN)
    again.hear(B)
    again.hear(B, messages.AckCommit, job_id=JOB.id)
    again.hear(B, messages.AckRun, job_id=JOB.id)
    again.keep_alive(RULES.grace.restart, B, job_state="running", job_id=JOB.id)
    assert again.state(A) is NodeState.CRASHED
    assert again.state(B) is NodeState.RUNNING


def test_the_voting_deadline_bounds_it() -> None:
    again = restarted(voting(), A, B)
    again.wait(RULES.grace.voting + 1)
    assert again.fleet.job(JOB) is None or again.job.status is JobStatus.QUORUM_FAILED


# --- a server that stood still


@pytest.mark.parametrize("seconds", [2.0, 3.0])
def test_after_a_short_standstill_nodes_are_heard_before_they_are_judged(seconds: float) -> None:
    fleet = running(A)
    fleet.now += seconds
    fleet.tell(on_fleet.Stalled(seconds))
    fleet.wait(3.0)
    assert fleet.fleet.why_unavailable(A, fleet.now) is None
    fleet.wait(6.0)
    assert fleet.state(A) is NodeState.CRASHED, "its agent had no reason to be silent"


def test_after_a_long_standstill_agents_return_as_after_a_restart() -> None:
    fleet = running(A, B)
    fleet.now += 30.0
    fleet.tell(on_fleet.Stalled(30.0))
    assert fleet.state(A) is NodeState.RUNNING
    beat(fleet, B)
    fleet.wait(120)
    for node in (A, B):
        assert fleet.state(node) is NodeState.RUNNING
        fleet.hear(node, messages.Succeeded, job_id=JOB.id, peer=b"new " + node.name.encode())
    assert fleet.job.status is JobStatus.COMPLETE


def test_a_standstill_gives_no_time_to_who_was_out_of_contact_for_ever() -> None:
    fleet = running(A, offered=extensions.ALL)
    fleet.wait(QUIET_DOWN)
    fleet.now += 200.0
    fleet.tell(on_fleet.Stalled(200.0))
    assert fleet.state(A) is NodeState.RUNNING
    fleet.wait(RULES.grace.restart + 1)
    assert fleet.state(A) is NodeState.CRASHED


def test_what_was_under_way_in_a_standstill_is_sent_again() -> None:
    fleet = Script()
    fleet.bring(A, offered=OLD)
    fleet.start(A)
    fleet.now += 10.0
    fleet.tell(on_fleet.Stalled(10.0))
    assert messages.Commit in sent(fleet.hear(A), A)


# --- a clock that is set


def test_when_the_clock_is_set_deadlines_stay_and_dates_follow() -> None:
    fleet = running(A, run_timeout=100)
    saved = of(on_fleet.SaveJob, fleet.tell(on_fleet.ClockSet(3600.0)))
    assert [effect.job.key for effect in saved] == [JOB], "its deadlines are stored as dates"
    assert saved[0].job.updated_at == 1000.0, "when it began to run is not changed"
    fleet.keep_alive(99, A, job_state="running", job_id=JOB.id)
    assert fleet.job.status is JobStatus.RUNNING
    fleet.keep_alive(2, A, job_state="running", job_id=JOB.id)
    assert fleet.job.status is JobStatus.TIMED_OUT
    assert fleet.job.updated_at == pytest.approx(1000.0 + 100 + 3600)


def test_a_job_is_dated_by_the_clock_as_it_is_now() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.tell(on_fleet.ClockSet(-500.0))
    fleet.start(A)
    assert (fleet.job.created_at, fleet.job.updated_at) == (500.0, 500.0)
    fleet.tell(on_fleet.AbortRequested(job=JOB, requestor="ann", origin=""))
    fleet.wait(4.9)
    assert fleet.fleet.job(JOB) is not None
    fleet.wait(0.2)
    assert fleet.fleet.job(JOB) is None


# --- clocks of nodes


def test_a_node_whose_clock_is_off_says_so_until_it_is_heard() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.tell(on_fleet.ClockDiffers(A, 412.3))
    assert fleet.fleet.why_unavailable(A, fleet.now) is None
    fleet.wait(DOWN)
    why = fleet.fleet.why_unavailable(A, fleet.now)
    assert why == "offline: its clock is 412 s ahead of the server's"
    fleet.hear(A, peer=b"new")
    fleet.wait(DOWN)
    assert fleet.fleet.why_unavailable(A, fleet.now) == "offline"


def test_a_node_that_never_came_because_of_its_clock_says_so() -> None:
    fleet = Script()
    fleet.tell(on_fleet.ClockDiffers(A, -7200.0))
    why = fleet.fleet.why_unavailable(A, fleet.now)
    assert why == "offline: its clock is 7200 s behind the server's"


def test_in_rehab_too() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.configure(A, "key 2")
    fleet.tell(on_fleet.ClockDiffers(A, 400.0))
    why = fleet.fleet.why_unavailable(A, fleet.now)
    assert why == "being reset (rehab): its clock is 400 s ahead of the server's"
