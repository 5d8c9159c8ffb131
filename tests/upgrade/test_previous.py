"""The previous version as processes, beside the present one and before it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from pushcli.exit_status import ExitStatus
from tests.upgrade.kept import VersionedFleet, restored
from tests.upgrade.waiting import until

pytestmark = pytest.mark.timeout(90)
WHITELIST = {
    "environment": "echo $A; pwd; cat $CHEF_PUSH_JOB_FILE; seq 1 20000; echo oops >&2",
    "sleep": "sleep 60",
    "wait": 'echo begun; while [ ! -e "$GO" ]; do sleep 0.05; done; seq 1 4000',
}
NODES = ("n1",)


@contextmanager
def fleet_of(
    directory: Path, *, server: Path | None, agents: Path | None
) -> Iterator[tuple[VersionedFleet, VersionedFleet]]:
    """A running fleet of two versions: what runs its server, and what its agents and operator.

    Args:
        server, agents: where a version is installed; None: the present one.
    """
    first = VersionedFleet(directory, NODES, program=server)
    second = VersionedFleet(directory, NODES, program=agents, whitelist=WHITELIST)
    second.ports = first.ports
    try:
        first.make_server()
        first.start_server()
        second.enroll(NODES)
        for node in NODES:
            second.start_agent(node)
        second.wait_available(NODES)
        yield first, second
    finally:
        second.stop()
        first.stop()


def is_of(fleet: VersionedFleet, name: str, program: Path) -> bool:
    """Whether a process of the fleet runs the version that is installed there."""
    variables = Path(f"/proc/{fleet.pid(name)}/environ").read_bytes().split(b"\0")
    return f"PYTHONPATH={program}".encode() in variables


def schema(fleet: VersionedFleet) -> str:
    """The migration that the fleet's database is at."""
    with closing(sqlite3.connect(fleet.server_directory / "pushcli.db")) as connection:
        found: str = connection.execute("SELECT version_num FROM alembic_version").fetchone()[0]
        return found


@pytest.mark.parametrize("older", ["server", "agents"])
def test_either_side_may_be_of_the_previous_version(
    tmp_path: Path, previous: Path, older: str
) -> None:
    server, agents = (previous if older == name else None for name in ("server", "agents"))
    with fleet_of(tmp_path, server=server, agents=agents) as (serving, fleet):
        assert is_of(serving, "server", previous) is (older == "server")
        assert is_of(fleet, "n1", previous) is (older == "agents")
        runs_a_job(fleet, tmp_path)
        aborts_a_job(fleet)
        edits_a_whitelist(fleet)


def runs_a_job(fleet: VersionedFleet, directory: Path) -> None:
    """With a file, an environment, a directory, and output that comes in chunks."""
    (directory / "file").write_text("the file\n")
    done = fleet.cli(
        "job", "start", "--capture", "environment", *NODES, "--with-env", '{"A": "b c"}',
        "--in-dir", "/usr", "--file", str(directory / "file"),
    )  # fmt: skip
    assert done.returncode == ExitStatus.OK, done.stdout + done.stderr
    job = fleet.api.jobs()[-1]["id"]
    numbers = "".join(f"{number}\n" for number in range(1, 20_001))
    for node in NODES:
        said = fleet.api.job_output(job, node, "stdout").decode()
        assert said == f"b c\n/usr\nthe file\n{numbers}"
        assert fleet.api.job_output(job, node, "stderr") == b"oops\n"


def aborts_a_job(fleet: VersionedFleet) -> None:
    """While its command runs."""
    job = fleet.api.start_job({"command": "sleep", "nodes": list(NODES)})
    until(lambda: fleet.api.job(job)["nodes"] == {"running": list(NODES)}, "it runs")
    assert fleet.cli("job", "abort", "-y", job).returncode == ExitStatus.OK
    ended = fleet.api.job(job)
    assert (ended["status"], ended["nodes"]) == ("aborted", {"aborted": list(NODES)})
    fleet.wait_available(NODES)


def edits_a_whitelist(fleet: VersionedFleet) -> None:
    """An entry comes, counts, and goes."""
    done = fleet.cli("whitelist", "add", "greet", "echo greetings", *NODES)
    assert done.returncode == ExitStatus.OK, done.stdout + done.stderr
    done = fleet.cli("job", "start", "--capture", "greet", *NODES)
    assert done.stdout.count("greetings") == len(NODES)
    assert fleet.cli("whitelist", "remove", "greet", *NODES).returncode == ExitStatus.OK
    done = fleet.cli("job", "start", "greet", *NODES)
    assert done.returncode == ExitStatus.QUORUM_FAILED


def test_a_fleet_is_brought_up_to_date_while_a_job_runs(tmp_path: Path, previous: Path) -> None:
    go = tmp_path / "go"
    with fleet_of(tmp_path, server=previous, agents=previous) as (server, agents):
        job = agents.api.start_job(
            {"command": "wait", "nodes": [*NODES], "capture_output": True, "env": {"GO": str(go)}}
        )
        until(lambda: agents.api.job(job)["nodes"] == {"running": list(NODES)}, "it runs")
        server.end_server()
        server.program = None
        server.bring_up_to_date()
        server.start_server()
        # The supervisor is of the previous version still.
        agents.program = None
        for node in NODES:
            agents.end_agent(node)
            agents.start_agent(node)
        agents.wait_available(NODES)
        assert agents.api.job(job)["nodes"] == {"running": list(NODES)}
        go.touch()
        until(lambda: agents.api.job(job)["status"] == "complete", "it ends")
        assert agents.api.job(job)["nodes"] == {"succeeded": list(NODES)}
        for node in NODES:
            said = agents.api.job_output(job, node, "stdout").decode().split()
            assert said == ["begun", *map(str, range(1, 4001))]


def test_the_previous_version_does_not_misread_a_store_of_the_present_one(
    tmp_path: Path, previous: Path
) -> None:
    fleet = restored(tmp_path, "sqlite")
    try:
        kept = schema(fleet)
        fleet.bring_up_to_date()
        fleet.start_server()
        assert fleet.end_server() == 0
        fleet.program = previous
        if schema(fleet) == kept:
            fleet.start_server()
            assert fleet.api.jobs()
        else:
            is_refused(fleet)
    finally:
        fleet.stop()


def is_refused(fleet: VersionedFleet) -> None:
    """The fleet's version leaves the store alone and says why, in one line."""
    newer = schema(fleet)
    for command in (["start"], ["init", "--org", "sandbox", "--admin", "operator"]):
        done = fleet.cli("server", *command, "--dir", str(fleet.server_directory), timeout=20)
        assert done.returncode not in (0, -15), done.stdout
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert f"newer version ({newer}" in done.stderr
        assert "upgrade pushcli" in done.stderr
    assert schema(fleet) == newer
