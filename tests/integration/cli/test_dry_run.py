"""`pushcli job start --dry-run`: the vote without the job."""

import json

from pushcli.exit_status import ExitStatus
from tests.integration.cli.program import Home, assert_one_line
from tests.integration.cli.responder import Responder, json_answer

ASK = ("job", "start", "--dry-run", "uptime", "web01", "web02", "web03")
ANSWER = {
    "nodes": {
        "web01": {"state": "ready", "entry": "uptime", "source": "server", "runs": "uptime"},
        "web02": {"state": "nacked", "reason": "not on the whitelist: 'uptime'"},
        "web03": {"state": "unavailable", "reason": "offline"},
    }
}


def test_it_says_who_would_not_take_part_and_why(home: Home, responder: Responder) -> None:
    responder.say("POST", "checks", json_answer(ANSWER))
    result = home.run(*ASK)
    assert result.status == ExitStatus.QUORUM_FAILED
    assert result.stdout.splitlines() == [
        "1 of 3 nodes would run it: the quorum of 3 would fail.  Nothing was started.",
        "  nacked: web02 (not on the whitelist: 'uptime')",
        "  unavailable: web03 (offline)",
    ]
    assert responder.count("POST", "jobs") == 0


def test_a_quorum_that_would_hold_is_a_success(home: Home, responder: Responder) -> None:
    responder.say("POST", "checks", json_answer(ANSWER))
    result = home.run(*ASK, "-q", "30%")
    assert result.status == ExitStatus.OK
    assert "the quorum of 1 would hold" in result.stdout


def test_old_agents_cannot_tell(home: Home, responder: Responder) -> None:
    answer = {"nodes": {**ANSWER["nodes"], "web03": {"state": "unknown", "reason": "old"}}}
    responder.say("POST", "checks", json_answer(answer))
    result = home.run(*ASK, "-q", "2")
    assert result.status == ExitStatus.QUORUM_FAILED
    assert "1 cannot tell: the quorum of 2 might hold" in result.stdout


def test_it_can_be_had_as_json(home: Home, responder: Responder) -> None:
    responder.say("POST", "checks", json_answer(ANSWER))
    result = home.run(*ASK, "-F", "json")
    assert json.loads(result.stdout) == {
        **ANSWER, "quorum": 3, "ready": 1, "quorum_holds": False
    }  # fmt: skip


def test_an_old_server_cannot_tell(home: Home, responder: Responder) -> None:
    responder.say("POST", "checks", json_answer({"error": ["not found"]}, 404))
    assert_one_line(home.run(*ASK), ExitStatus.USAGE, "without starting a job", "--dry-run")
