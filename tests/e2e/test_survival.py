"""Agents and the server are killed and come back; every job ends in the truth."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from pushcli.sandbox.sandbox import Sandbox
from tests.support.waiting import job_is, lines, start, until

pytestmark = pytest.mark.timeout(90)
MakeFleet = Callable[..., Sandbox]


def test_three_of_four_nodes_up(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("n1", "n2", "n3", "n4")
    fleet.end_agent("n4", signal.SIGKILL)
    fleet.wait_available(["n4"], available=False)
    done = fleet.cli("job", "start", "-q", "75%", "true", *fleet.nodes)
    assert done.returncode == 0, done.stdout
    assert fleet.cli("job", "start", "-q", "100%", "true", *fleet.nodes).returncode == 3


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_command_of_an_agent_that_ended_is_adopted_by_its_next_run(
    make_fleet: MakeFleet, tmp_path: Path, number: signal.Signals
) -> None:
    fleet, marks = make_fleet("n1"), tmp_path / "marks"
    job_id = start(fleet, "slow-mark", "n1", capture_output=True, env={"MARKS": str(marks)})
    until(lambda: lines(marks), "the command runs")
    fleet.end_agent("n1", number)
    fleet.start_agent("n1")
    job = job_is(fleet, job_id, "complete")
    assert job["nodes"] == {"succeeded": ["n1"]}
    assert lines(marks) == ["run", "end"]
    assert fleet.api.job_output(job_id, "n1", "stdout") == b"whole\n"


def test_an_agent_restarted_with_sigterm_delivers_the_output_of_its_job(
    make_fleet: MakeFleet, tmp_path: Path
) -> None:
    fleet, marks = make_fleet("n1"), tmp_path / "marks"
    job_id = start(fleet, "slow-mark", "n1", capture_output=True, env={"MARKS": str(marks)})
    until(lambda: lines(marks), "the command runs")
    assert fleet.end_agent("n1", signal.SIGTERM) == 0
    until(lambda: len(lines(marks)) == 2, "the command ends without its agent")
    fleet.start_agent("n1")
    job = job_is(fleet, job_id, "complete")
    assert job["nodes"] == {"succeeded": ["n1"]}
    assert fleet.api.job_output(job_id, "n1", "stdout") == b"whole\n"


def test_an_agent_that_stays_dead_does_not_hold_its_job_for_ever(
    make_fleet: MakeFleet, tmp_path: Path
) -> None:
    # No other deadline of the job may come first, and end it by chance.
    fleet = make_fleet("n1", lost_grace=2, voting_timeout=600)
    marks = tmp_path / "marks"
    job_id = start(fleet, "slow-mark", "n1", env={"MARKS": str(marks)})
    until(lambda: lines(marks), "the command runs")
    fleet.end_agent("n1", signal.SIGKILL)
    job = job_is(fleet, job_id, "complete")
    assert job["nodes"] == {"crashed": ["n1"]}
    # The truth is told when it returns, and the state stays.
    spooled = fleet.agent_directory("n1") / "spool" / job_id
    until((spooled / "result.json").exists, "the command ends without its agent")
    fleet.start_agent("n1")
    until(lambda: not spooled.exists(), "its result is acknowledged")
    fleet.wait_available(["n1"])
    assert fleet.api.job(job_id)["nodes"] == {"crashed": ["n1"]}


def test_an_agent_killed_while_voting_is_unavailable(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("n1", "n2")
    stopped = fleet.pid("n1")
    os.kill(stopped, signal.SIGSTOP)
    job_id = start(fleet, "true", "n1", "n2", quorum=1)
    assert fleet.api.job(job_id)["status"] == "voting"
    os.kill(stopped, signal.SIGKILL)
    fleet.end_agent("n1", signal.SIGKILL)
    job = job_is(fleet, job_id, "complete")
    assert job["nodes"] == {"succeeded": ["n2"], "unavailable": ["n1"]}


def test_an_agent_that_comes_back_at_once_is_a_new_incarnation(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("n1")
    fleet.end_agent("n1", signal.SIGKILL)
    fleet.start_agent("n1")
    # It may be back before anybody could see that it was away.
    until(lambda: fleet.log("n1").read_text().count("connected: ") >= 2, "it is back")
    fleet.wait_available(["n1"])
    assert fleet.cli("job", "start", "true", "n1").returncode == 0


def test_the_server_killed_while_jobs_run_forgets_nothing(
    make_fleet: MakeFleet, tmp_path: Path
) -> None:
    fleet, marks = make_fleet("n1", "n2"), tmp_path / "marks"
    job_id = start(fleet, "slow-mark", "n1", "n2", capture_output=True, env={"MARKS": str(marks)})
    until(lambda: len(lines(marks)) == 2, "the commands run")
    fleet.end_server(signal.SIGKILL)
    fleet.start_server()
    job = job_is(fleet, job_id, "complete")
    assert job["nodes"] == {"succeeded": ["n1", "n2"]}
    assert sorted(lines(marks)) == ["end", "end", "run", "run"]
    assert fleet.api.job_output(job_id, "n1", "stdout") == b"whole\n"


def test_results_that_came_while_the_server_was_dead_arrive(
    make_fleet: MakeFleet, tmp_path: Path
) -> None:
    fleet, marks = make_fleet("n1"), tmp_path / "marks"
    job_id = start(fleet, "slow-mark", "n1", capture_output=True, env={"MARKS": str(marks)})
    until(lambda: lines(marks), "the command runs")
    fleet.end_server(signal.SIGKILL)
    until(lambda: len(lines(marks)) == 2, "the command ends")
    fleet.start_server()
    assert job_is(fleet, job_id, "complete")["nodes"] == {"succeeded": ["n1"]}
    assert fleet.api.job_output(job_id, "n1", "stdout") == b"whole\n"


def test_the_server_killed_while_jobs_vote_runs_each_command_once(
    make_fleet: MakeFleet, tmp_path: Path
) -> None:
    fleet, marks = make_fleet("n1", "n2"), tmp_path / "marks"
    os.kill(fleet.pid("n2"), signal.SIGSTOP)
    job_id = start(fleet, "mark", "n1", "n2", env={"MARKS": str(marks)})
    assert fleet.api.job(job_id)["status"] == "voting"
    fleet.end_server(signal.SIGKILL)
    fleet.start_server()
    os.kill(fleet.pid("n2"), signal.SIGCONT)
    job = job_is(fleet, job_id, "complete", limit=30)
    assert job["nodes"] == {"succeeded": ["n1", "n2"]}
    assert lines(marks) == ["run", "run"]


def test_a_stopped_server_leaves_no_trace_of_failure(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("n1")
    assert fleet.end_server(signal.SIGTERM) == 0
    assert "Traceback" not in fleet.log("server").read_text()
    assert fleet.end_agent("n1", signal.SIGTERM) == 0
    assert "Traceback" not in fleet.log("n1").read_text()


def test_agents_ask_for_their_configuration_as_far_apart_as_the_server_says(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet("n1", "n2", reconfigure_splay=86_400)
    # To them it is away for a moment, however long it takes to start: for no longer than an agent
    # waits before it asks whether the server is elsewhere now.
    agents = [fleet.pid(node) for node in ("n1", "n2")]
    for agent in agents:
        os.kill(agent, signal.SIGSTOP)
    fleet.end_server()
    fleet.start_server()
    for agent in agents:
        os.kill(agent, signal.SIGCONT)
    fleet.wait_available(["n1", "n2"])
    logs = [fleet.log(node) for node in ("n1", "n2")]
    said = "the server was restarted"
    until(lambda: all(said in log.read_text() for log in logs), "they hear of it")
    # It serves meanwhile with the connection that it has.
    assert job_is(fleet, start(fleet, "true", "n1", "n2"), "complete")["nodes"] == {
        "succeeded": ["n1", "n2"]
    }
    for log in logs:
        assert log.read_text().count("connecting to") == 1
