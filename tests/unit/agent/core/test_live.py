"""The output of a command that runs, on its way, as scripts."""

import pytest

from pushcli.protocol import extensions, messages
from pushcli.protocol.run import Outcome
from pushcli_agent.core import effects, events, live
from pushcli_agent.core.effects import LookAtOutput, ResultForm, SendHeartbeat, SendOutput
from tests.unit.agent.core.script import JOB, OTHER, Script, config, connected, succeeded

CHUNK = 32 * 1024


def running(**changed: object) -> Script:
    """An agent whose command runs, captured; its server takes streams unless it is said."""
    script = connected(config(**changed) if changed else None)
    script.committed(capture=True)
    script.command(messages.Run, job_id=JOB)
    return script


def grown(script: Script, stdout: int = 0, stderr: int = 0, job: str = JOB) -> list[effects.Effect]:
    """Time for a look, and what comes of it."""
    looked = script.wait(live.LOOK)
    assert LookAtOutput(job) in looked
    rest = [e for e in looked if not isinstance(e, LookAtOutput | SendHeartbeat)]
    return rest + script.take(events.OutputGrown(job, stdout, stderr))


def held(script: Script, channel: str, size: int, **more: object) -> list[effects.Effect]:
    return script.command(messages.AckOutput, job_id=JOB, channel=channel, size=size, **more)


def sent(done: list[effects.Effect]) -> list[effects.Effect]:
    return [e for e in done if isinstance(e, SendOutput)]


def test_what_is_written_is_sent_at_the_next_look() -> None:
    script = running()
    assert grown(script, 10, 3) == [
        SendOutput(JOB, "stdout", 0, 10),
        SendOutput(JOB, "stderr", 0, 3),
    ]


def test_nothing_is_sent_where_nothing_is_written() -> None:
    script = running()
    assert grown(script) == []
    grown(script, 10)
    held(script, "stdout", 10)
    assert grown(script, 10) == []


def test_a_part_of_a_chunk_waits_until_what_went_before_it_is_held() -> None:
    script = running()
    grown(script, 10)
    assert grown(script, 20) == []
    assert grown(script, CHUNK) == []
    assert held(script, "stdout", 10) == [SendOutput(JOB, "stdout", 10, CHUNK - 10)]


def test_no_more_than_the_window_is_under_way() -> None:
    script = running()
    done = grown(script, 100 * CHUNK, 100 * CHUNK)
    assert done == [SendOutput(JOB, "stdout", n * CHUNK, CHUNK) for n in range(live.WINDOW)]
    assert len(held(script, "stdout", CHUNK)) == 1


def test_the_rate_is_bounded_whatever_the_server_takes() -> None:
    script = running()
    size, start = 0, script.now
    while script.now < start + 10:
        todo = [*grown(script, 2**30), *script.beat()]
        while todo:
            effect = todo.pop(0)
            if isinstance(effect, SendOutput):
                size += effect.size
                todo += held(script, "stdout", effect.offset + effect.size)
    assert 8 * live.RATE < size <= 10.5 * live.RATE + live.BURST


def test_heartbeats_go_on_in_time() -> None:
    script = running()
    beats = 0
    for number in range(50):
        looked = script.wait(live.LOOK)
        beats += sum(isinstance(e, SendHeartbeat) for e in looked)
        script.take(events.OutputGrown(JOB, number * 10_000, 0))
        script.beat()
    assert beats == 5


def test_what_is_not_acknowledged_is_sent_again_ever_more_rarely() -> None:
    script = running()
    grown(script, 10)
    start, times = script.now, []
    for _ in range(300):
        script.beat()
        if sent(script.wait(0.1)):
            times.append(round(script.now - start))
    assert times == [3, 9, 21]
    assert held(script, "stdout", 10) == []
    script.beat()
    assert sent(script.wait(5.0)) == []


def test_a_new_connection_goes_on_from_what_is_held() -> None:
    script = running()
    grown(script, 2 * CHUNK)
    held(script, "stdout", CHUNK)
    script.take(events.Disconnected())
    assert sent(script.wait(2.0)) == []
    script.take(events.Connected())
    script.command(messages.Ack)
    assert LookAtOutput(JOB) in script.wait(0.0)
    done = script.take(events.OutputGrown(JOB, 2 * CHUNK + 5, 0))
    assert done[0] == SendOutput(JOB, "stdout", CHUNK, CHUNK)


def test_a_server_that_lost_some_gets_it_again() -> None:
    script = running()
    grown(script, 2 * CHUNK)
    held(script, "stdout", 2 * CHUNK)
    assert held(script, "stdout", CHUNK) == [SendOutput(JOB, "stdout", CHUNK, CHUNK)]


def test_a_server_that_claims_more_than_there_is_changes_nothing() -> None:
    script = running()
    grown(script, 10)
    assert held(script, "stdout", 11) == []
    assert held(script, "stdout", 10) == []


def test_a_restarted_agent_learns_where_the_server_stands() -> None:
    script = Script()
    script.take(events.Started(running=(JOB,), growing=frozenset({JOB})))
    script.take(events.Configured(config()))
    script.take(events.Connected())
    script.command(messages.Ack)
    script.wait(0.0)
    assert len(sent(script.take(events.OutputGrown(JOB, 3 * CHUNK, 0)))) == 3
    assert held(script, "stdout", 2 * CHUNK + 100) == []
    assert held(script, "stdout", 2 * CHUNK + 100) == []
    script.beat()
    # What it took for under way is part of what is held already.
    assert grown(script, 4 * CHUNK)[0] == SendOutput(JOB, "stdout", 3 * CHUNK, CHUNK)


def test_a_command_whose_output_nobody_can_tell_is_not_looked_at() -> None:
    script = Script()
    script.take(events.Started(running=(JOB,)))
    script.take(events.Configured(config()))
    script.take(events.Connected())
    assert not [e for e in script.wait(3.0) if isinstance(e, LookAtOutput)]


@pytest.mark.parametrize("missing", [extensions.STREAM, extensions.OUTPUT, extensions.RESULTS])
def test_a_server_that_does_not_take_streams_gets_none(missing: str) -> None:
    script = running(extensions=extensions.ALL - {missing, extensions.WHITELIST})
    assert not [e for e in script.wait(2.0) if isinstance(e, LookAtOutput | SendOutput)]


def test_a_job_that_does_not_capture_is_not_looked_at() -> None:
    script = connected()
    script.running()
    assert not [e for e in script.wait(2.0) if isinstance(e, LookAtOutput)]


# --- the end


def test_the_rest_goes_ahead_of_the_result_however_small() -> None:
    script = running()
    grown(script, 10)
    held(script, "stdout", 10)
    outcome = succeeded(capture=True, stdout_size=15, stderr_size=0)
    assert script.ended(outcome) == [SendOutput(JOB, "stdout", 10, 5, head=15)]
    [result] = held(script, "stdout", 15)
    assert isinstance(result, effects.SendResult)
    assert (result.form, result.heads) == (ResultForm.SIZES, (15, 0))


def test_a_result_whose_output_is_all_there_goes_at_once() -> None:
    script = running()
    grown(script, 10)
    held(script, "stdout", 10)
    [result] = script.ended(succeeded(capture=True, stdout_size=10))
    assert isinstance(result, effects.SendResult)


def test_a_command_that_was_quick_sends_its_output_in_the_result() -> None:
    script = running()
    [result] = script.ended(succeeded(capture=True, stdout_size=10))
    assert isinstance(result, effects.SendResult)
    assert (result.form, result.heads) == (ResultForm.INLINE, None)


def test_output_that_was_cut_is_sent_anew_from_where_it_is_another() -> None:
    script = running()
    grown(script, 3 * CHUNK)
    held(script, "stdout", 3 * CHUNK)
    outcome = succeeded(
        capture=True, stdout_size=2 * CHUNK, stdout_dropped=70_000, stdout_cut_at=CHUNK
    )
    assert script.ended(outcome) == [SendOutput(JOB, "stdout", CHUNK, CHUNK, head=CHUNK)]


def test_a_result_of_a_former_run_says_what_is_as_it_was() -> None:
    outcome = succeeded(capture=True, stdout_size=2 * CHUNK, stdout_dropped=9, stdout_cut_at=7)
    script = Script()
    script.take(events.Started(finished=((JOB, outcome),)))
    script.take(events.Configured(config()))
    done = sent(script.take(events.Connected()))
    assert done[0] == SendOutput(JOB, "stdout", 0, CHUNK, head=7)


def test_the_output_of_a_command_that_ended_goes_first() -> None:
    script = connected()
    script.running()
    large = succeeded(capture=True, stdout_size=2 * CHUNK)
    script.ended(large)
    script.committed(OTHER, capture=True)
    script.command(messages.Run, job_id=OTHER)
    assert grown(script, 10, job=OTHER) == []
    held(script, "stdout", 2 * CHUNK)
    assert grown(script, 10, job=OTHER) == [SendOutput(OTHER, "stdout", 0, 10)]


# --- enough


def test_a_server_that_has_enough_gets_no_more() -> None:
    script = running()
    grown(script, 2 * CHUNK, 5)
    assert held(script, "stdout", CHUNK, enough=True) == []
    assert grown(script, 9 * CHUNK, 5) == []
    held(script, "stderr", 5)
    [result] = script.ended(succeeded(capture=True, stdout_size=9 * CHUNK, stderr_size=5))
    assert isinstance(result, effects.SendResult)


def test_another_server_may_have_room_where_the_last_had_enough() -> None:
    script = running()
    grown(script, 2 * CHUNK)
    held(script, "stdout", CHUNK, enough=True)
    script.take(events.Disconnected())
    script.take(events.Connected())
    script.command(messages.Ack)
    done = script.take(events.OutputGrown(JOB, 2 * CHUNK, 0))
    assert done == [SendOutput(JOB, "stdout", CHUNK, CHUNK)]


def test_a_server_that_has_enough_of_the_rest_gets_the_result() -> None:
    script = running()
    grown(script, 10)
    held(script, "stdout", 10)
    script.ended(succeeded(capture=True, stdout_size=9 * CHUNK))
    [result] = held(script, "stdout", 2 * CHUNK, enough=True)
    assert isinstance(result, effects.SendResult)
    # Its next run may think otherwise.
    assert sent(held(script, "stdout", CHUNK))[0] == SendOutput(
        JOB, "stdout", CHUNK, CHUNK, head=9 * CHUNK
    )


@pytest.mark.parametrize("start", [2 * CHUNK, 5 * CHUNK])
def test_a_server_that_had_enough_gets_the_end_where_it_asks_for_it(start: int) -> None:
    script = running()
    grown(script, 4 * CHUNK)
    # More was on its way when it had enough: it has thrown that away.
    held(script, "stdout", 2 * CHUNK, enough=True)
    [result] = script.ended(succeeded(capture=True, stdout_size=6 * CHUNK))
    assert isinstance(result, effects.SendResult)
    chunks = sent(held(script, "stdout", start))
    assert chunks == [
        SendOutput(JOB, "stdout", at, CHUNK, head=6 * CHUNK)
        for at in range(start, 6 * CHUNK, CHUNK)
    ]
    [result] = held(script, "stdout", 6 * CHUNK)
    assert isinstance(result, effects.SendResult)


def test_what_was_written_of_an_aborted_command_is_told() -> None:
    script = running()
    grown(script, 10)
    script.command(messages.Abort)
    done = script.ended(Outcome(aborted=True, signal=15, capture=True, stdout_size=12))
    # The server hears of the end first.
    assert done == [
        effects.Answer(messages.Aborted, JOB),
        SendOutput(JOB, "stdout", 10, 2, head=12),
    ]
