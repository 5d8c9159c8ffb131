"""Configuration, connections and heartbeats, as scripts."""

import itertools

import pytest

from pushcli.protocol import messages
from pushcli_agent.core import effects, events
from tests.unit.agent.core.script import (
    JOB,
    Script,
    answer,
    config,
    connected,
    heartbeat,
    succeeded,
)


def fetches(done: list[effects.Effect]) -> int:
    return sum(isinstance(effect, effects.FetchConfig) for effect in done)


def connects(done: list[effects.Effect]) -> int:
    return sum(isinstance(effect, effects.Connect) for effect in done)


def heartbeats(done: list[effects.Effect]) -> int:
    return sum(isinstance(effect, effects.SendHeartbeat) for effect in done)


def test_the_agent_begins_by_fetching_its_configuration_and_connects_as_it_says() -> None:
    script = Script()
    assert script.take(events.Started()) == [effects.FetchConfig(())]
    assert script.take(events.Configured(config())) == [effects.Connect(config())]
    assert script.take(events.Connected()) == [heartbeat()]


def test_nothing_is_sent_before_there_is_a_connection() -> None:
    script = Script()
    script.take(events.Started())
    script.take(events.Configured(config()))
    assert heartbeats(script.wait(2.9)) == 0


def test_failing_requests_back_off_to_half_a_minute_with_jitter() -> None:
    script = Script(random=1.0)
    script.take(events.Started())
    waits = []
    for _ in range(9):
        script.take(events.ConfigFailed("refused"))
        waits.append(script.agent.deadline() - script.now)
        script.now = script.agent.deadline()
        assert script.take(events.TimePassed()) == [effects.FetchConfig(())]
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    early = Script(random=0.0)
    early.take(events.Started())
    early.take(events.ConfigFailed("refused"))
    assert early.agent.deadline() - early.now == 0.25


def test_heartbeats_keep_their_pace_when_the_loop_is_late() -> None:
    script = connected()
    start = script.now
    for second in range(1, 6):
        script.now = start + second + 0.3
        script.beat()
        assert heartbeats(script.take(events.TimePassed())) == 1
    assert script.agent.deadline() == pytest.approx(start + 6)


def test_without_a_command_message_within_three_seconds_the_configuration_is_fetched() -> None:
    script = Script()
    script.take(events.Started())
    script.take(events.Configured(config()))
    script.take(events.Connected())
    done = []
    for _ in range(4):
        script.beat()
        done += script.wait(1.0)
    assert fetches(done) == 1
    assert connects(script.take(events.Configured(config()))) == 1


def test_a_malformed_message_proves_the_channel_too() -> None:
    script = Script()
    script.take(events.Started())
    script.take(events.Configured(config()))
    script.take(events.Connected())
    script.take(events.MalformedReceived("commit", "no object"))
    assert fetches(script.beats_for(10)) == 0


def test_each_new_connection_must_prove_itself() -> None:
    script = connected()
    script.take(events.Disconnected())
    script.take(events.Connected())
    assert fetches(script.beats_for(4)) == 1


def test_a_connection_that_stays_away_leads_to_a_new_configuration() -> None:
    script = connected()
    script.take(events.Disconnected())
    done = script.beats_for(4)
    assert fetches(done) == 1
    assert heartbeats(done) == 0


def test_a_connection_that_fails_again_and_again_backs_off() -> None:
    script = Script(random=1.0)
    script.take(events.Started())
    times = []
    for _ in range(200):
        script.take(events.Configured(config()))
        for _ in range(1200):
            if fetches(script.wait(0.1)):
                times.append(script.now)
                break
        if len(times) == 10:
            break
    gaps = [round(b - a) for a, b in itertools.pairwise(times)]
    assert gaps[-1] >= 30
    assert gaps == sorted(gaps)


def test_a_silent_server_is_offline_after_its_threshold_and_gets_no_heartbeats() -> None:
    script = connected()
    assert heartbeats(script.wait(3.4)) == 3
    assert fetches(script.wait(1.0)) == 1
    assert heartbeats(script.wait(10.0)) == 0


def test_a_server_that_went_silent_is_connected_to_anew_though_nothing_has_changed() -> None:
    script = connected()
    assert fetches(script.wait(5.0)) == 1
    assert connects(script.take(events.Configured(config()))) == 1


def test_an_offline_server_is_back_after_more_than_online_threshold_heartbeats() -> None:
    script = connected()
    script.wait(3.6)
    assert script.beat() == []
    assert script.beat() == []
    assert script.beat() == [heartbeat()]
    assert heartbeats(script.wait(1.0)) == 1


def test_a_job_goes_on_while_the_server_is_offline() -> None:
    script = connected()
    script.running()
    done = script.wait(60.0)
    assert not [e for e in done if isinstance(e, effects.AbortJob)]
    script.ended(succeeded())
    script.take(events.Configured(config(incarnation_id="server-2")))
    first, *_ = script.take(events.Connected())
    assert isinstance(first, effects.SendResult)


def test_a_new_incarnation_is_asked_for_its_configuration_within_an_interval() -> None:
    script = connected(random=0.5)
    script.beat("server-2")
    assert fetches(script.wait(0.4)) == 0
    assert fetches(script.wait(0.2)) == 1
    assert fetches(script.beats_for(2)) == 0


def test_requests_that_fail_back_off_even_if_the_server_is_heard() -> None:
    script = connected(random=1.0)
    script.beat("server-2")
    asked = 0
    for _ in range(60):
        script.beat("server-2")
        if fetches(script.wait(1.0)):
            asked += 1
            script.take(events.ConfigFailed("refused"))
    assert 4 <= asked <= 7


@pytest.mark.parametrize(
    ("random", "asked", "expected"), [(0.0, 20, 20), (1.0, 20, 30), (0.0, 1e9, 300), (1.0, 0, 0.5)]
)
def test_an_agent_comes_again_when_the_server_wants_it(
    random: float, asked: float, expected: float
) -> None:
    script = Script(random)
    script.take(events.Started())
    script.take(events.ConfigFailed("busy", asked))
    assert script.agent.link.fetch_at == script.now + expected


def test_heartbeats_of_an_incarnation_that_was_left_count_for_nothing() -> None:
    script = connected()
    script.take(events.Configured(config(incarnation_id="server-2")))
    script.take(events.Connected())
    script.command(messages.Ack)
    for _ in range(4):
        script.beat("server-1")
        done = script.wait(1.0)
    assert fetches(done) == 1
    assert not script.agent.link.online


def test_a_replayed_heartbeat_does_not_keep_the_server_online() -> None:
    script = connected()
    for _ in range(4):
        script.beats = 0
        script.beat()
        script.wait(1.0)
    assert not script.agent.link.online


def test_the_configuration_is_fetched_again_before_its_lifetime_is_over() -> None:
    script = connected(config(lifetime=100.0), random=1.0)
    assert fetches(script.beats_for(89)) == 0
    assert fetches(script.beats_for(2)) == 1


def test_the_same_configuration_leaves_a_good_connection_alone() -> None:
    script = connected()
    script.running()
    again = config(lifetime=1800.0, reconfigure_splay=50.0)
    assert script.take(events.Configured(again)) == []
    assert script.wait(1.0) == [heartbeat("running", JOB)]


@pytest.mark.parametrize(
    "changed",
    [{"incarnation_id": "server-2"}, {"session_key": b"other"}, {"command_addr": "tcp://x:1"}],
)
def test_another_configuration_makes_new_connections(changed: dict[str, object]) -> None:
    assert connects(connected().take(events.Configured(config(**changed)))) == 1


def test_a_reconfigure_by_the_operator_is_asked_for_at_once_and_connects_anew() -> None:
    script = connected()
    script.running()
    assert script.take(events.ReconfigureRequested()) == [effects.FetchConfig((JOB,))]
    assert script.take(events.ReconfigureRequested()) == []
    assert connects(script.take(events.Configured(config()))) == 1


def test_a_server_whose_heartbeats_never_come_is_asked_ever_more_rarely() -> None:
    script = Script(random=1.0)
    script.take(events.Started())
    asked = 1
    for _ in range(300):
        if asked and not script.agent.link.connected:
            script.take(events.Configured(config()))
            script.take(events.Connected())
            script.command(messages.Ack)
        if fetches(script.wait(1.0)):
            asked += 1
            script.agent.link.connected = False
    assert 8 < asked < 20


def test_a_fetch_that_is_due_earlier_is_not_put_off_by_another_reason() -> None:
    script = connected(config(lifetime=4.0), random=1.0)
    assert fetches(script.wait(3.7)) == 1


# --- one deadline at a time


def test_a_connection_that_never_comes_about_leads_to_a_new_configuration() -> None:
    script = Script()
    script.take(events.Started())
    script.take(events.Configured(config(interval=10.0)))
    assert fetches(script.wait(4.0)) == 1


def test_a_new_configuration_gives_the_server_its_time_anew() -> None:
    script = connected()
    script.wait(3.3)
    script.take(events.ReconfigureRequested())
    script.take(events.Configured(config()))
    assert fetches(script.wait(2.9)) == 0
    script.take(events.Connected())
    script.command(messages.Ack)
    assert heartbeats(script.wait(3.4)) == 3


def test_a_server_that_is_connected_again_is_online_until_it_falls_silent_again() -> None:
    script = connected()
    script.wait(5.0)
    script.take(events.Disconnected())
    assert script.take(events.Connected()) == [heartbeat()]
    script.command(messages.Ack)
    assert script.committed() == [answer(messages.AckCommit)]
    assert heartbeats(script.wait(3.4)) == 3
    assert heartbeats(script.wait(10.0)) == 0


def test_a_server_that_is_back_gets_no_heartbeat_without_a_connection() -> None:
    script = connected()
    script.wait(3.6)
    script.take(events.Disconnected())
    assert [script.beat() for _ in range(4)] == [[], [], [], []]


def test_the_heartbeats_of_a_server_that_fell_silent_again_are_counted_anew() -> None:
    script = connected()
    script.wait(3.6)
    script.beats_for(2)
    script.wait(3.6)
    assert script.beat() == []
    assert script.beat() == []
    assert script.beat() == [heartbeat()]


def test_one_reconfigure_makes_one_new_connection() -> None:
    script = connected()
    script.take(events.ReconfigureRequested())
    script.take(events.Configured(config()))
    script.take(events.Connected())
    script.command(messages.Ack)
    assert script.take(events.Configured(config())) == []


def test_an_answer_ends_the_backoff_of_requests() -> None:
    script = Script(random=1.0)
    script.take(events.Started())
    for _ in range(4):
        script.take(events.ConfigFailed("refused"))
    script.take(events.Configured(config()))
    script.take(events.ReconfigureRequested())
    script.take(events.ConfigFailed("refused"))
    assert fetches(script.wait(0.6)) == 1


def test_a_good_connection_ends_the_backoff_of_connections() -> None:
    script = Script(random=1.0)
    script.take(events.Started())
    for _ in range(5):
        script.take(events.Configured(config()))
        assert fetches(script.wait(40.0)) == 1
    script.take(events.Configured(config()))
    script.take(events.Connected())
    script.command(messages.Ack)
    script.beat()
    assert fetches(script.wait(4.1)) == 1


def test_a_mute_channel_is_made_anew_ever_more_rarely_though_the_server_is_heard() -> None:
    script = Script(random=1.0)
    script.take(events.Started())
    waited = []
    for _ in range(8):
        script.take(events.Configured(config()))
        script.take(events.Connected())
        seconds = itertools.takewhile(lambda _: not fetches(script.beats_for(1)), range(60))
        waited.append(len(list(seconds)))
    assert waited == sorted(waited)
    assert waited[-1] >= 30
