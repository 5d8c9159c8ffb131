"""What commands wrote that did not end by themselves, or more than there was room for."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from tests.support.fleet import Fleet
from tests.support.full_disk import fill, small_disk
from tests.support.postgresql import IS_CHOSEN
from tests.support.waiting import job_is, patient, start, until

pytestmark = pytest.mark.timeout(90)
MakeFleet = Callable[..., Sandbox]
WHITELIST = {
    "talk": "echo said; echo too >&2; exec sleep 60",
    "stubborn": "trap 'echo cleaning' TERM; echo said; while :; do sleep 0.1; done",
    "much": "head -c 300000 /dev/zero | tr '\\0' x; echo end >&2; exec sleep 60",
    "five": "head -c 5000000 /dev/zero | tr '\\0' Z",
    "quiet": "exec sleep 60",
    "hello": "echo hello",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    directory = tmp_path_factory.mktemp("kept")
    settings = {"heartbeat_interval": 250, "voting_timeout": 10}
    with Fleet(directory, ["n1", "n2"], whitelist=WHITELIST, settings=settings) as fleet:
        yield fleet


@pytest.fixture
def fleet(shared: Sandbox) -> Sandbox:
    """The fleet with idle nodes: what the test before aborted takes a moment to end."""
    shared.wait_available(shared.nodes)
    return shared


def written(fleet: Sandbox, node: str, job_id: str, text: bytes) -> None:
    """Wait until the command has written this to its error output."""
    path = fleet.agent_directory(node) / "spool" / job_id / "stderr"

    def there() -> bool:
        assert fleet.api.job(job_id)["status"] in {"voting", "running"}, fleet.api.job_nodes(job_id)
        return path.exists() and path.read_bytes() == text

    until(there, "it writes")


def parts(fleet: Sandbox, job_id: str) -> dict[str, dict[str, object]]:
    return {part["node"]: part for part in fleet.api.job_nodes(job_id)}


def settled(fleet: Sandbox, job_id: str) -> dict[str, dict[str, object]]:
    """The nodes' parts, once all their output is there."""

    def there() -> dict[str, dict[str, object]] | None:
        found = parts(fleet, job_id)
        return found if all("stdout_size" in part for part in found.values()) else None

    return until(there, "the output arrives")


def test_the_output_of_a_job_that_timed_out_is_shown_at_its_end(fleet: Sandbox) -> None:
    done = fleet.cli("job", "start", "--capture", "--timeout", "1s", "talk", "n1", "n2")
    assert done.returncode == ExitStatus.TIMED_OUT, done.stdout + done.stderr
    assert "n[1-2] (2 timed_out, " in done.stdout
    assert "n[1-2] stderr\n  too\n" in done.stdout
    assert done.stdout.count("  said\n") == 1
    assert done.stdout.count("partial output") >= 2
    assert "--capture" not in done.stdout + done.stderr


def test_output_of_a_command_that_does_not_end_at_once_is_waited_for(fleet: Sandbox) -> None:
    done = fleet.cli("job", "start", "--capture", "--timeout", "1s", "stubborn", "n1")
    assert done.returncode == ExitStatus.TIMED_OUT
    assert "  said\n  cleaning\n" in done.stdout, done.stdout + done.stderr


def test_output_of_a_job_that_was_aborted_is_kept_and_marked(fleet: Sandbox) -> None:
    job_id = start(fleet, "talk", "n1", capture_output=True)
    written(fleet, "n1", job_id, b"too\n")
    assert fleet.cli("job", "abort", job_id).returncode == 0
    part = settled(fleet, job_id)["n1"]
    assert (part["state"], part["partial"]) == ("aborted", True)
    shown = fleet.cli("job", "output", job_id, "n1")
    assert (shown.returncode, shown.stdout) == (0, "said\n")
    assert "PARTIAL" in shown.stderr
    data = json.loads(fleet.cli("job", "output", job_id, "n1", "-F", "json").stdout)
    assert data == {"id": job_id, "node": "n1", "stdout": "said\n", "partial": True}
    assert "partial output" in fleet.cli("job", "status", job_id).stdout
    assert "partial output" in fleet.cli("job", "status", job_id, "-V").stdout


def test_large_output_of_a_job_that_was_aborted_arrives_in_full(fleet: Sandbox) -> None:
    job_id = start(fleet, "much", "n1", capture_output=True)
    written(fleet, "n1", job_id, b"end\n")
    fleet.cli("job", "abort", job_id)
    assert settled(fleet, job_id)["n1"]["stdout_size"] == 300_000
    assert fleet.api.job_output(job_id, "n1", "stdout") == b"x" * 300_000
    assert fleet.api.job_output(job_id, "n1", "stderr") == b"end\n"


def test_a_node_whose_supervisor_died_crashed_and_its_output_is_kept(fleet: Sandbox) -> None:
    job_id = start(fleet, "much", "n1", capture_output=True)
    written(fleet, "n1", job_id, b"end\n")
    lock = fleet.agent_directory("n1") / "spool" / job_id / "lock"
    os.kill(int(lock.read_text().split()[0]), signal.SIGKILL)
    assert job_is(fleet, job_id, "complete")["nodes"] == {"crashed": ["n1"]}
    part = parts(fleet, job_id)["n1"]
    assert "supervisor" in str(part["reason"])
    assert part["partial"] is True
    assert fleet.api.job_output(job_id, "n1", "stdout") == b"x" * 300_000


def test_a_node_that_crashed_as_a_whole_tells_what_its_command_wrote(fleet: Sandbox) -> None:
    job_id = start(fleet, "much", "n2", capture_output=True)
    written(fleet, "n2", job_id, b"end\n")
    lock = fleet.agent_directory("n2") / "spool" / job_id / "lock"
    fleet.end_agent("n2", signal.SIGKILL)
    os.kill(int(lock.read_text().split()[0]), signal.SIGKILL)
    fleet.start_agent("n2")
    assert job_is(fleet, job_id, "complete")["nodes"] == {"crashed": ["n2"]}
    assert fleet.api.job_output(job_id, "n2", "stdout") == b"x" * 300_000
    fleet.wait_available(["n2"])


def test_late_output_arrives_though_the_job_is_long_forgotten(fleet: Sandbox) -> None:
    job_id = start(fleet, "much", "n2", capture_output=True, run_timeout=3)
    written(fleet, "n2", job_id, b"end\n")
    fleet.end_agent("n2", signal.SIGKILL)
    job_is(fleet, job_id, "timed_out")
    spooled = fleet.agent_directory("n2") / "spool" / job_id
    until((spooled / "result.json").exists, "its supervisor ends the command")
    fleet.end_server()
    fleet.start_server()
    fleet.start_agent("n2")
    # What there was of it in time is shown before.
    until(lambda: not spooled.exists(), "the agent need not keep it any longer")
    part = settled(fleet, job_id)["n2"]
    assert (part["state"], part["partial"], part["stdout_size"]) == ("timed_out", True, 300_000)
    assert fleet.api.job_output(job_id, "n2", "stdout") == b"x" * 300_000
    fleet.wait_available(fleet.nodes)


def test_why_there_is_no_output_is_told(fleet: Sandbox) -> None:
    def told(*arguments: str) -> str:
        done = fleet.cli("job", "output", *arguments)
        assert done.returncode == ExitStatus.NOT_FOUND
        return done.stderr

    without = start(fleet, "hello", "n1")
    job_is(fleet, without, "complete")
    assert "--capture" in told(without, "n1")
    assert "there is no job" in told("0" * 32, "n1")
    running = start(fleet, "quiet", "n1", capture_output=True)
    job_is(fleet, running, "running")
    assert "has no node 'n2'" in told(running, "n2")
    assert "no stdout from n1 yet (running)" in told(running, "n1")
    refused = start(fleet, "hello", "n1", "n2", capture_output=True, quorum=1)
    job_is(fleet, refused, "complete")
    assert "did not run on n1 (nacked, busy" in told(refused, "n1")
    fleet.cli("job", "abort", running)
    for text in (told(refused, "n1"),):
        assert "--capture" not in text
    settled(fleet, running)
    assert fleet.cli("job", "output", running, "n1").returncode == 0


def test_a_service_that_a_job_started_outlives_job_and_agent(
    fleet: Sandbox, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    service = (
        f"(while [ ! -e {marks}.go ]; do sleep 0.05; done; "
        f"while echo line && echo error >&2; do echo x >> {marks}; sleep 0.05; done) & echo up"
    )
    fleet.write_agent_settings("n1", {**WHITELIST, "serve": service})
    os.kill(fleet.pid("n1"), signal.SIGUSR1)
    until(lambda: fleet.cli("job", "start", "--dry-run", "serve", "n1").returncode == 0)
    done = fleet.cli("job", "start", "--capture", "serve", "n1")
    assert "  up\n" in done.stdout
    fleet.end_agent("n1", signal.SIGKILL)
    fleet.wait_available(["n1"], available=False)
    fleet.start_agent("n1")
    fleet.wait_available(["n1"])
    Path(f"{marks}.go").touch()
    until(lambda: marks.exists() and marks.stat().st_size > 20, "it writes and lives")
    spool = fleet.agent_directory("n1") / "spool"
    until(lambda: list(spool.iterdir()) == [], "nothing of it lies on the disk")


def test_a_disk_that_fills_is_told_wherever_one_looks(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "1m") as disk:
        settings = {"heartbeat_interval": 250, "voting_timeout": 10}
        spool = f'spool_dir = "{disk}/spool"\n'
        with Fleet(
            tmp_path / "fleet", ["n1"], whitelist=WHITELIST, settings=settings, agent_settings=spool
        ) as fleet:
            done = fleet.cli("job", "start", "--capture", "five", "n1")
            assert done.returncode == ExitStatus.OK, done.stderr
            assert "bytes of output missing" in done.stdout
            assert "[output cut: " in done.stdout
            job_id = done.stdout.split("Job ID: ")[1].split()[0]
            _missing_everywhere(fleet, job_id)
            ballast = fill(disk)
            refused = fleet.cli("job", "start", "--capture", "hello", "n1")
            assert refused.returncode == ExitStatus.QUORUM_FAILED
            assert f"no space left on the disk of {disk}/spool" in refused.stdout
            ballast.unlink()
            assert fleet.cli("job", "start", "hello", "n1").returncode == 0


def _missing_everywhere(fleet: Sandbox, job_id: str) -> None:
    part = parts(fleet, job_id)["n1"]
    dropped = part["stdout_dropped"]
    assert isinstance(dropped, int)
    output = fleet.api.job_output(job_id, "n1", "stdout")
    kept = output.count(b"Z")
    assert 500_000 < kept < 1_048_576
    assert kept + dropped == 5_000_000
    assert output.endswith(b"(No space left on device)]\n")
    shown = fleet.cli("job", "output", job_id, "n1")
    assert f"CUT: {dropped:,} more bytes" in shown.stderr
    data = json.loads(fleet.cli("job", "output", job_id, "n1", "-F", "json").stdout)
    assert data["dropped"] == dropped
    for options in ((), ("-V",)):
        assert (
            f"{dropped:,} bytes of output missing"
            in fleet.cli("job", "status", job_id, *options).stdout
        )
    raw = json.loads(fleet.cli("job", "status", job_id, "-F", "json").stdout)
    assert raw["results"][0]["stdout_dropped"] == dropped


@pytest.mark.skipif(IS_CHOSEN, reason="it is in the database, as a row is or is not")
def test_output_that_the_server_lost_is_not_given_out_as_if_it_were_whole(
    fleet: Sandbox,
) -> None:
    job_id = start(fleet, "much", "n1", capture_output=True)
    written(fleet, "n1", job_id, b"end\n")
    fleet.cli("job", "abort", job_id)
    settled(fleet, job_id)
    [file] = [
        path
        for path in fleet.server_directory.rglob("*")
        if path.is_file() and path.stat().st_size == 300_000
    ]
    whole = file.read_bytes()
    for damage, words in ((whole[:1000], "1000 of 300000 bytes"), (None, "missing")):
        file.unlink()
        if damage is not None:
            file.write_bytes(damage)
        done = fleet.cli("job", "output", job_id, "n1")
        assert done.returncode == ExitStatus.ERROR
        assert words in done.stderr
        assert done.stdout == ""
    file.write_bytes(whole)
    assert fleet.cli("job", "output", job_id, "n1").returncode == 0


def test_a_dead_standard_output_names_the_job_that_runs_on(fleet: Sandbox) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            fleet.command("job", "start", "hello", "n1"), env=fleet.environment, stdout=full,
            stderr=subprocess.PIPE, text=True, check=False, timeout=patient(15),
        )  # fmt: skip
    assert done.returncode == ExitStatus.OUTPUT_LOST
    assert "UNWATCHED: pushcli job status " in done.stderr
