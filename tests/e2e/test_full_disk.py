"""The server's disk fills up while a job runs: it shows what is stored, and loses nothing."""

import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from pushcli.errors import ServerError
from pushcli.sandbox.sandbox import Sandbox
from tests.support.fleet import Fleet
from tests.support.full_disk import fill, needs_mount, small_disk
from tests.support.identities import operator
from tests.support.waiting import job_is, lines, start, until

pytestmark = [pytest.mark.timeout(60), pytest.mark.slow, needs_mount]
LARGE = 200_000
"""Bytes of output that are kept in a file, beside the database."""
WHITELIST = {
    "late": {
        "command_line": 'echo run >> "$MARKS"; while [ ! -e "$MARKS.go" ]; do sleep 0.1; done;'
        f' head -c {LARGE} /dev/zero | tr "\\0" x; echo end >> "$MARKS"',
        "env": ["MARKS"],
    },
    "true": "true",
}
FULL = "its disk is full"
MakeFleet = Callable[[str], tuple[Sandbox, Path]]


class OnASmallDisk(Fleet):
    """A fleet of which a part of the server's directory is a disk of its own."""

    def __init__(self, directory: Path, part: str, stack: ExitStack) -> None:
        super().__init__(
            directory,
            ["n1", "n2"],
            whitelist=WHITELIST,
            settings={"heartbeat_interval": 250, "voting_timeout": 10},
        )
        self.disk = self.server_directory / part
        self._stack = stack

    def make_server(self) -> None:
        """On the small disk."""
        super().make_server()
        made = self.directory / "made"
        self.disk.mkdir(exist_ok=True)
        shutil.copytree(self.disk, made)
        self._stack.enter_context(small_disk(self.disk, "8m"))
        shutil.copytree(made, self.disk, dirs_exist_ok=True)


@pytest.fixture
def make_fleet(tmp_path: Path) -> Iterator[MakeFleet]:
    """Fleets whose server has little room."""
    with ExitStack() as stack:

        def make(part: str) -> tuple[Sandbox, Path]:
            fleet = OnASmallDisk(tmp_path, part, stack)
            return stack.enter_context(fleet), fleet.disk

        yield make


def can_be_read(fleet: Sandbox, job_id: str) -> None:
    """All that only looks is answered, from what is stored."""
    get = operator(fleet).get
    assert get(f"pushy/jobs/{job_id}")["nodes"] == {"running": ["n1"]}
    assert [job["id"] for job in get("pushy/jobs")] == [job_id]
    assert [job["id"] for job in fleet.api.get("pushy/jobs", {"limit": "5"})["jobs"]] == [job_id]
    assert [node["state"] for node in get(f"pushy/jobs/{job_id}/nodes")] == ["running"]
    assert {node["node_name"] for node in get("pushy/node_status")} == {"n1", "n2"}
    assert "admins" in get("groups")
    assert get("pushy/whitelist/n1")
    status = fleet.cli("job", "status", job_id)
    assert status.returncode == 0
    assert f"the server cannot store anything ({FULL}): this may be out of date" in status.stderr


def is_refused(fleet: Sandbox, job_id: str) -> None:
    """Whatever is to be written is not, and the refusal says why."""
    writes: list[Callable[[], object]] = [
        lambda: start(fleet, "true", "n2"),
        lambda: fleet.api.abort_job(job_id),
        lambda: fleet.enroll_node("n3"),
        lambda: fleet.api.post("groups", {"groupname": "meanwhile"}),
    ]
    for write in writes:
        with pytest.raises(ServerError, match=FULL):
            write()
    edit = fleet.cli("whitelist", "add", "up", "uptime", "n2", "-y")
    assert (edit.returncode, FULL in edit.stderr) == (10, True)


def monitored(fleet: Sandbox) -> tuple[int, int, str]:
    """What `/healthz` and `/readyz` say, and why it is not ready."""
    ask = operator(fleet).raw
    alive, ready = ask("GET", "/healthz"), ask("GET", "/readyz")
    return alive.status, ready.status, str(ready.json.get("error", [""])[0])


def forget_keys_were_recorded(fleet: Sandbox) -> None:
    """The next run of the server has something to store at once: which keys are in use."""

    def forgotten() -> bool:
        with closing(sqlite3.connect(fleet.server_directory / "pushcli.db")) as database, database:
            return database.execute("DELETE FROM audit WHERE action = 'server keys'").rowcount == 1

    until(forgotten, "this run has stored it")


@pytest.mark.parametrize(("part", "restart"), [(".", True), ("blobs", False)])
def test_a_full_disk_of_the_server(
    make_fleet: MakeFleet, tmp_path: Path, part: str, restart: bool
) -> None:
    fleet, disk = make_fleet(part)
    marks, log = tmp_path / "marks", fleet.log("server")
    job_id = start(fleet, "late", "n1", capture_output=True, env={"MARKS": str(marks)})
    until(lambda: lines(marks), "the command runs")
    until(lambda: "running" in fleet.api.job(job_id)["nodes"], "that is stored")
    if restart:
        forget_keys_were_recorded(fleet)
    ballast = fill(disk)
    marks.with_suffix(".go").touch()
    until(lambda: len(lines(marks)) == 2, "the command ends")
    spooled = fleet.agent_directory("n1") / "spool" / job_id
    until(lambda: monitored(fleet)[1] == 503, "it is noticed")
    assert monitored(fleet) == (200, 503, f"the database cannot be written: {FULL}")
    can_be_read(fleet, job_id)
    is_refused(fleet, job_id)
    if restart:
        fleet.end_server(signal.SIGKILL)
        fleet.start_server()
        until(lambda: monitored(fleet)[1] == 503, "it is noticed again")
        can_be_read(fleet, job_id)
        said = f"cannot look after the server's secrets: {FULL}"
        until(lambda: said in log.read_text(), "what has to wait is named")
    assert spooled.exists(), "the agent keeps what is not stored"
    pid = fleet.pid("server")
    ballast.unlink()
    assert job_is(fleet, job_id, "complete")["nodes"] == {"succeeded": ["n1"]}
    assert len(fleet.api.job_output(job_id, "n1", "stdout")) == LARGE
    until(lambda: not spooled.exists(), "the result is acknowledged")
    assert (fleet.pid("server"), lines(marks)) == (pid, ["run", "end"])
    assert "the database can be written again" in log.read_text()
    assert [job["id"] for job in fleet.api.jobs()] == [job_id], "what was refused was not done"
    assert operator(fleet)("GET", "groups/meanwhile").status == 404
    assert fleet.cli("job", "start", "true", "n1", "n2").returncode == 0
