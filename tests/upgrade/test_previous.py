"""The previous version as processes, beside the present one and before it."""

import re
import sqlite3
import subprocess
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli.whitelist import statements
from tests.support.waiting import patient
from tests.upgrade.kept import VersionedFleet, restored
from tests.upgrade.two_versions import NODES, WHITELIST, fleet_of, is_of
from tests.upgrade.waiting import until

pytestmark = pytest.mark.timeout(90)


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
        editors_are_added(fleet, serving, is_chained=older == "agents")


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


def test_an_entry_that_an_older_agent_would_refuse_is_not_signed_for_it(
    tmp_path: Path, previous: Path
) -> None:
    with fleet_of(tmp_path, server=None, agents=None) as (_, fleet):
        older = VersionedFleet(tmp_path, ("n2",), program=previous, whitelist=WHITELIST)
        older.ports = fleet.ports
        try:
            older.enroll(["n2"])
            older.start_agent("n2")
            older.wait_available(["n2"])
            leaves_older_agents_alone(fleet)
        finally:
            older.stop()


def leaves_older_agents_alone(fleet: VersionedFleet) -> None:
    """`n1` is of the present version, `n2` of the previous one."""
    both = ("n1", "n2")
    assert fleet.cli("whitelist", "add", "greet", "echo hi", *both).returncode == ExitStatus.OK
    wide = ("whitelist", "add", "greet", 'echo "hi $A"', *both, "--allow-env", "A")
    warning = "n2 would refuse the entry 'greet': the agent there does not know env"
    asked = fleet.cli(*wide)
    assert (asked.returncode, asked.stdout) == (ExitStatus.USAGE, "")
    assert warning in asked.stderr
    assert "greet" not in fleet.cli("whitelist", "diff", *both).stdout
    done = fleet.cli(*wide, "-y")
    assert (done.returncode, done.stdout) == (ExitStatus.NOT_IN_FORCE, "in force on 1 node\n")
    assert warning in done.stderr
    assert "'greet' is unchanged on n2" in done.stderr
    # What was in force there stays.
    done = fleet.cli("job", "start", "--capture", "greet", *both)
    assert done.returncode == ExitStatus.OK, done.stdout
    assert done.stdout.count("hi") == 2
    done = fleet.cli("job", "start", "--capture", "greet", "n1", "--with-env", '{"A": "there"}')
    assert "hi there" in done.stdout
    copied = fleet.cli("whitelist", "copy", "--from", "n1", "n2")
    assert copied.returncode == ExitStatus.USAGE
    assert warning in copied.stderr
    edited = subprocess.run(
        fleet.command("whitelist", "edit", "n2", "-y"), capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, timeout=patient(15),
        env={**fleet.environment, "EDITOR": "sed -i 's/^greet = .*/greet = {command_line=\"x\", "
             "env=[\"A\"]}/'"},
    )  # fmt: skip
    assert edited.returncode == ExitStatus.USAGE
    assert warning in edited.stderr
    assert fleet.cli("job", "start", "greet", "n2").returncode == ExitStatus.OK
    # Plain entries are nobody's concern.
    assert fleet.cli("whitelist", "add", "plain", "true", *both).returncode == ExitStatus.OK
    # It cannot say whether it would pass a variable on, and renames none: it has no list.
    dry = fleet.cli("job", "start", "--dry-run", "greet", *both, "--with-env", '{"A": "1"}')
    assert dry.returncode == ExitStatus.QUORUM_FAILED
    assert "1 cannot tell" in dry.stdout


def test_an_agent_goes_back_once_the_keys_that_are_new_are_removed(
    tmp_path: Path, previous: Path
) -> None:
    with fleet_of(tmp_path, server=None, agents=None) as (_, fleet):
        fleet.end_agent("n1")
        fleet.program = previous
        fleet.start_agent("n1")
        until(lambda: "unknown key 'allowed_dirs'" in fleet.log("n1").read_text(), "it says so")
        # No signal: it ends by itself.
        assert fleet.end_agent("n1", 0) == ExitStatus.CONFIG
        # As docs/whitelist.md says.
        fleet.write_agent_settings("n1", WHITELIST)
        settings = fleet.agent_directory("n1") / "agent.toml"
        text, count = re.subn(r"(?m)^allowed_(dirs|users) = \[\]\n", "", settings.read_text())
        assert count == 2
        settings.write_text(text)
        fleet.start_agent("n1")
        log = fleet.log("n1")
        until(lambda: log.read_text().count("the server answers") == 2, "it connects")
        fleet.wait_available(["n1"])
        aborts_a_job(fleet)
        edits_a_whitelist(fleet)


def editors_are_added(fleet: VersionedFleet, serving: VersionedFleet, *, is_chained: bool) -> None:
    """By a command line of either version, and the agent hears of them.

    Args:
        serving: with the command line of the server's version.
        is_chained: whether that is the present one.
    """
    agent = fleet.agent_directory("n1") / "server_whitelist.json"
    for number, by in enumerate((fleet, serving)):
        public = keys.generate().public_key()
        file = fleet.directory / f"editor{number}.pub"
        file.write_text(keys.public_pem(public))
        done = by.cli("whitelist", "editors", "add", f"editor{number}", str(file), "-y")
        assert done.returncode == ExitStatus.OK, done.stdout + done.stderr
        modulus = statements.modulus_text(statements.public_numbers(public))
        until(partial(_is_in, agent, modulus), "the agent knows the key")
    done = fleet.cli("whitelist", "editors", "remove", "editor0", "-y")
    if is_chained:
        assert done.returncode != ExitStatus.OK
        assert "upgrade pushcli" in done.stderr
        done = serving.cli("whitelist", "editors", "remove", "editor0", "-y")
    assert done.returncode == ExitStatus.OK, done.stderr
    until(lambda: '"removed":true' in agent.read_text() or not is_chained, "n1 hears that, too")


def _is_in(file: Path, text: str) -> bool:
    return text in file.read_text()


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
