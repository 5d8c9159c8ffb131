"""Agents and operators of the last release with the present server, and the other way round.

Both upgrade one after the other, in either order, and jobs go on meanwhile. `test_previous.py` has
what else concerns the first release.
"""

import signal
from pathlib import Path

import pytest

from pushcli.exit_status import ExitStatus
from tests.upgrade.kept import VersionedFleet
from tests.upgrade.two_versions import NODES, fleet_of, is_of
from tests.upgrade.waiting import until

pytestmark = pytest.mark.timeout(120)
LINES = ["begun", *map(str, range(1, 4001))]
"""What the command `wait` writes."""


@pytest.mark.parametrize("older", ["server", "agents"])
def test_jobs_and_edits_between_this_version_and_the_last_release(
    tmp_path: Path, last_release: Path, older: str
) -> None:
    server, agents = (last_release if older == name else None for name in ("server", "agents"))
    with fleet_of(tmp_path, server=server, agents=agents) as (serving, fleet):
        assert is_of(serving, "server", last_release) is (older == "server")
        assert is_of(fleet, "n1", last_release) is (older == "agents")
        # Enrolled, and down.
        fleet.enroll(["n2"])
        for operator in (fleet, serving):
            needs_a_quorum(operator)
            is_aborted(operator)
            is_pushed(operator)
        outlives_the_server(serving, fleet, tmp_path / "go")


def needs_a_quorum(operator: VersionedFleet) -> None:
    """One of two nodes is there."""
    done = operator.cli("job", "start", "-q", "50%", "--capture", "seq", "n1", "n2")
    assert done.returncode == ExitStatus.OK, done.stdout + done.stderr
    job = operator.api.jobs()[-1]
    assert operator.api.job(job["id"])["nodes"] == {"succeeded": ["n1"], "unavailable": ["n2"]}
    assert operator.api.job_output(job["id"], "n1", "stdout") == b"1\n2\n3\n"
    done = operator.cli("job", "start", "seq", "n1", "n2")
    assert done.returncode == ExitStatus.QUORUM_FAILED, done.stdout + done.stderr


def is_aborted(operator: VersionedFleet) -> None:
    """A job whose command runs."""
    job = operator.api.start_job({"command": "sleep", "nodes": list(NODES)})
    until(lambda: operator.api.job(job)["nodes"] == {"running": list(NODES)}, "it runs")
    assert operator.cli("job", "abort", "-y", job).returncode == ExitStatus.OK
    assert operator.api.job(job)["nodes"] == {"aborted": list(NODES)}
    operator.wait_available(NODES)


def is_pushed(operator: VersionedFleet) -> None:
    """A whitelist's edit is in force at once, and so is its end."""
    done = operator.cli("whitelist", "add", "greet", "echo greetings", *NODES)
    assert (done.returncode, done.stdout) == (ExitStatus.OK, "in force on 1 node\n"), done.stderr
    assert "greetings" in operator.cli("job", "start", "--capture", "greet", *NODES).stdout
    assert operator.cli("whitelist", "remove", "greet", *NODES).returncode == ExitStatus.OK
    done = operator.cli("job", "start", "greet", *NODES)
    assert done.returncode == ExitStatus.QUORUM_FAILED


def starts_waiting(fleet: VersionedFleet, go: Path) -> str:
    """A job that runs until that file is there."""
    job = fleet.api.start_job(
        {"command": "wait", "nodes": [*NODES], "capture_output": True, "env": {"GO": str(go)}}
    )
    until(lambda: fleet.api.job(job)["nodes"] == {"running": list(NODES)}, "it runs")
    return job


def has_succeeded(fleet: VersionedFleet, job: str) -> None:
    """With all that its command wrote."""
    until(lambda: fleet.api.job(job)["status"] == "complete", "it ends")
    assert fleet.api.job(job)["nodes"] == {"succeeded": list(NODES)}
    for node in NODES:
        assert fleet.api.job_output(job, node, "stdout").decode().split() == LINES


def outlives_the_server(serving: VersionedFleet, fleet: VersionedFleet, go: Path) -> None:
    """A job goes on when the server is killed and started again."""
    job = starts_waiting(fleet, go)
    serving.end_server(signal.SIGKILL)
    serving.start_server()
    fleet.wait_available(NODES)
    assert fleet.api.job(job)["nodes"] == {"running": list(NODES)}
    go.touch()
    has_succeeded(fleet, job)


def test_a_result_that_lies_in_the_spool_is_delivered_by_the_version_that_comes_after(
    tmp_path: Path, last_release: Path
) -> None:
    go = tmp_path / "go"
    with fleet_of(tmp_path, server=None, agents=last_release) as (server, fleet):
        job = starts_waiting(fleet, go)
        server.end_server()
        go.touch()
        spooled = fleet.agent_directory("n1") / "spool" / job / "result.json"
        until(spooled.exists, "it has ended")
        fleet.end_agent("n1")
        fleet.program = None
        server.start_server()
        fleet.start_agent("n1")
        has_succeeded(fleet, job)
        until(lambda: not spooled.exists(), "it is acknowledged")
