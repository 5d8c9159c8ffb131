"""The date of a machine jumps while jobs run: who is meant is told, and all goes on afterwards."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli.errors import AuthenticationError
from pushcli.sandbox.sandbox import ORG
from tests.e2e.conftest import FAST, WHITELIST
from tests.support.identities import operator
from tests.support.stepped import SteppedFleet
from tests.support.waiting import job_is, lines, start, until

pytestmark = [pytest.mark.timeout(60), pytest.mark.slow]
HOUR, DAY = 3600.0, 86_400.0
DROPPED = "dropped a message from n1: its timestamp is too far off"


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[SteppedFleet]:
    made = SteppedFleet(tmp_path, ["n1", "n2"], whitelist=WHITELIST, settings=FAST)
    with made:
        yield made


def test_a_node_whose_clock_jumps(fleet: SteppedFleet, tmp_path: Path) -> None:
    marks = tmp_path / "marks"
    running = start(fleet, "slow-mark", "n1", capture_output=True, env={"MARKS": str(marks)})
    until(lambda: lines(marks), "the command runs")
    fleet.step("n1", HOUR)
    # One that nobody hears does not vote; the quorum is met without it.
    other = start(fleet, "true", "n1", "n2", quorum=1)
    fleet.wait_available(["n1"], available=False)
    shown = fleet.cli("node", "status", "n1")
    assert "offline: its clock is 3" in shown.stdout
    assert "s ahead of the server's; synchronize it" in shown.stderr
    assert DROPPED in fleet.log("server").read_text()
    heard = r"its timestamp is too far off: its clock is \d{4} s behind ours"
    assert re.search(heard, fleet.log("n1").read_text())
    told = job_is(fleet, other, "complete", "quorum_failed")["nodes"]
    assert told["unavailable"] == ["n1"]
    until(lambda: len(lines(marks)) == 2, "the command ends")
    fleet.step("n1", 0.0)
    # Not for ever, and at once: no job was given up meanwhile.
    assert job_is(fleet, running, "complete")["nodes"] == {"succeeded": ["n1"]}
    assert fleet.api.job_output(running, "n1", "stdout") == b"whole\n"
    fleet.wait_available(["n1", "n2"])
    assert "clock_ahead" not in fleet.api.get("pushy/node_status/n1")
    assert lines(marks) == ["run", "end"]


@pytest.mark.parametrize("step", [DAY, -HOUR])
def test_a_server_whose_clock_jumps(fleet: SteppedFleet, tmp_path: Path, step: float) -> None:
    marks, pid = tmp_path / "marks", fleet.pid("server")
    before = start(fleet, "true", "n2")
    job_is(fleet, before, "complete")
    running = start(fleet, "slow-mark", "n1", capture_output=True, env={"MARKS": str(marks)})
    until(lambda: lines(marks), "the command runs")
    fleet.step("server", step)
    with pytest.raises(AuthenticationError, match="Synchronize the clock on your host"):
        fleet.api.jobs()
    until(lambda: _offline(fleet) == 2, "nobody is understood")
    assert DROPPED in fleet.log("server").read_text()
    fleet.step("server", 0.0)
    assert job_is(fleet, running, "complete")["nodes"] == {"succeeded": ["n1"]}
    fleet.wait_available(["n1", "n2"])
    assert [job["id"] for job in fleet.api.jobs()] == [before, running]
    assert lines(marks) == ["run", "end"]
    assert fleet.cli("job", "start", "true", "n1", "n2").returncode == 0
    assert fleet.pid("server") == pid


def _offline(fleet: SteppedFleet) -> float:
    """How many nodes are, by the measurements: nothing that is signed is answered now."""
    said = operator(fleet).raw("GET", "/metrics").body.decode()
    name = f'pushcli_nodes{{organization="{ORG}",state="offline"}} '
    found = [line for line in said.splitlines() if line.startswith(name)]
    return float(found[0].removeprefix(name)) if found else 0.0
