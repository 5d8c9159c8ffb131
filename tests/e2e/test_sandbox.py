"""`pushcli sandbox`: what it starts, it takes away again, however it ends."""

import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from pushcli.client.api import ApiClient
from pushcli.errors import StartError
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.postgresql import programs
from pushcli.sandbox.sandbox import Sandbox, end_all
from tests.support.waiting import patient, until

pytestmark = pytest.mark.timeout(60)
OTHERS = b'# mine\n[default]\nclient_name = "ann"\n'


@dataclass(frozen=True)
class Place:
    """A home with a profile in it, and a directory for temporary files of its own."""

    home: Path
    temporary: Path

    @property
    def credentials(self) -> Path:
        return self.home / ".pushcli" / "credentials"

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PUSHCLI_", "CHEF_"))}
        return {**kept, "HOME": str(self.home), "TMPDIR": str(self.temporary)}

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "pushcli", *arguments], env=self.environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        with self.start(*arguments) as process:
            stdout, stderr = process.communicate(timeout=patient(45))
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    def processes(self) -> list[bytes]:
        """Command lines of what still runs from here."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                command = entry.read_bytes()
            except OSError:
                continue
            if os.fsencode(self.temporary) in command:
                found.append(command)
        return found

    def assert_nothing_is_left(self) -> None:
        assert self.processes() == []
        assert list(self.temporary.iterdir()) == []
        assert self.credentials.read_bytes() == OTHERS


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path / "home", tmp_path / "tmp")
    place.temporary.mkdir()
    place.credentials.parent.mkdir(parents=True)
    place.credentials.write_bytes(OTHERS)
    return place


@contextmanager
def living(
    place: Place, printed: list[str] | None = None, *options: str
) -> Iterator["subprocess.Popen[str]"]:
    """A sandbox of one node that says how to reach it; what it prints is added to `printed`."""
    lines = [] if printed is None else printed
    with place.start("sandbox", "--nodes", "1", *options) as process:
        said = process.stdout
        assert said is not None
        try:
            while "Ctrl-C" not in (line := said.readline()):
                assert line, "it ended"
                lines.append(line)
            yield process
        finally:
            process.terminate()


def test_one_job_is_run_and_its_exit_status_is_ours(place: Place) -> None:
    done = place.run("sandbox", "--nodes", "2", "--run", "echo I am $CHEF_PUSH_NODE_NAME")
    assert done.returncode == ExitStatus.OK, done.stderr
    assert "I am node1" in done.stdout
    assert "I am node2" in done.stdout
    place.assert_nothing_is_left()
    assert place.run("sandbox", "--nodes", "1", "--run", "exit 7").returncode == 1
    place.assert_nothing_is_left()


def test_a_sample_can_be_run_by_its_name(place: Place) -> None:
    done = place.run("sandbox", "--nodes", "1", "--run", "fail")
    assert done.returncode == ExitStatus.NODE_FAILED
    assert "this fails" in done.stdout


def test_it_is_reached_under_its_profile_until_ctrl_c(place: Place) -> None:
    printed: list[str] = []
    with living(place, printed) as process:
        done = place.run("--profile", "sandbox", "job", "start", "--capture", "uptime", "node1")
        assert done.returncode == ExitStatus.OK, done.stderr
        # What its operator may not is for whoever acts as the line says.
        [line] = [line for line in printed if "-u pivotal" in line]
        done = place.run(*shlex.split(line)[1:], "--key-file", str(place.home / "bob.pem"))
        assert done.returncode == ExitStatus.OK, done.stderr
        assert place.credentials.read_bytes().startswith(OTHERS)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        assert process.wait(patient(30)) == ExitStatus.OK
    place.assert_nothing_is_left()


class Silent(Sandbox):
    """One whose server never hears of a node."""

    @property
    def api(self) -> ApiClient:
        """Lists none."""
        return cast("ApiClient", SimpleNamespace(node_states=list))


def test_nodes_that_are_not_ready_in_time_are_named_together(tmp_path: Path) -> None:
    fleet = Silent(tmp_path, [])
    fleet.log("node2").parent.mkdir()
    fleet.log("node2").write_text("starting\nno such server\n")
    with pytest.raises(StartError, match=r"not ready in time: node\[2-12\]: node2 wrote last: no"):
        fleet.wait_available([f"node{number}" for number in range(2, 13)], patience=0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it_as_ctrl_c_does_with_the_commands_that_run(
    place: Place, number: signal.Signals
) -> None:
    with living(place) as process:
        done = place.run("--profile", "sandbox", "job", "start", "--nowait", "slow", "node1")
        assert done.returncode == ExitStatus.OK, done.stderr
        until(lambda: any(b"supervisor" in command for command in place.processes()), "it runs")
        process.send_signal(number)
        assert process.wait(patient(30)) == ExitStatus.OK
    place.assert_nothing_is_left()


def test_a_signal_while_it_starts_leaves_nothing_either(place: Place) -> None:
    with place.start("sandbox", "--nodes", "4") as process:
        until(lambda: any(b"enroll" in command for command in place.processes()), "it enrolls", 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(patient(30)) == ExitStatus.INTERRUPTED
    place.assert_nothing_is_left()


def test_a_second_sandbox_is_refused_and_harms_nobody(place: Place) -> None:
    with living(place):
        before = place.credentials.read_bytes()
        second = place.run("sandbox", "--nodes", "1")
        assert second.returncode == ExitStatus.CONFIG
        assert "end the other sandbox" in second.stderr
        assert "Starting" not in second.stderr
        assert place.credentials.read_bytes() == before
        assert place.run("--profile", "sandbox", "node", "status").returncode == ExitStatus.OK


def test_a_profile_of_ones_own_of_that_name_is_left_alone(place: Place) -> None:
    mine = OTHERS + b'[sandbox]\nclient_name = "me"\n'
    place.credentials.write_bytes(mine)
    done = place.run("sandbox", "--nodes", "1")
    assert done.returncode == ExitStatus.CONFIG
    assert "rename or remove that profile" in done.stderr
    assert "Starting" not in done.stderr
    assert place.credentials.read_bytes() == mine


def test_what_a_killed_one_left_is_cleared_away_by_the_next(place: Place) -> None:
    with living(place) as process:
        process.kill()
        process.wait(patient(30))
    assert place.processes()
    done = place.run("sandbox", "--nodes", "1", "--run", "uptime")
    assert done.returncode == ExitStatus.OK, done.stderr
    assert "a killed sandbox had left" in done.stderr
    place.assert_nothing_is_left()


# --- several servers


@pytest.fixture
def near(place: Place) -> Iterator[Place]:
    """One whose directory for temporary files has a short name, and which `postgres` gets into."""
    try:
        programs()
    except StartError as error:
        pytest.skip(str(error))
    with tempfile.TemporaryDirectory(prefix="pushcli-tests-", dir="/tmp") as directory:
        temporary = Path(directory)
        temporary.chmod(0o711)
        try:
            yield Place(place.home, temporary)
        finally:
            end_all(temporary)


def said_after(printed: list[str], words: str) -> list[str]:
    """The arguments of the one command among these lines that has this in it."""
    [line] = [line for line in printed if words in line]
    return shlex.split(line)[1:]


def states(place: Place, arguments: list[str]) -> list[str]:
    """Of all servers."""
    done = place.run(*arguments, "-F", "json")
    assert done.returncode == ExitStatus.OK, done.stderr
    return sorted(one["state"] for one in json.loads(done.stdout))


@pytest.mark.timeout(patient(100))
def test_the_server_that_works_is_killed_and_another_goes_on(
    near: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of the caller's own databases.
    monkeypatch.setenv("PGPORT", "1")
    printed: list[str] = []
    with living(near, printed, "--servers", "2") as process:
        job = ["--profile", "sandbox", "job", "start", "uptime", "node1"]
        assert near.run(*job).returncode == ExitStatus.OK
        servers = said_after(printed, "server list")
        until(lambda: states(near, servers) == ["ready", "works"], "both are there")
        [_, pid] = said_after(printed, "kill -9")
        os.kill(int(pid), signal.SIGKILL)
        [log] = near.temporary.glob("*/log/server2.log")
        until(lambda: " ready, REST on" in log.read_text(), "the second works", 30)
        until(lambda: near.run(*job).returncode == ExitStatus.OK, "its agent found it", 60)
        until(lambda: states(near, servers) == ["ready", "works"], "the first is there again", 30)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=patient(30))
    assert process.returncode == ExitStatus.OK
    assert "Server 1 ended; it was started again, and stands ready." in said
    assert "Server 2 works now: kill -9" in said
    near.assert_nothing_is_left()


@pytest.mark.timeout(patient(60))
def test_several_servers_that_were_killed_are_cleared_away_with_their_database(near: Place) -> None:
    with living(near, None, "--servers", "2") as process:
        process.kill()
        process.wait(patient(30))
    assert any(b"/postgres" in command for command in near.processes())
    done = near.run("sandbox", "--nodes", "2", "--servers", "3", "--run", "echo on $0")
    assert done.returncode == ExitStatus.OK, done.stderr
    assert "a killed sandbox had left" in done.stderr
    near.assert_nothing_is_left()


def test_a_signal_while_the_database_is_made_leaves_nothing_either(near: Place) -> None:
    with near.start("sandbox", "--servers", "2") as process:
        until(lambda: any(b"initdb" in command for command in near.processes()), "it is made", 30)
        process.send_signal(signal.SIGTERM)
        assert process.wait(patient(30)) == ExitStatus.INTERRUPTED
    near.assert_nothing_is_left()


def test_where_no_socket_can_be_it_is_said(near: Place) -> None:
    for name in ("t" * 90, "a,b"):
        temporary = near.temporary / name
        temporary.mkdir()
        done = Place(near.home, temporary).run("sandbox", "--nodes", "1", "--servers", "2")
        assert done.returncode == ExitStatus.ERROR
        assert "set TMPDIR to a shorter plain path" in done.stderr
        assert list(temporary.iterdir()) == []
