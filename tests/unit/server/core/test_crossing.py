"""Messages that cross, come twice, late or never: nobody's work ends for that."""

from typing import Any

import pytest

from pushcli.protocol import messages
from pushcli.protocol.run import RunSpec
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.core.job_state import JobSpec
from pushcli_server.core.states import JobStatus, NodeState
from tests.unit.server.core.fleet_script import JOB, USUAL, A, B, Script, restarted, sent

OTHER = JobKey("acme", "2" * 32)
OLD: frozenset[str] = frozenset()
BUSY = f"busy with job {JOB.id}"


def start(fleet: Script, *nodes: NodeKey, quorum: int = 1) -> list[on_fleet.Effect]:
    """Another job on these nodes."""
    spec = JobSpec(
        run=RunSpec(command="y", run_timeout=50.0), nodes=tuple(n.name for n in nodes),
        quorum=quorum,
    )  # fmt: skip
    return fleet.tell(on_fleet.JobRequested(job=OTHER, spec=spec, requestor="bob", origin="x"))


def other(fleet: Script, node: NodeKey = A) -> NodeState:
    """What became of the node in it."""
    job = fleet.fleet.job(OTHER)
    assert job is not None
    return job.nodes[node.name]


def at_work(fleet: Script, node: NodeKey = A, **more: Any) -> list[on_fleet.Effect]:
    """The node's heartbeat says that it runs the first job."""
    return fleet.hear(node, job_state="running", job_id=JOB.id, **more)


# --- a job that asks a busy node


def test_who_is_lost_while_it_runs_one_job_and_is_asked_for_another_goes_on() -> None:
    fleet = Script()
    fleet.run(A, run_timeout=500.0)
    fleet.wait(1.0)
    start(fleet, A)
    fleet.wait(6.0)
    assert other(fleet) is NodeState.UNAVAILABLE
    assert messages.Abort not in sent(at_work(fleet, peer=b"new"), A)
    assert fleet.state(A) is NodeState.RUNNING


def test_a_vote_that_times_out_ends_no_other_job_of_its_nodes() -> None:
    fleet = Script()
    fleet.run(A, run_timeout=500.0)
    start(fleet, A)
    fleet.now += 25
    again = restarted(fleet, A)
    again.wait(0.0)
    assert other(again) is NodeState.UNAVAILABLE
    assert messages.Abort not in sent(at_work(again, peer=b"new"), A)
    assert again.state(A) is NodeState.RUNNING


def test_a_job_that_is_aborted_before_a_busy_node_refused_it_ends_no_other() -> None:
    fleet = Script()
    fleet.run(A, run_timeout=500.0)
    start(fleet, A)
    ended = fleet.tell(on_fleet.AbortRequested(job=OTHER, requestor="bob", origin="x"))
    ended += fleet.hear(A, messages.NackCommit, job_id=OTHER.id, reason=BUSY)
    assert messages.Abort not in sent(ended, A)


def test_who_works_for_the_job_that_ends_is_reset() -> None:
    fleet = Script()
    fleet.run(A)
    ended = fleet.tell(on_fleet.AbortRequested(job=JOB, requestor="ann", origin="x"))
    assert sent(ended, A) == [messages.Abort]


# --- rehab


def ends_while_asked() -> Script:
    """The first job's time is over a moment after node A was asked for its vote on another one."""
    fleet = Script()
    fleet.run(A, run_timeout=5.0)
    fleet.keep_alive(4, A, job_state="running", job_id=JOB.id)
    fleet.wait(0.9)
    start(fleet, A)
    assert messages.Abort in sent(fleet.wait(0.2), A)
    return fleet


def test_a_refusal_that_crosses_an_abort_is_heard() -> None:
    fleet = ends_while_asked()
    fleet.hear(A, messages.NackCommit, job_id=OTHER.id, reason=BUSY)
    assert other(fleet) is NodeState.NACKED
    fleet.hear(A, messages.Aborted, job_id=JOB.id)
    assert fleet.fleet.why_unavailable(A, fleet.now) is None


def test_who_leaves_rehab_is_asked_again_for_its_vote() -> None:
    fleet = ends_while_asked()
    # Its yes was to a commit from which the abort resets it.
    fleet.hear(A, messages.AckCommit, job_id=OTHER.id)
    assert sent(fleet.hear(A, messages.Aborted, job_id=OTHER.id), A) == [messages.Commit]
    fleet.hear(A, messages.AckCommit, job_id=OTHER.id)
    assert other(fleet) is NodeState.READY


def test_who_was_asked_while_its_reset_waited_for_the_store_is_asked_again() -> None:
    fleet = Script()
    fleet.bring(A, B)
    fleet.start(A, B, quorum=2)
    fleet.hear(A, messages.AckCommit, job_id=JOB.id)
    fleet.slow_store = True
    fleet.hear(B, messages.NackCommit, job_id=JOB.id, reason="no")
    start(fleet, A)
    fleet.commit()
    fleet.slow_store = False
    assert sent(fleet.hear(A, messages.Aborted, job_id=JOB.id), A) == [messages.Commit]


def test_a_rehab_that_nobody_answers_ends_with_the_question_too() -> None:
    fleet = ends_while_asked()
    # A second abort, of which the answer is missing.
    fleet.wait(1.0)
    fleet.hear(A, messages.Aborted, job_id=JOB.id)
    assert messages.Commit in sent(fleet.wait(3.0), A)


def test_a_refusal_in_rehab_still_has_the_node_reset() -> None:
    fleet = Script()
    fleet.bring(A, B)
    fleet.start(A, B)
    # A new run of the agent, which does not know of its reset.
    fleet.configure(A, "key 2")
    first = fleet.hear(A, messages.NackCommit, job_id=JOB.id, incarnation_id="second", peer=b"new")
    assert sent(first, A) == [messages.Abort]


# --- an agent that restarts


def test_a_late_message_of_the_previous_run_has_nobody_aborted() -> None:
    fleet = Script()
    fleet.run(A, run_timeout=500.0)
    fleet.configure(A, "key 2", adopts=frozenset({JOB.id}))
    at_work(fleet, curve_key=f"key of {A.name} in {A.org}")
    fleet.wait(0.3)
    told = at_work(fleet, incarnation_id="second", peer=b"new")
    for _ in range(3):
        told += fleet.wait(0.9)
        told += at_work(fleet, incarnation_id="second", peer=b"new")
    assert messages.Abort not in sent(told, A)
    assert fleet.state(A) is NodeState.RUNNING


# --- a server that restarts


def test_who_voted_yes_before_a_restart_and_never_returns_is_given_up() -> None:
    fleet = Script()
    fleet.bring(A, B)
    fleet.start(A, B, quorum=2, run_timeout=3600.0)
    fleet.hear(A, messages.AckCommit, job_id=JOB.id)
    again = restarted(fleet, A, B)
    again.hear(B, peer=b"new")
    for kind in (messages.AckCommit, messages.AckRun):
        again.hear(B, kind, job_id=JOB.id, peer=b"new")
    again.hear(B, messages.Succeeded, job_id=JOB.id, peer=b"new", spooled=True, exit_code=0)
    assert again.job.status is JobStatus.RUNNING
    again.keep_alive(31, B, peer=b"new")
    assert (again.job.status, again.state(A)) == (JobStatus.COMPLETE, NodeState.CRASHED)


def test_who_voted_yes_before_a_restart_and_returns_runs() -> None:
    fleet = Script()
    fleet.bring(A, B)
    fleet.start(A, B, quorum=2, run_timeout=3600.0)
    fleet.hear(A, messages.AckCommit, job_id=JOB.id)
    again = restarted(fleet, A, B)
    again.hear(A, job_state="committed", job_id=JOB.id, peer=b"new")
    again.hear(B, peer=b"new")
    again.hear(B, messages.AckCommit, job_id=JOB.id, peer=b"new")
    for node in (A, B):
        again.hear(node, messages.AckRun, job_id=JOB.id, peer=b"new")
    again.keep_alive(40, A, B, job_state="running", job_id=JOB.id, peer=b"new")
    assert (again.state(A), again.state(B)) == (NodeState.RUNNING, NodeState.RUNNING)


def test_a_vote_that_was_given_twice_may_come_after_a_restart() -> None:
    fleet = Script()
    fleet.bring(A, B, offered=OLD)
    fleet.start(A, B, quorum=2)
    for node in (A, B):
        fleet.hear(node, messages.AckCommit, job_id=JOB.id)
    # What is not stored is not known any more.
    fleet.job.asked_again.clear()
    again = restarted(fleet, A, B)
    again.hear(A, messages.AckCommit, job_id=JOB.id, peer=b"new")
    assert again.state(A) is NodeState.READY


# --- what is said twice, or was lost with a connection


@pytest.mark.parametrize("offered", [OLD, USUAL])
def test_a_result_whose_beginning_was_lost_with_the_connection_counts(
    offered: frozenset[str],
) -> None:
    fleet = Script()
    fleet.bring(A, offered=offered)
    fleet.start(A)
    fleet.hear(A, messages.AckCommit, job_id=JOB.id)
    fleet.hear(A, messages.Succeeded, job_id=JOB.id, peer=b"new")
    assert fleet.state(A) is NodeState.SUCCEEDED


def told_twice() -> Script:
    """Node A was told to run a second time, while its answer was under way."""
    fleet = Script()
    fleet.bring(A, B, offered=OLD)
    fleet.start(A, B, quorum=2)
    for node in (A, B):
        fleet.hear(node, messages.AckCommit, job_id=JOB.id)
    fleet.hear(B, messages.AckRun, job_id=JOB.id)
    fleet.tell(on_fleet.Stalled(4.0))
    crossed = fleet.hear(A, job_state="committed", job_id=JOB.id)
    assert sent(crossed, A) == [messages.Run]
    fleet.hear(A, messages.AckRun, job_id=JOB.id)
    return fleet


def test_who_refuses_a_second_run_after_the_first_ended_is_not_reset() -> None:
    fleet = told_twice()
    fleet.hear(A, messages.Succeeded, job_id=JOB.id)
    start(fleet, A)
    assert sent(fleet.hear(A, messages.NackRun, job_id=JOB.id), A) == []
    fleet.hear(A, messages.AckCommit, job_id=OTHER.id)
    assert other(fleet) in (NodeState.READY, NodeState.RUNNING)


def test_who_refuses_a_second_run_while_the_first_goes_on_runs() -> None:
    fleet = told_twice()
    fleet.hear(A, messages.NackRun, job_id=JOB.id)
    assert fleet.state(A) is NodeState.RUNNING


def test_who_refuses_the_run_it_was_told_once_has_failed() -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.start(A)
    fleet.hear(A, messages.AckCommit, job_id=JOB.id)
    fleet.hear(A, messages.NackRun, job_id=JOB.id)
    assert fleet.state(A) is NodeState.FAILED


# --- too much waits for the database


@pytest.mark.parametrize(
    ("kind", "job", "is_taken"),
    [
        (messages.AckCommit, JOB, True),
        (messages.NackCommit, JOB, True),
        (messages.AckRun, JOB, True),
        (messages.NackRun, JOB, True),
        (messages.Succeeded, JOB, False),
        (messages.AckCommit, OTHER, False),
        (messages.Heartbeat, JOB, True),
    ],
)
def test_an_answer_that_would_not_come_again_is_always_taken(
    kind: Any, job: JobKey, is_taken: bool
) -> None:
    fleet = Script()
    fleet.bring(A)
    fleet.start(A)
    more = {"job_state": "idle"} if kind is messages.Heartbeat else {}
    message = kind(
        node=A.name, org=A.org, sequence=1, timestamp="", incarnation_id=f"run of {A.name}",
        job_id=job.id, **more,
    )  # fmt: skip
    assert fleet.fleet.is_routine(A, message) is is_taken
    assert not fleet.fleet.is_routine(B, message)
