"""For how long what an ended command wrote is waited for, as scripts over a fleet."""

import base64

import pytest

from pushcli.protocol import extensions, messages
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.endings import COMES, FOLLOWS, LONGEST, Ending, Endings
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.core.states import NodeState
from tests.unit.server.core.fleet_script import JOB, RULES, USUAL, A, B, Script


def ending(fleet: Script) -> set[str]:
    return {node.name for node in (A, B) if fleet.fleet.is_ending(JOB, node.name, fleet.now)}


def abort(fleet: Script, job: JobKey = JOB) -> None:
    fleet.tell(on_fleet.AbortRequested(job=job, requestor="ann", origin="here"))


def aborted(offered: frozenset[str] = USUAL) -> Script:
    """A job that both were running when it was aborted."""
    fleet = Script()
    fleet.run(A, B, offered=offered, capture=True)
    abort(fleet)
    return fleet


def report(fleet: Script, node: NodeKey = A) -> None:
    fleet.hear(
        node, messages.Failed, job_id=JOB.id, spooled=True, signal=15, aborted=True,
        started_at=1.0, ended_at=2.0,
    )  # fmt: skip


def chunk(fleet: Script, offset: int = 0) -> None:
    data = base64.b64encode(b"said").decode()
    fleet.hear(A, messages.Output, job_id=JOB.id, channel="stdout", offset=offset, data=data)


def test_it_is_awaited_while_the_abort_is_unanswered_but_not_for_ever() -> None:
    fleet = aborted()
    fleet.keep_alive(LONGEST - 1, A, B, job_state="aborting", job_id=JOB.id)
    assert ending(fleet) == {"a", "b"}
    fleet.keep_alive(1, A, B, job_state="aborting", job_id=JOB.id)
    assert ending(fleet) == set()


def test_it_is_awaited_until_its_result_is_stored() -> None:
    fleet = aborted()
    fleet.hear(A, messages.Aborted, job_id=JOB.id)
    assert ending(fleet) == {"a", "b"}
    fleet.slow_store = True
    report(fleet)
    fleet.keep_alive(FOLLOWS + 1, A, B)
    assert ending(fleet) == {"a", "b"}
    fleet.commit()
    assert ending(fleet) == {"b"}


def test_the_answer_may_take_long_the_result_follows_it_all_the_same() -> None:
    fleet = aborted()
    fleet.keep_alive(FOLLOWS + 3, A, job_state="aborting", job_id=JOB.id)
    # As many as there were aborts.
    while fleet.fleet.nodes[A].aborts:
        fleet.hear(A, messages.Aborted, job_id=JOB.id)
    assert fleet.fleet.why_unavailable(A, fleet.now) is None
    assert "a" in ending(fleet)


def test_a_result_follows_the_answer_soon_or_not_at_all() -> None:
    fleet = aborted()
    fleet.hear(A, messages.Aborted, job_id=JOB.id)
    fleet.keep_alive(FOLLOWS - 1, A)
    assert "a" in ending(fleet)
    fleet.keep_alive(1, A)
    assert "a" not in ending(fleet)


def test_output_on_its_way_is_awaited_from_piece_to_piece() -> None:
    fleet = aborted()
    fleet.hear(A, messages.Aborted, job_id=JOB.id)
    chunk(fleet)
    fleet.keep_alive(COMES - 1, A)
    chunk(fleet, 4)
    fleet.keep_alive(COMES - 1, A)
    assert "a" in ending(fleet)
    fleet.keep_alive(2, A)
    assert "a" not in ending(fleet)


def test_who_always_has_another_piece_is_not_awaited_for_ever() -> None:
    fleet = aborted()
    fleet.hear(A, messages.Aborted, job_id=JOB.id)
    for _ in range(int(LONGEST) // 2):
        assert "a" in ending(fleet)
        # Once there, it is nothing new.
        chunk(fleet)
        fleet.keep_alive(2, A)
    chunk(fleet)
    assert "a" not in ending(fleet)


def test_an_answer_shortens_no_wait() -> None:
    fleet = aborted()
    fleet.wait(1)
    fleet.hear(A, messages.Aborted, job_id=JOB.id)
    chunk(fleet)
    # To the second abort.
    fleet.hear(A, messages.Aborted)
    fleet.tell(on_fleet.ResetDue(A))
    fleet.hear(A, messages.Aborted)
    fleet.keep_alive(FOLLOWS + 1, A)
    assert "a" in ending(fleet)


def test_the_first_piece_shows_that_there_is_more() -> None:
    fleet = aborted()
    fleet.hear(A, messages.Aborted, job_id=JOB.id)
    chunk(fleet)
    fleet.keep_alive(FOLLOWS + 1, A)
    assert "a" in ending(fleet)
    # It falls silent.
    fleet.wait(COMES - FOLLOWS - 2)
    assert "a" not in ending(fleet)


def test_looks_forget_who_says_no_more() -> None:
    fleet = aborted()
    assert not fleet.fleet.is_settled(JOB, fleet.now)
    fleet.hear(A, messages.Aborted, job_id=JOB.id)
    fleet.hear(B, messages.Aborted, job_id=JOB.id)
    chunk(fleet)
    fleet.keep_alive(FOLLOWS, A, B)
    assert not fleet.fleet.is_settled(JOB, fleet.now)
    fleet.keep_alive(COMES, A, B)
    assert fleet.fleet.is_settled(JOB, fleet.now)
    assert not fleet.fleet.endings.nodes(JOB)


def test_a_look_is_at_so_many_at_most() -> None:
    fleet = Script()
    names = [f"n{number}" for number in range(1500)]
    for name in names:
        fleet.fleet.endings.begin(NodeKey("acme", name), JOB, fleet.now)
    # None of them is there.
    assert not fleet.fleet.is_settled(JOB, fleet.now)
    assert fleet.fleet.is_settled(JOB, fleet.now)


def test_who_is_away_keeps_nobody_waiting() -> None:
    fleet = aborted()
    fleet.wait(60)
    assert ending(fleet) == set()
    # It is back, as it was.
    fleet.hear(A, peer=b"its next connection", job_state="running", job_id=JOB.id)
    assert ending(fleet) == set()


def test_agents_that_send_no_such_results_are_not_awaited() -> None:
    assert ending(aborted(USUAL - {extensions.PARTIAL})) == set()


def test_before_a_job_ran_there_is_nothing_to_await() -> None:
    fleet = Script()
    fleet.bring(A, B)
    fleet.start(A, B)
    fleet.hear(A, messages.AckCommit, job_id=JOB.id)
    abort(fleet)
    assert set(fleet.job.nodes.values()) == {NodeState.ABORTED}
    assert ending(fleet) == set()


def test_what_was_reported_in_time_is_not_awaited() -> None:
    fleet = Script()
    fleet.run(A, B)
    fleet.hear(A, messages.Succeeded, job_id=JOB.id, spooled=True)
    abort(fleet)
    assert ending(fleet) == {"b"}


def test_what_timed_out_by_its_own_agent_is_stored_with_its_state() -> None:
    fleet = Script()
    fleet.run(A, B)
    fleet.slow_store = True
    fleet.hear(
        A, messages.Failed, job_id=JOB.id, spooled=True, timed_out=True, signal=15,
        started_at=1.0, ended_at=2.0,
    )  # fmt: skip
    assert fleet.state(A) is NodeState.TIMED_OUT
    assert ending(fleet) == set()


def test_a_node_ends_one_command_at_a_time() -> None:
    endings, other = Endings(), JobKey("acme", "2" * 32)
    endings.begin(A, JOB, 0)
    endings.begin(A, other, 1)
    endings.stored(A, JOB)
    # It still delivers what it had of the one before.
    endings.came(A, JOB, 2)
    assert (endings.of(A, JOB), endings.of(A, other)) == (None, Ending(other, 1))
    endings.came(A, JOB, LONGEST + 1)
    assert endings.of(A, other) is None
    assert endings.of(A, JOB) == Ending(JOB, LONGEST + 1, LONGEST + 1 + COMES)
    endings.stored(A, JOB)
    assert not endings.nodes(JOB)
    # Jobs come and go for years.
    assert not endings._of_job


def test_where_the_abort_waits_for_no_answer_what_comes_follows_it() -> None:
    endings = Endings()
    endings.begin(A, JOB, 0)
    # Its node is at another job.
    endings.abort(A, 20)
    assert endings.of(A, JOB) == Ending(JOB, 0, 20 + FOLLOWS)
    endings.abort(A, 40)
    assert endings.of(A, JOB) == Ending(JOB, 0, 20 + FOLLOWS)


def test_a_reset_is_what_an_ending_waits_from() -> None:
    fleet = Script()
    fleet.run(A, B)
    fleet.slow_store = True
    abort(fleet)
    one = fleet.fleet.endings.of(A, JOB)
    fleet.keep_alive(3, A, B)
    fleet.commit()
    assert one == Ending(JOB, fleet.now - 3, fleet.now + FOLLOWS)


def test_a_deleted_node_is_not_awaited() -> None:
    fleet = aborted()
    fleet.tell(on_fleet.ClientDeleted(A))
    fleet.bring(A)
    assert ending(fleet) == {"b"}


def test_the_next_command_is_none_of_this_job() -> None:
    fleet = aborted()
    fleet.hear(A, messages.Aborted, job_id=JOB.id)
    fleet.hear(B, messages.Aborted, job_id=JOB.id)
    spec, other = fleet.job.spec, JobKey("acme", "2" * 32)
    fleet.keep_alive(FOLLOWS, A, B)
    fleet.tell(on_fleet.JobRequested(job=other, spec=spec, requestor="ann", origin="here"))
    # Nobody answers: they are reset, and ran nothing.
    fleet.keep_alive(RULES.grace.voting + 1, A, B)
    assert ending(fleet) == set()


@pytest.mark.parametrize("known", [True, False])
def test_what_nobody_here_asked_for_is_not_awaited(known: bool) -> None:
    fleet = aborted()
    job = JOB if known else JobKey("acme", "3" * 32)
    report(fleet)
    fleet.hear(A, messages.Failed, job_id=job.id, spooled=True)
    assert fleet.fleet.endings.nodes(job) <= {"b"}
