"""Few heartbeats, each answered (extension `quiet`), as scripts."""

import math

import pytest

from pushcli.protocol import messages
from pushcli.protocol.run import Outcome
from pushcli_agent.core import effects, events
from pushcli_agent.core.link import PROOF
from tests.unit.agent.core.script import JOB, Script, config, connected, heartbeat

QUIET = config(quiet_interval=10.0)
SILENCE = QUIET.silence


def quiet(random: float = 0.0) -> Script:
    """An agent whose server answered its first heartbeat."""
    script = connected(QUIET, random=random)
    script.command(messages.Beat, incarnation_id="server-1")
    return script


def answered(script: Script, seconds: float) -> list[float]:
    """When heartbeats are sent, in seconds from now; each is answered."""
    begin, times = script.now, []
    while script.agent.deadline() <= begin + seconds:
        script.now = max(script.now, script.agent.deadline())
        for effect in script.take(events.TimePassed()):
            assert isinstance(effect, effects.SendHeartbeat), effect
            times.append(round(script.now - begin, 6))
            script.command(messages.Beat, incarnation_id="server-1")
    script.now = begin + seconds
    return times


def test_an_agent_is_heard_at_quiet_intervals() -> None:
    assert answered(quiet(), 40) == [10, 20, 30, 40]


def test_one_of_many_is_heard_up_to_a_tenth_earlier() -> None:
    assert answered(quiet(1.0), 40) == [9, 18, 27, 36]


def test_one_that_has_a_job_says_so_once_and_is_quiet_as_before() -> None:
    script = quiet()
    assert answered(script, 12) == [10]
    script.committed()
    assert answered(script, 25) == [3, 13, 23]
    script.command(messages.Run, job_id=JOB)
    assert answered(script, 14) == [3, 13]


def test_and_so_does_one_whose_result_waits() -> None:
    script = quiet()
    script.running()
    script.ended(Outcome(exit_code=0, started_at=1.0, ended_at=2.0))
    (beat,) = [each for each in script.wait(3) if isinstance(each, effects.SendHeartbeat)]
    assert (beat.job_state, beat.pending_results) == ("idle", (JOB,))
    script.command(messages.Beat, incarnation_id="server-1")
    script.command(messages.AckResult, job_id=JOB)
    assert answered(script, 3) == [3]


def test_several_changes_are_said_once_after_the_first() -> None:
    script = quiet()
    script.committed()
    script.wait(2)
    script.command(messages.Run, job_id=JOB)
    assert answered(script, 3) == [1]


def test_what_is_over_meanwhile_is_not_said_at_all() -> None:
    script = quiet()
    script.running()
    script.wait(2)
    script.ended(Outcome(exit_code=0, started_at=1.0, ended_at=2.0))
    script.command(messages.AckResult, job_id=JOB)
    assert answered(script, 7) == []
    assert answered(script, 21) == [1, 11, 21]


def test_one_that_takes_long_to_end_a_command_says_that_it_lives() -> None:
    script = quiet()
    script.running()
    assert answered(script, 3) == [3]
    script.command(messages.Abort)
    assert answered(script, 3) == [3]


def test_without_a_connection_nothing_is_said() -> None:
    script = quiet()
    script.committed()
    script.take(events.Disconnected())
    assert script.agent.link.change_at == math.inf
    assert not [each for each in script.wait(4) if isinstance(each, effects.SendHeartbeat)]


def test_a_heartbeat_without_an_answer_means_that_the_server_is_away() -> None:
    script = quiet()
    assert script.wait(10) == [heartbeat()]
    assert script.wait(SILENCE - 0.1) == []
    script.wait(0.1)
    assert not script.agent.link.online
    assert script.agent.link.heartbeat_at == math.inf
    assert script.agent.link.fetch_at < math.inf


def test_an_answer_that_comes_late_brings_it_back() -> None:
    script = quiet()
    script.wait(10 + SILENCE)
    assert not script.agent.link.online
    assert script.command(messages.Beat, incarnation_id="server-1") == [heartbeat()]
    assert script.agent.link.online


def test_whoever_is_asked_answers_at_once() -> None:
    script = quiet()
    script.wait(3)
    assert script.command(messages.Beat, incarnation_id="server-1", ask=True) == [heartbeat()]
    assert script.command(messages.Beat, incarnation_id="server-1") == []


def test_after_that_the_next_one_is_no_later_than_it_would_be() -> None:
    script = quiet()
    script.wait(1)
    script.command(messages.Beat, incarnation_id="server-1", ask=True)
    script.command(messages.Beat, incarnation_id="server-1")
    assert answered(script, 30) == [10, 20, 30]


def test_another_run_of_the_server_is_asked_once_for_a_configuration() -> None:
    script = quiet()
    script.command(messages.Beat, incarnation_id="server-2")
    script.command(messages.Beat, incarnation_id="server-2")
    done = script.wait(QUIET.quiet_interval)
    assert sum(isinstance(effect, effects.FetchConfig) for effect in done) == 1


def test_after_a_restart_of_the_server_agents_ask_as_far_apart_as_it_said() -> None:
    def asks_after(random: float) -> float:
        script = connected(config(quiet_interval=10.0, reconfigure_splay=50.0), random=random)
        script.command(messages.Beat, incarnation_id="server-1")
        script.command(messages.Beat, incarnation_id="server-2")
        return script.agent.link.fetch_at - script.now

    assert [asks_after(random) for random in (0.0, 0.5, 1.0)] == [0, 25, 50]


def test_who_tried_in_vain_while_the_server_was_away_waits_with_the_others() -> None:
    script = connected(config(quiet_interval=10.0, reconfigure_splay=500.0))
    script.command(messages.Beat, incarnation_id="server-1")
    script.take(events.Disconnected())
    for _ in range(8):
        while not script.agent.link.fetching:
            script.wait(1)
        script.take(events.ConfigFailed("connection refused"))
    script.take(events.Connected())
    script.command(messages.Beat, incarnation_id="server-2")
    assert script.agent.link.fetch_at == script.now + 250


def test_who_had_not_tried_yet_when_the_server_was_back_waits_with_the_others() -> None:
    script = connected(config(quiet_interval=10.0, reconfigure_splay=500.0))
    script.command(messages.Beat, incarnation_id="server-1")
    script.take(events.Disconnected())
    script.wait(PROOF)
    assert script.agent.link.fetch_at < script.now + 1
    script.take(events.Connected())
    script.command(messages.Beat, incarnation_id="server-2")
    assert script.agent.link.fetch_at == script.now + 250


@pytest.mark.parametrize("lost", [True, False])
def test_a_server_that_is_back_with_what_it_had_is_asked_for_nothing(lost: bool) -> None:
    script = connected(config(quiet_interval=10.0, reconfigure_splay=500.0))
    script.command(messages.Beat, incarnation_id="server-1")
    as_planned = script.agent.link.fetch_at
    if lost:
        script.take(events.Disconnected())
        script.wait(PROOF)
    else:
        while script.agent.link.online:
            script.wait(0.1)
    assert script.agent.link.fetch_at < script.now + 1
    if lost:
        script.take(events.Connected())
    script.command(messages.Beat, incarnation_id="server-1")
    assert script.agent.link.fetch_at == as_planned


def test_what_the_operator_wants_is_asked_for_whoever_is_back() -> None:
    script = connected(config(quiet_interval=10.0, reconfigure_splay=500.0))
    script.command(messages.Beat, incarnation_id="server-1")
    script.take(events.Disconnected())
    script.take(events.ReconfigureRequested())
    script.take(events.ConfigFailed("connection refused"))
    before = script.agent.link.fetch_at
    assert before < script.now + 2
    script.take(events.Connected())
    script.command(messages.Beat, incarnation_id="server-2")
    assert script.agent.link.fetch_at == before


def test_a_configuration_that_ended_while_the_server_was_away_is_asked_for_all_the_same() -> None:
    script = connected(config(quiet_interval=10.0, reconfigure_splay=500.0, lifetime=30.0))
    script.command(messages.Beat, incarnation_id="server-1")
    script.take(events.Disconnected())
    while not script.agent.link.fetching:
        script.wait(1)
    script.take(events.ConfigFailed("connection refused"))
    script.take(events.Connected())
    script.command(messages.Beat, incarnation_id="server-1")
    assert script.agent.link.fetch_at == script.now + 250


def test_a_node_whose_configuration_is_about_to_end_does_not_wait_for_that() -> None:
    script = connected(config(quiet_interval=10.0, reconfigure_splay=86_400.0, lifetime=100.0))
    script.command(messages.Beat, incarnation_id="server-1")
    script.command(messages.Beat, incarnation_id="server-2")
    assert script.agent.link.fetch_at <= script.now + 100


def test_beats_that_nobody_agreed_on_mean_nothing() -> None:
    script = connected()
    before = script.agent.link.silent_at
    assert script.command(messages.Beat, incarnation_id="server-2", ask=True) == []
    assert script.agent.link.silent_at == before


def with_others() -> Script:
    """The same agent, which has several URLs to ask."""
    script = quiet()
    script.agent.knows_others = True
    return script


def fetches(done: list[effects.Effect]) -> int:
    return sum(isinstance(effect, effects.FetchConfig) for effect in done)


def test_a_server_that_is_cut_off_from_its_database_has_the_others_asked() -> None:
    script = with_others()
    assert fetches(script.command(messages.Beat, incarnation_id="server-1", away=True)) == 0
    assert fetches(script.wait(0.1)) == 1, "the first of all that are spread over a while"
    # Said again, it is asked for no more than once at a time, and goes on as before meanwhile.
    assert fetches(script.command(messages.Beat, incarnation_id="server-1", away=True)) == 0
    script.committed()
    done = script.take(
        events.Configured(
            config(quiet_interval=10.0, host="other", command_addr="tcp://other:10002")
        )
    )
    assert [type(effect) for effect in done] == [effects.Connect]


def test_where_no_other_is_there_it_is_asked_again_until_the_server_is_back() -> None:
    script = with_others()
    script.command(messages.Beat, incarnation_id="server-1", away=True)
    assert fetches(script.wait(0.1)) == 1
    script.take(events.ConfigFailed("cannot reach it"))
    assert fetches(script.wait(QUIET.splay / 2 - 0.1)) == 0
    assert fetches(script.wait(0.2)) == 1
    script.take(events.ConfigFailed("cannot reach it"))
    script.command(messages.Beat, incarnation_id="server-1")
    # What was asked for in vain is asked for once more, where it is, and its connection stays.
    assert fetches(script.wait(1.0)) == 1
    assert script.take(events.Configured(QUIET)) == []


def test_who_knows_no_other_stays() -> None:
    script = quiet()
    script.command(messages.Beat, incarnation_id="server-1", away=True)
    assert fetches(script.wait(5)) == 0


def test_a_fleet_that_is_turned_away_asks_one_after_the_other() -> None:
    last = quiet(1.0)
    last.agent.knows_others = True
    last.command(messages.Beat, incarnation_id="server-1", away=True)
    assert fetches(last.wait(QUIET.splay - 0.1)) == 0
    last.command(messages.Beat, incarnation_id="server-1", away=True)
    assert fetches(last.wait(0.2)) == 1


def test_one_that_got_its_configuration_from_the_same_again_asks_again() -> None:
    script = with_others()
    script.command(messages.Beat, incarnation_id="server-1", away=True)
    assert fetches(script.wait(0.1)) == 1
    assert script.take(events.Configured(QUIET)) == []
    assert fetches(script.wait(1.0)) == 0
    script.command(messages.Beat, incarnation_id="server-1", away=True)
    assert fetches(script.wait(0.1)) == 1
