"""Results and output on their way, as scripts."""

import pytest

from pushcli.protocol import extensions, messages
from pushcli.protocol.run import Outcome
from pushcli_agent.core import effects, events
from pushcli_agent.core.effects import ResultForm, SendOutput, SendResult
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

KIB = 1024
CHUNK = 32 * KIB


def result(outcome: Outcome, form: ResultForm = ResultForm.BARE) -> SendResult:
    return SendResult(JOB, outcome, form, spooled=True, partial=True)


def sent(done: list[effects.Effect]) -> list[effects.Effect]:
    return [e for e in done if not isinstance(e, effects.SendHeartbeat)]


def finished(outcome: Outcome, job_id: str = JOB) -> tuple[Script, list[effects.Effect]]:
    script = connected()
    script.running(job_id)
    return script, script.ended(outcome, job_id)


def test_a_result_is_repeated_with_backoff_until_it_is_acknowledged() -> None:
    script, first = finished(succeeded())
    assert first == [result(succeeded())]
    times = []
    for _ in range(400):
        script.beat()
        if sent(script.wait(0.1)):
            times.append(round(script.now - 1000.0))
    assert times == [8, 23, 38]
    assert script.command(messages.AckResult, job_id=JOB) == [effects.DiscardSpool(JOB)]
    assert sent(script.beats_for(30)) == []


def test_results_are_repeated_however_rare_heartbeats_are() -> None:
    script = connected(config(interval=60.0))
    script.running()
    script.ended(succeeded())
    assert script.wait(7.4) == []
    assert script.wait(0.2) == [result(succeeded())]


@pytest.mark.parametrize(("random", "after"), [(0.0, 5.0), (1.0, 10.0)])
def test_a_fleet_that_had_its_results_at_once_does_not_repeat_them_at_once(
    random: float, after: float
) -> None:
    script = connected(config(interval=60.0), random=random)
    script.running()
    script.ended(succeeded())
    assert script.wait(after - 0.1) == []
    assert script.wait(0.2) == [result(succeeded())]


def test_heartbeats_name_the_results_that_wait() -> None:
    script, _ = finished(succeeded())
    assert heartbeat(pending=(JOB,)) in script.wait(1.0)
    script.command(messages.AckResult, job_id=JOB)
    script.beat()
    assert script.wait(1.0) == [heartbeat()]


def test_on_a_new_connection_results_go_before_the_first_heartbeat() -> None:
    script, _ = finished(succeeded())
    script.take(events.Disconnected())
    assert sent(script.wait(2.0)) == []
    assert script.take(events.Connected()) == [result(succeeded()), heartbeat(pending=(JOB,))]


def test_a_result_that_comes_while_there_is_no_connection_waits_for_one() -> None:
    script = connected()
    script.running()
    script.take(events.Disconnected())
    assert script.ended(succeeded()) == []
    assert script.take(events.Connected())[0] == result(succeeded())


def test_an_acknowledgement_of_what_is_not_here_is_ignored() -> None:
    script = connected()
    assert script.command(messages.AckResult, job_id=OTHER) == []
    assert script.command(messages.AckOutput, job_id=OTHER, channel="stdout", size=1) == []


def test_small_output_travels_in_the_result() -> None:
    outcome = succeeded(capture=True, stdout_size=CHUNK - 5, stderr_size=5)
    _, done = finished(outcome)
    assert done == [result(outcome, ResultForm.INLINE)]


def test_large_output_goes_ahead_of_the_result_in_a_window() -> None:
    outcome = succeeded(capture=True, stdout_size=10 * CHUNK + 7, stderr_size=3)
    script, done = finished(outcome)
    assert done == [
        *(SendOutput(JOB, "stdout", number * CHUNK, CHUNK) for number in range(8)),
        SendOutput(JOB, "stderr", 0, 3),
    ]
    assert held(script, "stdout", CHUNK) == [SendOutput(JOB, "stdout", 8 * CHUNK, CHUNK)]
    assert held(script, "stderr", 3) == []
    assert held(script, "stdout", 8 * CHUNK) == [
        SendOutput(JOB, "stdout", 9 * CHUNK, CHUNK),
        SendOutput(JOB, "stdout", 10 * CHUNK, 7),
    ]
    assert held(script, "stdout", 10 * CHUNK + 7) == [result(outcome, ResultForm.SIZES)]


def test_output_is_sent_again_from_what_is_held_after_some_silence() -> None:
    outcome = succeeded(capture=True, stdout_size=3 * CHUNK)
    script, _ = finished(outcome)
    held(script, "stdout", CHUNK)
    assert sent(script.beats_for(2)) == []
    script.beat()
    assert sent(script.wait(0.9)) == []
    assert sent(script.wait(0.2)) == [
        SendOutput(JOB, "stdout", CHUNK, CHUNK),
        SendOutput(JOB, "stdout", 2 * CHUNK, CHUNK),
    ]


def test_output_that_nobody_acknowledges_is_sent_ever_more_rarely() -> None:
    script, _ = finished(succeeded(capture=True, stdout_size=3 * CHUNK))
    start = script.now
    times = []
    for _ in range(36):
        if sent(script.beats_for(1)):
            times.append(script.now - start)
    assert times == [3, 9, 21, 36]


def test_an_acknowledgement_ends_the_backoff_of_output() -> None:
    outcome = succeeded(capture=True, stdout_size=3 * CHUNK)
    script, _ = finished(outcome)
    script.beats_for(7)
    held(script, "stdout", CHUNK)
    assert sent(script.beats_for(3)) == [
        SendOutput(JOB, "stdout", CHUNK, CHUNK),
        SendOutput(JOB, "stdout", 2 * CHUNK, CHUNK),
    ]


def test_a_server_that_lost_output_gets_it_again_and_then_the_result() -> None:
    outcome = succeeded(capture=True, stdout_size=2 * CHUNK)
    script, _ = finished(outcome)
    held(script, "stdout", 2 * CHUNK)
    assert held(script, "stdout", CHUNK) == [SendOutput(JOB, "stdout", CHUNK, CHUNK)]
    assert held(script, "stdout", 2 * CHUNK) == [result(outcome, ResultForm.SIZES)]


def test_a_reconnect_resumes_the_output_from_what_is_held() -> None:
    outcome = succeeded(capture=True, stdout_size=2 * CHUNK)
    script, _ = finished(outcome)
    held(script, "stdout", CHUNK)
    script.take(events.Disconnected())
    assert script.take(events.Connected()) == [
        SendOutput(JOB, "stdout", CHUNK, CHUNK),
        heartbeat(pending=(JOB,)),
    ]


def test_a_server_that_claims_more_than_there_is_changes_nothing() -> None:
    outcome = succeeded(capture=True, stdout_size=2 * CHUNK)
    script, _ = finished(outcome)
    script.beats_for(2)
    script.wait(0.9)
    assert held(script, "stdout", 3 * CHUNK) == []
    assert held(script, "stdout", 2 * CHUNK + 1) == []
    script.beat()
    # Not even a sign of life: all is sent again when it would have been.
    assert sent(script.wait(0.2)) == [
        SendOutput(JOB, "stdout", 0, CHUNK),
        SendOutput(JOB, "stdout", CHUNK, CHUNK),
    ]


def test_one_job_s_output_is_sent_at_a_time_and_small_results_overtake() -> None:
    large = succeeded(capture=True, stdout_size=2 * CHUNK)
    script, _ = finished(large)
    script.running(OTHER)
    assert script.ended(large, OTHER) == []
    third = "3".zfill(32)
    script.running(third)
    assert script.ended(succeeded(), third) == [
        SendResult(third, succeeded(), ResultForm.BARE, spooled=True, partial=True)
    ]
    assert held(script, "stdout", 2 * CHUNK) == [
        result(large, ResultForm.SIZES),
        SendOutput(OTHER, "stdout", 0, CHUNK),
        SendOutput(OTHER, "stdout", CHUNK, CHUNK),
    ]


def test_output_that_the_server_can_do_without_makes_room_for_the_next() -> None:
    large = succeeded(capture=True, stdout_size=2 * CHUNK)
    script, _ = finished(large)
    script.running(OTHER)
    script.ended(large, OTHER)
    assert script.command(messages.AckResult, job_id=JOB) == [
        effects.DiscardSpool(JOB),
        SendOutput(OTHER, "stdout", 0, CHUNK),
        SendOutput(OTHER, "stdout", CHUNK, CHUNK),
    ]


def test_a_run_for_a_job_whose_output_waits_its_turn_is_acknowledged() -> None:
    large = succeeded(capture=True, stdout_size=2 * CHUNK)
    script, _ = finished(large)
    script.running(OTHER)
    script.ended(large, OTHER)
    assert script.command(messages.Run, job_id=OTHER) == [answer(messages.AckRun, OTHER)]


def test_a_stream_that_went_back_does_not_leave_the_next_one_stuck() -> None:
    large = succeeded(capture=True, stdout_size=2 * CHUNK)
    script, _ = finished(large)
    script.running(OTHER)
    script.ended(large, OTHER)
    held(script, "stdout", 2 * CHUNK)
    held(script, "stdout", 0)
    script.beat()
    script.wait(3.0)
    done = held(script, "stdout", 2 * CHUNK)
    done += script.command(messages.AckResult, job_id=JOB)
    script.beat()
    done += script.wait(3.0)
    assert SendOutput(OTHER, "stdout", 0, CHUNK) in done


def test_chunks_are_as_small_as_the_server_s_limit_asks() -> None:
    script = connected(config(max_body_size=8192))
    script.running()
    done = script.ended(succeeded(capture=True, stdout_size=10_000))
    assert done[0] == SendOutput(JOB, "stdout", 0, 4608)


@pytest.mark.parametrize(("capture", "form"), [(False, ResultForm.BARE), (True, ResultForm.TEXT)])
def test_an_old_server_gets_the_result_once(capture: bool, form: ResultForm) -> None:
    script = connected(old_config())
    script.running()
    outcome = succeeded(capture=capture, stdout_size=5 * CHUNK if capture else 0)
    assert script.ended(outcome) == [
        SendResult(JOB, outcome, form, spooled=False),
        effects.DiscardSpool(JOB),
    ]
    assert script.wait(1.0) == [heartbeat()]
    assert sent(script.beats_for(20)) == []


def test_an_old_server_gets_a_result_that_ended_while_it_was_away() -> None:
    script = connected(old_config())
    script.running()
    script.take(events.Disconnected())
    assert script.ended(succeeded()) == []
    assert script.take(events.Connected()) == [
        SendResult(JOB, succeeded(), ResultForm.BARE, spooled=False),
        effects.DiscardSpool(JOB),
        heartbeat(),
    ]


def test_a_result_of_this_run_is_for_an_old_server_too() -> None:
    script = connected()
    script.running()
    script.take(events.Disconnected())
    script.ended(succeeded())
    assert script.take(events.Configured(old_config())) == [effects.Connect(old_config())]
    assert script.take(events.Connected())[0] == SendResult(
        JOB, succeeded(), ResultForm.BARE, spooled=False
    )


def test_an_old_server_never_sees_a_result_of_a_former_run() -> None:
    script = Script()
    script.take(events.Started(finished=((JOB, succeeded()),)))
    assert effects.DiscardSpool(JOB) in script.take(events.Configured(old_config()))
    assert script.take(events.Connected()) == [heartbeat()]


def test_what_a_former_run_lost_is_for_servers_that_want_it() -> None:
    lost = Outcome(lost=True, capture=True)
    for offered in (extensions.ALL, extensions.ALL - {extensions.PARTIAL}):
        script = Script()
        assert script.take(events.Started(finished=((JOB, lost),))) == [effects.FetchConfig((JOB,))]
        wanted = extensions.PARTIAL in offered
        configured = script.take(events.Configured(config(extensions=offered)))
        assert (effects.DiscardSpool(JOB) in configured) is not wanted
        connected = script.take(events.Connected())
        assert any(isinstance(e, SendResult) for e in connected) is wanted


def test_a_result_of_a_former_run_is_named_and_delivered() -> None:
    script = Script()
    started = script.take(events.Started(finished=((JOB, succeeded()),)))
    assert started == [effects.FetchConfig((JOB,))]
    script.take(events.Configured(config()))
    assert script.take(events.Connected()) == [result(succeeded()), heartbeat(pending=(JOB,))]


def test_a_heartbeat_names_no_more_results_than_the_protocol_allows() -> None:
    script = Script()
    jobs = tuple(f"{number:032x}" for number in range(70))
    script.take(events.Started(finished=tuple((job, succeeded()) for job in jobs)))
    script.take(events.Configured(config()))
    assert script.take(events.Connected())[-1] == heartbeat(pending=jobs[:64])


def test_without_the_output_extension_a_kept_result_carries_text() -> None:
    script = connected(config(extensions=frozenset({extensions.RESULTS})))
    script.running()
    outcome = succeeded(capture=True, stdout_size=5 * CHUNK)
    assert script.ended(outcome) == [SendResult(JOB, outcome, ResultForm.TEXT, spooled=True)]


def held(script: Script, channel: str, size: int) -> list[effects.Effect]:
    return script.command(messages.AckOutput, job_id=JOB, channel=channel, size=size)
