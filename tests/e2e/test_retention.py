"""Output is deleted by a server at work: what is old, and what is too much."""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pushcli.errors import NotFound
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from pushcli_server import settings
from tests.support.fleet import Fleet
from tests.support.stored import large
from tests.support.waiting import job_is, start, until

pytestmark = pytest.mark.timeout(90)
WHITELIST = {
    "large": "head -c 100000 /dev/zero | tr '\\0' x; echo end >&2",
    "other": "head -c 100000 /dev/zero | tr '\\0' y",
    "wait": "echo begun; while [ ! -e $MARK ]; do sleep 0.05; done; echo ended",
    "nothing": "true",
}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Sandbox]:
    server = {"heartbeat_interval": 250, "voting_timeout": 10, "output_retention": "forever"}
    whitelist = {**WHITELIST, "wait": {"command_line": WHITELIST["wait"], "env": ["MARK"]}}
    with Fleet(tmp_path, ["n1", "n2"], whitelist=whitelist, settings=server) as fleet:
        yield fleet


def restarted(fleet: Sandbox, *values: str) -> None:
    """The server goes on with these settings; it looks as soon as it runs."""
    fleet.end_server()
    configure(fleet, *values)
    fleet.start_server()


def configure(fleet: Sandbox, *values: str) -> None:
    """Have these settings in the server's directory."""
    made = settings.load(fleet.server_directory)
    file = fleet.server_directory / settings.FILE
    file.write_text(settings.render(settings.with_values(made, list(values), "the test")))


def captured(fleet: Sandbox, command: str, *nodes: str) -> str:
    job_id = start(fleet, command, *nodes, capture_output=True)
    job_is(fleet, job_id, "complete")
    return job_id


def is_deleted(fleet: Sandbox, job_id: str) -> list[dict[str, Any]] | None:
    parts: list[dict[str, Any]] = fleet.api.job_nodes(job_id)
    return parts if any("output_deleted_at" in part for part in parts) else None


def test_old_output_is_deleted_and_whoever_asks_is_told(fleet: Sandbox, tmp_path: Path) -> None:
    job_id, silent = captured(fleet, "large", "n1", "n2"), captured(fleet, "nothing", "n1")
    [digest] = {part["stdout_digest"] for part in fleet.api.job_nodes(job_id)}
    mark = tmp_path / "mark"
    running = start(fleet, "wait", "n1", capture_output=True, env={"MARK": str(mark)})
    job_is(fleet, running, "running")
    # The first look is at the start, the next one long after.
    ended = max(part["ended_at"] for part in fleet.api.job_nodes(silent))
    until(lambda: time.time() > ended + 1.5)
    restarted(fleet, "output_retention=1s")
    parts = until(lambda: is_deleted(fleet, job_id), "it is deleted")
    for part in parts:
        assert (part["state"], part["stdout_size"], part["stderr_size"]) == (
            "succeeded",
            100_000,
            4,
        )
        assert part["output_deleted_by"] == "output_retention"
        assert not part.keys() & {"stdout_digest", "stderr_digest"}
    until(lambda: not large(fleet), "nothing is left")
    _told(fleet, job_id)
    with pytest.raises(NotFound):
        fleet.api.output_of(job_id, digest)
    with pytest.raises(NotFound, match="was deleted"):
        fleet.api.job_output(job_id, "n1", "stderr")
    # Of one that wrote nothing there is nothing to be missed.
    assert is_deleted(fleet, silent) is None
    assert fleet.cli("job", "output", silent, "n1").returncode == 0
    # And a job that is not over has all of its own, whatever else goes.
    fleet.wait_available(["n2"])
    mark.touch()
    job_is(fleet, running, "complete")
    assert fleet.api.job_output(running, "n1", "stdout") == b"begun\nended\n"


def _told(fleet: Sandbox, job_id: str) -> None:
    for arguments in (
        ("n1",), ("n1", "n2"), (), ("n1", "--channel", "both"), ("--follow",),
        ("n2", "--outdir", "x"), ("n1", "--raw"),
    ):  # fmt: skip
        done = fleet.cli("job", "output", job_id, *arguments)
        assert done.returncode == ExitStatus.NOT_FOUND, (arguments, done.stdout + done.stderr)
        assert re.search(
            rf"the output of job {job_id} was deleted after \d+ (s|min) \(output_retention\)",
            done.stderr,
        ), (arguments, done.stderr)
    shown = fleet.cli("job", "status", job_id, "-V").stdout
    assert "output deleted" in shown
    results = json.loads(fleet.cli("job", "status", job_id, "-F", "json").stdout)["results"]
    assert {result["output_deleted_by"] for result in results} == {"output_retention"}


def test_of_too_much_output_the_oldest_is_deleted(fleet: Sandbox) -> None:
    first = captured(fleet, "large", "n1", "n2")
    second = captured(fleet, "other", "n1")
    restarted(fleet, "max_stored_output_bytes=150000")
    until(lambda: is_deleted(fleet, first), "the oldest goes")
    assert fleet.api.job_output(second, "n1", "stdout") == b"y" * 100_000
    done = fleet.cli("job", "output", first, "n1")
    assert done.returncode == ExitStatus.NOT_FOUND
    assert "(max_stored_output_bytes)" in done.stderr
    assert len(large(fleet)) == 1


def test_what_would_be_deleted_is_told_and_deleted_while_the_server_is_down(
    fleet: Sandbox,
) -> None:
    job_id = captured(fleet, "large", "n1", "n2")
    place = str(fleet.server_directory)

    def prune(*options: str) -> tuple[int, str]:
        done = fleet.cli("server", "prune", "--dir", place, *options)
        return done.returncode, done.stdout + done.stderr

    status, told = prune()
    assert (status, "the server is running" in told) == (ExitStatus.ERROR, True)
    assert "the output of 0 jobs (0 bytes at most)" in prune("--dry-run")[1]
    ended = max(part["ended_at"] for part in fleet.api.job_nodes(job_id))
    fleet.end_server()
    configure(fleet, "output_retention=1s")
    until(lambda: time.time() > ended + 1.5)
    would = "Would delete 0 jobs, the output of 1 jobs (200,008 bytes at most), and 0 lines of "
    assert prune("--dry-run") == (0, f"{would}the audit trail\n")
    assert len(large(fleet)) == 1
    assert prune() == (0, f"{would.replace('Would delete', 'Deleted')}the audit trail\n")
    assert not large(fleet)
    assert "of 0 jobs" in prune("--dry-run")[1]
    fleet.start_server()
    assert is_deleted(fleet, job_id)
