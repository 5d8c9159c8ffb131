"""`pushcli job start --dry-run`: the vote without the job, on the real server."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import zmq

from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from tests.integration.cli.program import Home, Result, assert_one_line
from tests.integration.cli.responder import Responder, json_answer
from tests.support.fleet import Fleet
from tests.support.old_agent import OldAgent

pytestmark = pytest.mark.timeout(60)
"""The first test starts the fleet."""
NODES = ("web01", "web02", "web03")
ASK = ("job", "start", "--dry-run", "uptime")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """`web01` would run `uptime`, `web02` would not, and of `web03` nobody ever heard."""
    directory = tmp_path_factory.mktemp("fleet")
    with Fleet(directory, ["web01"], whitelist={"uptime": "uptime"}) as fleet:
        fleet.enroll(["web02"])
        fleet.write_agent_settings("web02", {})
        fleet.start_agent("web02")
        fleet.wait_available(["web02"])
        yield fleet


def run(fleet: Sandbox, *arguments: str) -> Result:
    done = fleet.cli(*arguments)
    return Result(done.returncode, done.stdout, done.stderr)


def test_it_says_who_would_not_take_part_and_why(fleet: Sandbox) -> None:
    result = run(fleet, *ASK, "--allow-unknown", *NODES)
    assert result.status == ExitStatus.QUORUM_FAILED
    first, unavailable, nacked = result.stdout.splitlines()
    assert first == ("1 of 3 nodes would run it: the quorum of 3 would fail.  Nothing was started.")
    assert nacked == "  nacked: web02 (not on the whitelist: 'uptime')"
    assert unavailable.startswith("  unavailable: web03 (")
    assert fleet.api.jobs() == []


def test_a_quorum_that_would_hold_is_a_success(fleet: Sandbox) -> None:
    result = run(fleet, *ASK, "--allow-unknown", *NODES, "-q", "30%")
    assert result.status == ExitStatus.OK
    assert "the quorum of 1 would hold" in result.stdout


def test_it_can_be_had_as_json(fleet: Sandbox) -> None:
    shown = json.loads(run(fleet, *ASK, "--allow-unknown", *NODES, "-F", "json").stdout)
    nodes = shown.pop("nodes")
    assert shown == {"quorum": 3, "ready": 1, "quorum_holds": False}
    assert nodes["web01"] == {
        "state": "ready", "entry": "uptime", "source": "local", "runs": "uptime"
    }  # fmt: skip
    assert {name: node["state"] for name, node in nodes.items()} == {
        "web01": "ready", "web02": "nacked", "web03": "unavailable",
    }  # fmt: skip


def test_old_agents_cannot_tell(fleet: Sandbox) -> None:
    with zmq.Context() as context, ThreadPoolExecutor(1) as pool:
        agent = OldAgent(fleet, context, "old")
        agent.come_online()
        fleet.wait_available(["old"])
        asked = pool.submit(run, fleet, *ASK, "web01", "old")
        while not asked.done():
            agent.heartbeat()
            assert agent.receive(0.1) is None
        agent.close()
    result = asked.result()
    assert result.status == ExitStatus.QUORUM_FAILED
    assert "1 cannot tell: the quorum of 2 might hold" in result.stdout


def test_an_environment_is_checked_too(fleet: Sandbox) -> None:
    result = run(fleet, *ASK, "web01", "--with-env", '{"https_proxy": "http://evil"}')
    assert result.status == ExitStatus.QUORUM_FAILED
    assert "nacked: web01 (environment variable https_proxy is not allowed: " in result.stdout
    assert 'env = ["https_proxy"] in the entry' in result.stdout


def test_a_server_of_0_1_0_cannot_check_an_environment(home: Home, responder: Responder) -> None:
    refused = {"error": ["invalid request: Object contains unknown field env"]}
    responder.say("POST", "checks", json_answer(refused, 400))
    asked = home.run(*ASK, "web01", "--with-env", '{"A": "1"}')
    assert_one_line(asked, ExitStatus.USAGE, "cannot check an environment", "--with-env")


def test_an_old_server_cannot_tell(home: Home, responder: Responder) -> None:
    responder.say("POST", "checks", json_answer({"error": ["not found"]}, 404, old=True))
    assert_one_line(home.run(*ASK, *NODES), ExitStatus.NOT_OFFERED, "ask agents", "--dry-run")
