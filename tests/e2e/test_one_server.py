"""One server works with a database: a second one is told so, one that hung is of no effect."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from pushcli.errors import StartError
from pushcli.exit_status import ExitStatus
from pushcli_server import settings
from tests.e2e.conftest import FAST, WHITELIST
from tests.support.fleet import Fleet
from tests.support.identities import operator
from tests.support.postgresql import throw_away_database
from tests.support.second_server import IN_THE_WAY, begins, beside, own_end
from tests.support.waiting import job_is, lines, start, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
LEASE = 2


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Fleet]:
    with ExitStack() as stack:
        url = stack.enter_context(throw_away_database())
        more = {"database_url": url, "lease": LEASE}
        fleet = Fleet(tmp_path / "first", ["n1"], whitelist=WHITELIST, settings={**FAST, **more})
        yield stack.enter_context(fleet)


def test_a_second_server_is_told_of_the_first_which_goes_on(first: Fleet, tmp_path: Path) -> None:
    with beside(first, tmp_path / "second") as second:
        with pytest.raises(StartError, match=f"{IN_THE_WAY}: on .*, since 2"):
            second.start_server()
        assert second.end_server() == ExitStatus.ERROR
    job_is(first, start(first, "true", "n1"), "complete")


def test_on_a_file_too(tmp_path: Path) -> None:
    with (
        Fleet(tmp_path / "first", [], settings=FAST) as first,
        beside(first, tmp_path / "second") as second,
    ):
        with pytest.raises(StartError, match=f"{IN_THE_WAY}.*stop it"):
            second.start_server()
        first.end_server(signal.SIGKILL)
        second.start_server()


def test_one_that_was_killed_is_back_at_once_whatever_its_lease(first: Fleet) -> None:
    file = first.server_directory / settings.FILE
    first.end_server()
    file.write_text(file.read_text().replace(f"lease = {LEASE}", "lease = 600"))
    assert "lease = 600" in file.read_text()
    for number in (signal.SIGKILL, signal.SIGTERM):
        first.start_server()
        first.end_server(number)
    first.start_server()
    first.wait_available(["n1"])


def test_one_that_hung_for_longer_than_its_lease_changes_nothing_when_it_goes_on(
    first: Fleet, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    job = start(first, "slow-mark", "n1", env={"MARKS": str(marks)})
    until(lambda: lines(marks), "the command runs")
    os.kill(first.pid("server"), signal.SIGSTOP)
    with beside(first, tmp_path / "second") as second, ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            operator(first), "POST", "pushy/jobs", {"command": "true", "nodes": ["n1"]}
        )
        until(lambda: begins(second), "the lease of the first is over")
        until(lambda: lines(marks) == ["run", "end"], "the command ends, and nobody hears of it")
        spooled = first.agent_directory("n1") / "spool" / job / "result.json"
        until(spooled.exists, "it is spooled")
        os.kill(first.pid("server"), signal.SIGCONT)
        assert own_end(first) == ExitStatus.ERROR
        assert asked.exception() is not None or asked.result().status == 503
        # It has not told its agent that the result is stored.
        assert spooled.exists()
        assert [known["id"] for known in second.api.jobs()] == [job]
        assert second.api.job(job)["status"] == "running"
    first.start_server()
    job_is(first, job, "complete")
    assert first.api.job(job)["nodes"] == {"succeeded": ["n1"]}
    assert lines(marks) == ["run", "end"]
