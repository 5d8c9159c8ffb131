"""Keys are replaced while jobs run; nothing is lost, and what was replaced counts no more."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pushcli.sandbox import Fleet
from tests.e2e.waiting import job_is, lines, start, until

pytestmark = pytest.mark.timeout(90)
MakeFleet = Callable[..., Fleet]


def test_a_server_with_new_keys_has_its_agents_back_within_seconds_and_its_job(
    make_fleet: MakeFleet, tmp_path: Path
) -> None:
    fleet, marks = make_fleet("n1", "n2"), tmp_path / "marks"
    job_id = start(fleet, "slow-mark", "n1", capture_output=True, env={"MARKS": str(marks)})
    until(lambda: lines(marks), "the command runs")
    secrets = fleet.server_directory / "secrets"
    former = (secrets / "curve.key").read_bytes()
    done = fleet.cli("server", "rotate-keys", "--dir", str(fleet.server_directory))
    assert done.returncode == 0, done.stderr
    assert (secrets / "curve.key").read_bytes() != former
    for file in (*secrets.iterdir(), *(fleet.server_directory / "secrets.previous").iterdir()):
        assert file.stat().st_mode & 0o077 == 0
    fleet.end_server()
    fleet.start_server()
    back = time.monotonic()
    fleet.wait_available(["n1", "n2"])
    assert time.monotonic() - back < 10
    assert job_is(fleet, job_id, "complete")["nodes"] == {"succeeded": ["n1"]}
    assert fleet.api.job_output(job_id, "n1", "stdout") == b"whole\n"
    assert lines(marks) == ["run", "end"]


def test_a_directory_without_a_server_has_no_keys_to_rotate(tmp_path: Path) -> None:
    done = Fleet(tmp_path, []).cli("server", "rotate-keys", "--dir", str(tmp_path))
    assert done.returncode == 9
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "secrets").exists()
