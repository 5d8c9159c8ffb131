"""A node restarts while a job runs there, which may do that."""

import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.fleet import Fleet
from tests.support.waiting import job_is, lines, start, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(90),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a process another boot id"),
]
COMMAND = 'echo "restarting"; echo $PPID $$ > $OUT; exec sleep 300'
WHITELIST = {
    "restart": {"command_line": COMMAND, "env": ["OUT"], "reboots": True},
    "crash": {"command_line": COMMAND, "env": ["OUT"]},
}


class Machine(Fleet):
    """Its agents believe that the kernel's boot id is what this file says."""

    def command(self, *arguments: str) -> list[str]:
        """Agents have a view of the file system of their own."""
        command = super().command(*arguments)
        if arguments[:2] != ("agent", "start"):
            return command
        mount = 'mount --bind "$0" /proc/sys/kernel/random/boot_id; exec "$@"'
        return ["unshare", "-m", "sh", "-c", mount, str(self.boot_id), *command]

    @property
    def boot_id(self) -> Path:
        """The file."""
        return self.directory / "boot_id"

    def boot(self) -> None:
        """The next run of the kernel."""
        self.boot_id.write_text(f"{uuid.uuid4()}\n")


@contextmanager
def machine(directory: Path, **settings: object) -> Iterator[Machine]:
    """Whose agent is there."""
    fleet = Machine(
        directory, ["n1"], whitelist=WHITELIST, settings={"heartbeat_interval": 250, **settings}
    )
    fleet.directory.mkdir(exist_ok=True)
    fleet.boot()
    with fleet:
        fleet.wait_available(["n1"])
        yield fleet


def begins(fleet: Machine, command: str, out: Path) -> str:
    """A job whose command runs, and with its agent is killed by the node's going down."""
    job_id = start(fleet, command, "n1", capture_output=True, env={"OUT": str(out)})
    until(lambda: lines(out), "the command runs")
    # What the supervisor has not read yet goes with it.
    spool = fleet.agent_directory("n1")
    until(
        lambda: any(b"restarting\n" in file.read_bytes() for file in spool.rglob("stdout*")),
        "its output is kept",
    )
    for pid in (fleet.pid("n1"), *map(int, out.read_text().split())):
        os.kill(pid, signal.SIGKILL)
    fleet.end_agent("n1", signal.SIGKILL)
    return job_id


@pytest.mark.parametrize(("command", "state"), [("restart", "succeeded"), ("crash", "crashed")])
def test_a_node_that_comes_back_has_succeeded_where_that_was_expected(
    tmp_path: Path, command: str, state: str
) -> None:
    with machine(tmp_path / "fleet") as fleet:
        job_id = begins(fleet, command, tmp_path / "pids")
        fleet.wait_available(["n1"], available=False)
        assert fleet.api.job(job_id)["nodes"] == {"running": ["n1"]}
        fleet.boot()
        fleet.start_agent("n1")
        job = job_is(fleet, job_id, "complete")
        assert job["nodes"] == {state: ["n1"]}
        assert fleet.api.job_output(job_id, "n1", "stdout") == b"restarting\n"


def test_the_server_may_be_killed_while_the_node_is_down(tmp_path: Path) -> None:
    with machine(tmp_path / "fleet", restart_grace=1, lost_grace=1) as fleet:
        job_id = begins(fleet, "restart", tmp_path / "pids")
        until(lambda: fleet.api.job(job_id)["nodes"] == {"running": ["n1"]}, "it is stored")
        fleet.end_server(signal.SIGKILL)
        fleet.start_server()
        # Its graces pass, with which it gives up a node that was not expected to go.
        passed = time.monotonic() + 4
        until(lambda: time.monotonic() > passed, "nothing happens")
        assert fleet.api.job(job_id)["nodes"] == {"running": ["n1"]}
        fleet.boot()
        fleet.start_agent("n1")
        job = job_is(fleet, job_id, "complete")
        assert job["nodes"] == {"succeeded": ["n1"]}
        assert fleet.api.job_output(job_id, "n1", "stdout") == b"restarting\n"
