"""Commit, run, abort and end, as scripts."""

import math
from typing import Any

import pytest

from pushcli.protocol import extensions, messages
from pushcli.protocol.run import Outcome, RunSpec
from pushcli_agent.core import effects, events
from tests.unit.agent.core.script import (
    JOB,
    OTHER,
    Script,
    answer,
    config,
    connected,
    heartbeat,
    old_config,
    succeeded,
)


def test_a_commit_starts_a_supervisor_and_is_acknowledged_when_that_is_ready() -> None:
    script = connected()
    fields: dict[str, Any] = {
        "run_timeout": 5.0, "user": "www", "dir": "/srv", "env": {"A": "1"}, "file": "raw:x",
        "capture": True,
    }  # fmt: skip
    assert script.commit(command="ls", requestor="ann", **fields) == [
        effects.StartSupervisor(JOB, RunSpec(command="ls", **fields), "ann")
    ]
    assert script.take(events.SupervisorStarted(JOB)) == [answer(messages.AckCommit)]


def test_the_server_learns_that_a_command_may_restart_the_node_if_it_knows_such() -> None:
    for script, told in ((connected(), True), (connected(old_config()), False)):
        script.commit()
        ack = effects.Answer(messages.AckCommit, JOB, reboots=told)
        assert script.take(events.SupervisorStarted(JOB, reboots=True)) == [ack]
        assert script.commit() == [ack]


def test_run_tells_the_supervisor_before_it_is_acknowledged() -> None:
    script = connected()
    script.committed()
    assert script.command(messages.Run, job_id=JOB) == [
        effects.StartCommand(JOB),
        answer(messages.AckRun),
    ]


def test_a_repeated_commit_is_acknowledged_again_without_a_second_supervisor() -> None:
    script = connected()
    script.committed()
    assert script.commit() == [answer(messages.AckCommit)]


def test_a_commit_repeated_before_the_supervisor_is_ready_is_answered_once_it_is() -> None:
    script = connected()
    script.commit()
    assert script.commit() == []
    assert script.take(events.SupervisorStarted(JOB)) == [answer(messages.AckCommit)]


def test_a_repeated_run_is_acknowledged_again_and_starts_nothing() -> None:
    script = connected()
    script.running()
    assert script.command(messages.Run, job_id=JOB) == [answer(messages.AckRun)]


def test_a_refusal_is_nacked_with_its_reason_and_leaves_the_agent_idle() -> None:
    script = connected()
    script.commit()
    refusal = events.CommitRefused(JOB, "not on the whitelist: true")
    assert script.take(refusal) == [
        answer(messages.NackCommit, reason="not on the whitelist: true")
    ]
    assert heartbeat() in script.wait(1.0)


def test_an_old_server_gets_no_reason() -> None:
    script = connected(old_config())
    script.commit()
    assert script.take(events.CommitRefused(JOB, "no")) == [answer(messages.NackCommit)]


@pytest.mark.parametrize("state", ["committed", "running"])
def test_a_commit_to_another_job_is_nacked_while_busy(state: str) -> None:
    script = connected()
    getattr(script, state)()
    assert script.commit(OTHER) == [answer(messages.NackCommit, OTHER, f"busy with job {JOB}")]


def test_a_run_for_another_job_is_nacked() -> None:
    script = connected()
    script.committed()
    assert script.command(messages.Run, job_id=OTHER) == [answer(messages.NackRun, OTHER)]


@pytest.mark.parametrize(
    "fields",
    [{"job_id": None}, {"command": None}, {"job_id": "../../etc"}, {"job_id": JOB.upper() + "A"}],
)
def test_a_commit_without_job_id_or_command_is_nacked_with_no_job_id(
    fields: dict[str, str | None],
) -> None:
    assert connected().command(messages.Commit, **{"job_id": JOB, "command": "x", **fields}) == [
        answer(messages.NackCommit, None)
    ]


def test_a_run_without_job_id_is_nacked_with_no_job_id() -> None:
    assert connected().command(messages.Run) == [answer(messages.NackRun, None)]


@pytest.mark.parametrize(
    ("kind", "nack"), [("commit", messages.NackCommit), ("run", messages.NackRun)]
)
def test_what_is_not_well_formed_is_nacked_with_no_job_id(kind: str, nack: type) -> None:
    event = events.MalformedReceived(kind, "Expected `str`, got `int`")  # type: ignore[arg-type]
    assert connected().take(event) == [answer(nack, None)]


def test_the_run_timeout_reaches_the_supervisor_only_if_it_was_agreed() -> None:
    [start] = connected().commit(run_timeout=5.0)
    assert isinstance(start, effects.StartSupervisor)
    assert start.run.run_timeout == 5.0
    [start] = connected(old_config()).commit(run_timeout=5.0)
    assert isinstance(start, effects.StartSupervisor)
    assert start.run.run_timeout == math.inf


def test_heartbeats_say_what_the_agent_does() -> None:
    script = connected()
    assert script.wait(1.0) == [heartbeat()]
    script.committed()
    assert script.wait(1.0) == [heartbeat("committed", JOB)]
    script.command(messages.Run, job_id=JOB)
    script.beat()
    assert script.wait(1.0) == [heartbeat("running", JOB)]


def test_an_idle_agent_answers_an_abort_at_once() -> None:
    assert connected().command(messages.Abort) == [answer(messages.Aborted, None)]


@pytest.mark.parametrize("state", ["committed", "running"])
def test_an_abort_is_answered_when_the_job_is_gone(state: str) -> None:
    script = connected()
    getattr(script, state)()
    assert script.command(messages.Abort) == [effects.AbortJob(JOB)]
    assert script.ended(None) == [effects.DiscardSpool(JOB), answer(messages.Aborted)]
    script.beat()
    assert script.wait(1.0) == [heartbeat()]


ABORTED = Outcome(signal=15, aborted=True, capture=True, stdout_size=3)


@pytest.mark.parametrize("outcome", [ABORTED, succeeded(), Outcome(lost=True)])
def test_what_was_aborted_has_its_result_delivered_after_the_answer(outcome: Outcome) -> None:
    script = connected()
    script.running()
    script.command(messages.Abort)
    form = effects.ResultForm.INLINE if outcome.capture else effects.ResultForm.BARE
    result = effects.SendResult(JOB, outcome, form, spooled=True, partial=True)
    assert script.ended(outcome) == [answer(messages.Aborted), result]
    assert script.command(messages.AckResult, job_id=JOB) == [effects.DiscardSpool(JOB)]


@pytest.mark.parametrize("extensions_", [frozenset(), extensions.ALL - {extensions.PARTIAL}])
@pytest.mark.parametrize("outcome", [ABORTED, succeeded(), Outcome(lost=True)])
def test_a_server_that_wants_no_such_results_hears_only_of_the_abort(
    extensions_: frozenset[str], outcome: Outcome
) -> None:
    script = connected(config(extensions=extensions_ - {extensions.FACTS, extensions.WHITELIST}))
    script.running()
    script.command(messages.Abort)
    assert script.ended(outcome) == [effects.DiscardSpool(JOB), answer(messages.Aborted)]


def test_a_command_that_lost_its_supervisor_has_a_result() -> None:
    script = connected()
    script.running()
    outcome = Outcome(lost=True, capture=True, stdout_size=2)
    assert script.ended(outcome) == [
        effects.SendResult(JOB, outcome, effects.ResultForm.INLINE, spooled=True, partial=True)
    ]


@pytest.mark.parametrize("extensions_", [frozenset(), extensions.ALL - {extensions.PARTIAL}])
def test_old_servers_hear_of_a_lost_supervisor_as_from_old_agents(
    extensions_: frozenset[str],
) -> None:
    script = connected(config(extensions=extensions_ - {extensions.FACTS, extensions.WHITELIST}))
    script.running()
    done = script.ended(Outcome(lost=True))
    assert done == [effects.DiscardSpool(JOB), answer(messages.Aborted)]


def test_what_a_supervisor_complained_of_goes_with_the_withdrawn_vote() -> None:
    script = connected()
    script.committed()
    assert script.take(events.JobEnded(JOB, None, "MemoryError")) == [
        effects.DiscardSpool(JOB),
        answer(messages.NackCommit, reason="its supervisor died: MemoryError"),
    ]


def test_one_of_several_jobs_of_a_former_run_that_was_ended_has_its_result_delivered() -> None:
    script = Script()
    script.take(events.Started(running=(JOB, OTHER)))
    assert script.ended(ABORTED, OTHER) == []
    script.take(events.Configured(config()))
    sent = [e for e in script.take(events.Connected()) if isinstance(e, effects.SendResult)]
    assert [e.job_id for e in sent] == [OTHER]


def test_each_abort_gets_one_answer_and_only_the_first_names_the_job() -> None:
    script = connected()
    script.running()
    script.command(messages.Abort)
    assert script.command(messages.Abort) == []
    assert script.command(messages.Abort) == []
    assert script.ended(None) == [
        effects.DiscardSpool(JOB),
        answer(messages.Aborted),
        answer(messages.Aborted, None),
        answer(messages.Aborted, None),
    ]


def test_while_aborting_it_goes_on_heartbeating_and_refusing() -> None:
    script = connected()
    script.running()
    script.command(messages.Abort)
    assert script.wait(1.0) == [heartbeat("running", JOB)]
    assert script.commit(OTHER) == [answer(messages.NackCommit, OTHER, f"busy with job {JOB}")]
    assert script.command(messages.Run, job_id=JOB) == [answer(messages.NackRun)]


def test_an_abort_before_the_supervisor_is_ready_ends_it() -> None:
    script = connected()
    script.commit()
    assert script.command(messages.Abort) == []
    assert script.take(events.SupervisorStarted(JOB)) == [effects.AbortJob(JOB)]
    assert script.ended(None) == [effects.DiscardSpool(JOB), answer(messages.Aborted)]


def test_an_abort_before_a_refusal_is_answered_by_aborted_alone() -> None:
    script = connected()
    script.commit()
    script.command(messages.Abort)
    assert script.take(events.CommitRefused(JOB, "no")) == [answer(messages.Aborted)]


def test_aborts_of_a_lost_connection_are_not_answered_on_the_next() -> None:
    script = connected()
    script.running()
    script.command(messages.Abort)
    script.take(events.Disconnected())
    script.take(events.Connected())
    assert script.command(messages.Abort) == []
    assert script.ended(None) == [effects.DiscardSpool(JOB), answer(messages.Aborted)]


def test_an_abort_is_not_answered_while_a_new_connection_is_made() -> None:
    script = connected()
    script.running()
    script.command(messages.Abort)
    script.take(events.Configured(config(incarnation_id="server-2")))
    assert script.ended(None) == [effects.DiscardSpool(JOB)]


def test_after_its_end_a_job_leaves_the_agent_free_at_once() -> None:
    script = connected()
    script.running()
    script.ended(succeeded())
    [start] = script.commit(OTHER)
    assert isinstance(start, effects.StartSupervisor)


def test_a_job_is_not_run_twice_even_if_it_is_committed_again() -> None:
    script = connected()
    script.running()
    script.ended(succeeded())
    assert script.commit() == [answer(messages.NackCommit, reason="this job has already run here")]
    script.command(messages.AckResult, job_id=JOB)
    assert script.commit() == [answer(messages.NackCommit, reason="this job has already run here")]
    assert script.command(messages.Run, job_id=JOB) == [answer(messages.NackRun)]


@pytest.mark.parametrize("left", ["running", "finished"])
def test_a_job_of_a_former_run_is_not_run_again(left: str) -> None:
    script = Script()
    if left == "running":
        script.take(events.Started(running=(JOB,)))
        script.ended(succeeded())
    else:
        script.take(events.Started(finished=((JOB, succeeded()),)))
    script.take(events.Configured(config()))
    script.take(events.Connected())
    script.command(messages.AckResult, job_id=JOB)
    assert script.commit() == [answer(messages.NackCommit, reason="this job has already run here")]


def test_a_run_for_a_job_whose_result_waits_is_answered_by_the_result() -> None:
    script = connected()
    script.running()
    [result] = script.ended(succeeded())
    assert script.command(messages.Run, job_id=JOB) == [result]


def test_a_supervisor_that_dies_before_the_run_withdraws_the_vote() -> None:
    script = connected()
    script.committed()
    assert script.ended(None) == [
        effects.DiscardSpool(JOB),
        answer(messages.NackCommit, reason="its supervisor died"),
    ]
    assert script.command(messages.Run, job_id=JOB) == [answer(messages.NackRun)]


def test_a_result_of_what_was_never_run_counts_for_nothing() -> None:
    script = connected()
    script.committed()
    assert script.ended(succeeded()) == [
        effects.DiscardSpool(JOB),
        answer(messages.NackCommit, reason="its supervisor died"),
    ]


def test_a_supervisor_of_another_job_is_ended() -> None:
    script = connected()
    script.commit()
    assert script.take(events.SupervisorStarted(OTHER)) == [effects.AbortJob(OTHER)]
    assert script.take(events.SupervisorStarted(JOB)) == [answer(messages.AckCommit)]


def test_a_supervisor_that_dies_while_running_says_so_as_old_agents_do() -> None:
    script = connected()
    script.running()
    assert script.ended(None) == [effects.DiscardSpool(JOB), answer(messages.Aborted)]


def test_no_job_is_taken_while_the_server_seems_offline() -> None:
    script = connected()
    script.wait(3.6)
    assert script.commit() == [
        answer(messages.NackCommit, reason="the server's heartbeats are not arriving")
    ]


def test_no_job_is_taken_while_too_many_results_wait() -> None:
    script = connected()
    for number in range(64):
        script.running(f"{number:032x}")
        script.ended(succeeded(), f"{number:032x}")
    [nack] = script.commit("f" * 32)
    assert nack == answer(messages.NackCommit, "f" * 32, "64 results are waiting for the server")


def test_commands_that_a_lost_connection_left_behind_change_nothing() -> None:
    script = connected()
    script.take(events.Disconnected())
    assert script.commit() == []
    assert script.agent.job is None


def test_a_running_job_of_a_former_run_is_adopted() -> None:
    script = Script()
    assert script.take(events.Started(running=(JOB,))) == [effects.FetchConfig((JOB,))]
    script.take(events.Configured(config()))
    assert script.take(events.Connected()) == [heartbeat("running", JOB)]
    assert script.command(messages.Run, job_id=JOB) == [answer(messages.AckRun)]
    [result] = script.ended(succeeded())
    assert isinstance(result, effects.SendResult)


def test_of_several_running_jobs_all_but_one_are_ended() -> None:
    script = Script()
    assert script.take(events.Started(running=(JOB, OTHER))) == [
        effects.AbortJob(OTHER),
        effects.FetchConfig((JOB,)),
    ]
    assert script.ended(None, OTHER) == [effects.DiscardSpool(OTHER)]


def test_a_refusal_of_what_was_not_asked_is_our_own_fault() -> None:
    with pytest.raises(ValueError, match="no commit"):
        connected().take(events.CommitRefused(JOB, "no"))
