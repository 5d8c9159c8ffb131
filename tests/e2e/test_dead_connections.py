"""Peers that say nothing any more: frozen ones, and connections that died without a word."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pushcli.sandbox.sandbox import Sandbox, free_ports
from tests.support.tcp_way import TcpWay, tcp_way
from tests.support.waiting import job_is, lines, patient, start, until

pytestmark = [pytest.mark.timeout(60), pytest.mark.slow]
MakeFleet = Callable[..., Sandbox]
INTERVAL = 0.25
QUIET = 10 * INTERVAL
SILENCE = 3.0
"""Seconds that an agent waits at least: three intervals are less."""
LOST = "no answer to heartbeats from the server at"


@contextmanager
def by_a_way(make_fleet: MakeFleet, *nodes: str) -> Iterator[tuple[Sandbox, TcpWay]]:
    """Agents that reach their server by a way that may die."""
    (port,) = free_ports(1)
    with tcp_way("127.0.0.1", port) as way:
        ports = {"command_port": port, "advertised_command_port": way.port}
        yield make_fleet(*nodes, advertised_host="127.0.0.1", **ports), way


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """A process that is not given the processor."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("lost", ["client", "server"])
def test_a_connection_that_died_without_a_word_is_noticed_and_given_up(
    make_fleet: MakeFleet, tmp_path: Path, lost: str
) -> None:
    with by_a_way(make_fleet, "n1") as (fleet, way):
        marks, log = tmp_path / "marks", fleet.log("n1")
        job_id = start(fleet, "slow-mark", "n1", capture_output=True, env={"MARKS": str(marks)})
        until(lambda: lines(marks), "the command runs")
        began, way.swallows = time.monotonic(), frozenset({lost})
        until(lambda: LOST in log.read_text(), "the agent notices")
        assert time.monotonic() - began < patient(QUIET + SILENCE + 1.0)
        # What goes this way now does not: it tries again and again, not at once.
        until(lambda: log.read_text().count(LOST) >= 2, "a new connection is no better")
        tried = log.read_text().count("connecting to")
        assert 2 <= tried <= 4, log.read_text()
        way.swallows = frozenset()
        assert job_is(fleet, job_id, "complete")["nodes"] == {"succeeded": ["n1"]}
        assert fleet.api.job_output(job_id, "n1", "stdout") == b"whole\n"
        fleet.wait_available(["n1"])
        assert lines(marks) == ["run", "end"]


def test_an_agent_comes_back_from_another_address(make_fleet: MakeFleet, tmp_path: Path) -> None:
    with by_a_way(make_fleet, "n1") as (fleet, way):
        marks, log = tmp_path / "marks", fleet.log("n1")
        job_id = start(fleet, "slow-mark", "n1", env={"MARKS": str(marks)})
        until(lambda: lines(marks), "the command runs")
        way.close()
        way.source = "127.0.0.3"
        way.open()
        until(lambda: log.read_text().count("connected: the server answers") == 2, "it is back")
        assert job_is(fleet, job_id, "complete")["nodes"] == {"succeeded": ["n1"]}
        assert lines(marks) == ["run", "end"]
        assert fleet.cli("job", "start", "true", "n1").returncode == 0


def test_an_agent_is_frozen_while_it_is_asked_and_while_it_runs(
    make_fleet: MakeFleet, tmp_path: Path
) -> None:
    fleet, marks = make_fleet("n1", "n2", lost_grace=2), tmp_path / "marks"
    with frozen(fleet.pid("n1")):
        vote = fleet.cli("job", "start", "-q", "1", "true", "n1", "n2")
        assert "unavailable: n1 (went offline while voting)" in vote.stdout
        assert "1 succeeded, 1 unavailable" in vote.stdout
        assert fleet.api.get("pushy/node_status/n1")["reason"].startswith("offline")
    fleet.wait_available(["n1"])
    running = start(fleet, "slow-mark", "n1", "n2", env={"MARKS": str(marks)})
    until(lambda: len(lines(marks)) == 2, "the commands run")
    with frozen(fleet.pid("n1")):
        job = job_is(fleet, running, "complete")
        assert job["nodes"] == {"crashed": ["n1"], "succeeded": ["n2"]}
        told = fleet.cli("job", "status", running).stdout
        assert "crashed" in told
        assert "out of contact for too long" in told
    # How it ended is told beside the state.
    until(lambda: "late_result" in fleet.api.job_nodes(running)[0], "its result comes")
    fleet.wait_available(["n1"])
    assert sorted(lines(marks)) == ["end", "end", "run", "run"]


def test_a_server_that_was_frozen_for_longer_than_agents_wait_loses_no_job(
    make_fleet: MakeFleet, tmp_path: Path
) -> None:
    fleet, marks = make_fleet("n1", "n2"), tmp_path / "marks"
    job_id = start(fleet, "slow-mark", "n1", "n2", env={"MARKS": str(marks)})
    until(lambda: len(lines(marks)) == 2, "the commands run")
    with frozen(fleet.pid("server")):
        for node in fleet.nodes:
            until(lambda: LOST in fleet.log(node).read_text(), f"{node} notices")  # noqa: B023
        until(lambda: len(lines(marks)) == 4, "the commands end")
    assert job_is(fleet, job_id, "complete")["nodes"] == {"succeeded": ["n1", "n2"]}
    fleet.wait_available(["n1", "n2"])
    assert sorted(lines(marks)) == ["end", "end", "run", "run"]
    for node in fleet.nodes:
        assert "reason" not in fleet.api.get(f"pushy/node_status/{node}")
