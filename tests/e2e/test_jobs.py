"""The main job, end to end, with real processes: what operators do all day."""

import json
import subprocess
from pathlib import Path

import pytest

from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from tests.support.waiting import job_is, patient, processes, start, until

pytestmark = pytest.mark.timeout(60)


def test_a_job_succeeds_on_all_nodes_and_its_output_is_shown(fleet: Sandbox) -> None:
    done = fleet.cli("job", "start", "--capture", "hello", "n1", "n2", "n3")
    assert done.returncode == ExitStatus.OK, done.stderr
    for node in fleet.nodes:
        assert f"hello from {node}" in done.stdout
    assert done.stdout.count("oops") == 3


def test_a_command_that_fails_is_told_with_its_exit_code(fleet: Sandbox) -> None:
    done = fleet.cli("job", "start", "--capture", "fail", "n1")
    assert done.returncode == ExitStatus.NODE_FAILED
    assert "broken" in done.stdout
    assert "exit code 3" in done.stdout


def test_a_command_that_is_not_on_the_whitelist_is_nacked_with_the_reason(fleet: Sandbox) -> None:
    done = fleet.cli("job", "start", "rm -rf /", "n1")
    assert done.returncode == ExitStatus.QUORUM_FAILED
    assert "nacked" in done.stdout
    assert "whitelist" in done.stdout


def test_output_can_be_had_later_whole_and_byte_for_byte(fleet: Sandbox, tmp_path: Path) -> None:
    job_id = start(fleet, "big", "n1", capture_output=True)
    job_is(fleet, job_id, "complete")
    assert fleet.api.job_output(job_id, "n1", "stdout") == b"x" * 300_000 + b"\xff\xfe"
    assert fleet.api.job_output(job_id, "n1", "stderr") == b"end\n"


def test_environment_directory_and_file_reach_the_command(fleet: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("the file\n")
    done = fleet.cli(
        "job", "start", "--capture", "environment", "n2", "--with-env", '{"A": "b c"}',
        "--in-dir", "/usr", "--file", str(tmp_path / "f"),
    )  # fmt: skip
    assert done.returncode == ExitStatus.OK, done.stdout + done.stderr
    assert "b c" in done.stdout
    assert "/usr\n" in done.stdout
    assert "the file" in done.stdout


@pytest.mark.parametrize(
    ("variable", "value"), [("LD_PRELOAD", "/tmp/x.so"), ("PATH", "/tmp"), ("BASH_ENV", "/tmp/x")]
)
def test_the_whitelist_cannot_be_walked_around_by_the_environment(
    fleet: Sandbox, variable: str, value: str
) -> None:
    environment = json.dumps({variable: value})
    done = fleet.cli("job", "start", "true", "n1", "--with-env", environment)
    assert done.returncode == ExitStatus.QUORUM_FAILED
    assert variable in done.stdout


def test_a_node_that_is_busy_nacks(fleet: Sandbox) -> None:
    busy = start(fleet, "sleep", "n1")
    job_is(fleet, busy, "running")
    until(lambda: fleet.api.job(busy)["nodes"].get("running"), "n1 runs it")
    other = fleet.api.job(start(fleet, "true", "n1"))
    assert (other["status"], other["nodes"]) == ("quorum_failed", {"nacked": ["n1"]})
    assert fleet.cli("job", "abort", "-y", busy).returncode in {ExitStatus.OK, ExitStatus.ABORTED}
    fleet.wait_available(["n1"])


def test_abort_ends_the_whole_process_tree(fleet: Sandbox, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    job_id = start(fleet, "tree", "n1", env={"MARKS": str(marks)})
    until(lambda: all(processes(n) for n in ("987", "988", "989")), "the tree stands")
    fleet.api.abort_job(job_id)
    job = job_is(fleet, job_id, "aborted")
    assert job["nodes"] == {"aborted": ["n1"]}
    until(lambda: not any(processes(n) for n in ("987", "988", "989")), "the tree is gone")
    fleet.wait_available(["n1"])


def test_a_timeout_ends_the_whole_process_tree(fleet: Sandbox, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    job_id = start(fleet, "tree", "n2", run_timeout=1, env={"MARKS": str(marks)})
    job = job_is(fleet, job_id, "timed_out")
    assert job["nodes"] == {"timed_out": ["n2"]}
    until(lambda: not any(processes(n) for n in ("987", "988", "989")), "the tree is gone")
    fleet.wait_available(["n2"])


def test_timeout_and_abort_have_their_own_exit_statuses(fleet: Sandbox) -> None:
    done = fleet.cli("job", "start", "sleep", "n3", "--timeout", "1")
    assert done.returncode == ExitStatus.TIMED_OUT, done.stdout
    fleet.wait_available(["n3"])
    with subprocess.Popen(
        fleet.command("job", "start", "sleep", "n3"), env=fleet.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as watching:  # fmt: skip
        assert watching.stdout is not None
        job_id = watching.stdout.readline().split()[-1]
        job_is(fleet, job_id, "running")
        assert fleet.cli("job", "abort", "-y", job_id).returncode == ExitStatus.OK
        assert watching.wait(patient(15)) == ExitStatus.ABORTED
    fleet.wait_available(["n3"])


def test_an_unknown_job_is_exit_8_and_an_unknown_node_is_unavailable(fleet: Sandbox) -> None:
    assert fleet.cli("job", "status", "0" * 32).returncode == ExitStatus.NOT_FOUND
    assert fleet.cli("node", "status", "nosuch").stdout.startswith("nosuch\tunavailable\t")


def test_a_quorum_decides_when_a_node_is_down(fleet: Sandbox) -> None:
    fleet.enroll(["down"])
    assert fleet.cli("job", "start", "true", "n1", "n2", "n3", "down").returncode == 3
    done = fleet.cli("job", "start", "-q", "75%", "true", "n1", "n2", "n3", "down")
    assert done.returncode == ExitStatus.OK, done.stdout
    assert "down" in done.stdout
    done = fleet.cli("job", "start", "true", "n1", "n2", "n3", "down", "-q", "100%")
    assert done.returncode == ExitStatus.QUORUM_FAILED
