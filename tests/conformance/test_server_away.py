"""The server restarts, or stands still, while old agents run jobs: nothing is lost.

The old agent counts four missed heartbeats, reopens its sockets and is silent for about 4 s;
one that runs a long command is silent until it ends. The grace is short here, so that what
outlasts it is seen.
"""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from pushcli.sandbox.sandbox import Sandbox
from tests.support.fleet import Fleet
from tests.support.old_agent import OldAgent, availability
from tests.support.waiting import job_is, patient, start, until

pytestmark = pytest.mark.timeout(patient(40))
GRACE = 2.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    settings = {"heartbeat_interval": 250, "voting_timeout": 20, "restart_grace": GRACE}
    with Fleet(tmp_path_factory.mktemp("away"), [], settings=settings) as fleet:
        yield fleet


def run(server: Sandbox, agent: OldAgent, **more: float) -> str:
    """A job that the agent runs; its id."""
    job = start(server, "x", agent.name, **more)
    agent.expect("commit")
    agent.send("ack_commit", job)
    agent.expect("run")
    agent.send("ack_run", job)
    until(lambda: "running" in server.api.job(job)["nodes"], "it runs")
    return job


def restart(server: Sandbox, pause: float) -> None:
    server.end_server(signal.SIGKILL)
    time.sleep(pause)
    server.start_server()


@pytest.mark.parametrize("pause", [0.0, 2.0])
@pytest.mark.parametrize("heard", [True, False])
def test_an_agent_that_is_silent_after_a_restart_reports_its_success(
    server: Sandbox, agent: OldAgent, pause: float, heard: bool
) -> None:
    job = run(server, agent)
    restart(server, pause)
    if heard:
        agent.connect()
        agent.heartbeat("running", job)
        agent.expect("ack")
    # Offline after 1 s, and the grace is over after 2.
    time.sleep(GRACE + 2.0)
    assert availability(server, agent) == ("offline", "unavailable")
    assert server.api.job(job)["nodes"] == {"running": [agent.name]}
    agent.connect()
    agent.send("succeeded", job)
    assert job_is(server, job, "complete")["nodes"] == {"succeeded": [agent.name]}


def test_one_that_never_reports_is_given_up_at_the_run_timeout(
    server: Sandbox, agent: OldAgent
) -> None:
    job = run(server, agent, run_timeout=6)
    restart(server, 0.0)
    assert job_is(server, job, "timed_out")["nodes"] == {"timed_out": [agent.name]}


def test_a_server_that_stood_still_gives_up_nobody(server: Sandbox, agent: OldAgent) -> None:
    job = run(server, agent)
    os.kill(server.pid("server"), signal.SIGSTOP)
    time.sleep(5.0)
    os.kill(server.pid("server"), signal.SIGCONT)
    # As after a restart: silent for longer than makes a node offline.
    time.sleep(3.0)
    until(lambda: availability(server, agent)[0] == "offline", "it counts as offline")
    assert server.api.job(job)["nodes"] == {"running": [agent.name]}
    agent.connect()
    agent.heartbeat("running", job)
    agent.expect("ack")
    agent.send("succeeded", job)
    assert job_is(server, job, "complete")["nodes"] == {"succeeded": [agent.name]}


def test_without_a_restart_silence_still_ends_its_work(server: Sandbox, agent: OldAgent) -> None:
    job = run(server, agent)
    assert job_is(server, job, "complete")["nodes"] == {"crashed": [agent.name]}
    [node] = server.api.job_nodes(job)
    assert node["reason"] == "went offline while running"


def test_a_heartbeat_that_says_committed_is_no_vote(server: Sandbox, agent: OldAgent) -> None:
    job = start(server, "x", agent.name)
    agent.expect("commit")
    for _ in range(6):
        agent.heartbeat("committed", job)
        assert agent.receive(0.2) is None
    assert server.api.job(job)["status"] == "voting"
    agent.send("ack_commit", job)
    agent.expect("run")


def test_after_a_reconnect_it_is_one(server: Sandbox, agent: OldAgent) -> None:
    job = start(server, "x", agent.name)
    agent.expect("commit")
    agent.connect()
    agent.heartbeat("committed", job)
    agent.expect("ack")
    assert agent.expect("run")["job_id"] == job


def test_who_reconnects_while_it_makes_ready_may_vote_twice(
    server: Sandbox, agent: OldAgent
) -> None:
    job = start(server, "x", agent.name)
    agent.expect("commit")
    agent.connect()
    # Not ready yet, so that it is asked again; its vote crosses that.
    agent.heartbeat("idle")
    agent.expect("ack")
    agent.expect("commit")
    agent.send("ack_commit", job)
    agent.expect("run")
    agent.send("ack_commit", job)
    agent.send("ack_run", job)
    agent.send("succeeded", job)
    assert job_is(server, job, "complete")["nodes"] == {"succeeded": [agent.name]}
    assert agent.receive(0.2) is None
