"""What a node tells of itself: facts and whitelist, on each connection and when they change."""

import msgspec
import pytest

from pushcli.protocol import extensions, messages
from pushcli_agent.core import effects, events
from tests.unit.agent.core.script import STAMP, Script, config, heartbeat, old_config

FACTS = {"hostname": "web01", "kernel": {"name": "Linux"}}
WHITELIST = messages.Whitelist(sequence=1, timestamp=STAMP, digest="d1")
CHECK = messages.Check(sequence=2, timestamp=STAMP, check_id="c1", command="uptime")
NEW = config(extensions=extensions.ALL)


def started(script: Script) -> Script:
    script.take(events.Started())
    return script


def connected(script: Script) -> Script:
    started(script).take(events.Configured(NEW, FACTS))
    script.take(events.Connected())
    return script


def test_a_new_connection_hears_of_facts_and_whitelist() -> None:
    script = started(Script())
    script.take(events.WhitelistChanged("d0"))
    assert script.take(events.Configured(NEW, FACTS)) == [effects.Connect(NEW)]
    assert script.take(events.Connected()) == [
        msgspec.structs.replace(heartbeat(), whitelist="d0"),
        effects.SendFacts(FACTS),
        effects.SendWhitelistReport(policy=True, pins=True),
    ]
    script.take(events.Disconnected())
    assert effects.SendFacts(FACTS) in script.take(events.Connected())


def test_facts_that_changed_are_told_on_the_connection_that_stays() -> None:
    script = connected(Script())
    script.take(events.CommandReceived(WHITELIST))
    assert script.take(events.Configured(NEW, FACTS)) == []
    assert script.take(events.Configured(NEW, {"hostname": "web02"})) == [
        effects.SendFacts({"hostname": "web02"})
    ]


def test_a_whitelist_is_taken_and_reported() -> None:
    script = connected(Script())
    taken = script.take(events.CommandReceived(WHITELIST))
    assert taken == [effects.ApplyWhitelist(WHITELIST)]
    assert script.take(events.WhitelistChanged("d1")) == [
        effects.SendWhitelistReport(policy=True, pins=True)
    ]
    beat = next(e for e in script.wait(1.0) if isinstance(e, effects.SendHeartbeat))
    assert beat.whitelist == "d1"


def test_a_check_is_answered() -> None:
    script = connected(Script())
    assert script.take(events.CommandReceived(CHECK)) == [effects.AnswerCheck(CHECK)]


def test_a_change_without_a_connection_waits_for_one() -> None:
    script = started(Script())
    script.take(events.Configured(NEW, FACTS))
    assert script.take(events.WhitelistChanged("d1")) == []
    assert effects.SendWhitelistReport(policy=True, pins=True) in script.take(events.Connected())


def test_a_server_of_0_1_0_is_not_told_of_the_policy() -> None:
    script = started(Script())
    offered = frozenset({extensions.WHITELIST})
    script.take(events.Configured(msgspec.structs.replace(NEW, extensions=offered), FACTS))
    assert effects.SendWhitelistReport(policy=False) in script.take(events.Connected())


@pytest.mark.parametrize("message", [WHITELIST, CHECK])
def test_a_server_that_did_not_offer_it_is_told_nothing_and_not_heard(
    message: messages.CommandMessage,
) -> None:
    script = started(Script())
    script.take(events.WhitelistChanged("d0"))
    script.take(events.Configured(old_config(), FACTS))
    assert script.take(events.Connected()) == [heartbeat()]
    assert script.take(events.CommandReceived(message)) == []
    assert script.take(events.WhitelistChanged("d1")) == []
