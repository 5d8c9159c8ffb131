"""A node's machine loses power: what was synced is all that its agent finds when it comes back."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli_agent.running.job_directory import is_locked
from tests.e2e.conftest import FAST, WHITELIST
from tests.support.powered import PoweredFleet
from tests.support.waiting import job_is, lines, start, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[PoweredFleet]:
    with PoweredFleet(tmp_path / "fleet", ["n1"], whitelist=WHITELIST, settings=FAST) as fleet:
        fleet.wait_available(["n1"])
        yield fleet


def test_a_result_that_was_not_delivered_yet_is_delivered(
    fleet: PoweredFleet, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    job = start(fleet, "slow-mark", "n1", capture_output=True, env={"MARKS": str(marks)})
    until(lambda: lines(marks), "the command runs")
    fleet.end_server(signal.SIGKILL)
    place = fleet.agent_directory("n1") / "spool" / job
    until(lambda: (place / "result.json").exists() and not is_locked(place), "it is spooled")
    fleet.cut_power("n1")
    fleet.start_server()
    fleet.start_agent("n1")
    job_is(fleet, job, "complete")
    assert fleet.api.job(job)["nodes"] == {"succeeded": ["n1"]}
    assert fleet.api.job_output(job, "n1", "stdout") == b"whole\n"
    assert lines(marks) == ["run", "end"]
    until(lambda: not any(place.parent.iterdir()), "nothing is left in the spool")


def test_what_ran_then_has_crashed_and_does_not_run_again(
    fleet: PoweredFleet, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    job = start(fleet, "slow-mark", "n1", env={"MARKS": str(marks)})
    until(lambda: lines(marks), "the command runs")
    fleet.cut_power("n1")
    fleet.start_agent("n1")
    job_is(fleet, job, "complete")
    assert fleet.api.job(job)["nodes"] == {"crashed": ["n1"]}
    fleet.wait_available(["n1"])
    assert lines(marks) == ["run"]
    spool = fleet.agent_directory("n1") / "spool"
    until(lambda: not any(spool.iterdir()), "nothing is left in the spool")
