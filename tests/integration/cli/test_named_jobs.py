"""Jobs are named by their ids, the beginnings of these, or as the last one that was started."""

import pytest

from pushcli.exit_status import ExitStatus
from tests.integration.cli.operated import Operated
from tests.integration.cli.program import Home, assert_one_line
from tests.integration.cli.responder import JOB_ID, Responder, job, json_answer

pytestmark = pytest.mark.timeout(90)
"""The first test starts the server."""
SECOND = "aaaaaaaabbbb25fd67fa8715fd547d3d"
COMMANDS = (["status"], ["output"], ["abort"])


def start(operated: Operated, *nodes: str) -> str:
    started = operated.run("job", "start", "uptime", *(nodes or ("ghost",)), "--allow-unknown")
    assert started.stderr.count("Voting (0/") == 1, started
    found: str = operated.json("job", "list")[0]["id"]
    return found


def test_every_command_takes_a_beginning_and_the_last_one(operated: Operated) -> None:
    first, last = start(operated), start(operated, "db1", "db2")
    assert operated.json("job", "status", first[:8])["id"] == first
    assert operated.json("job", "status", "@last")["id"] == last
    assert operated.json("job", "status", "@LAST")["id"] == last
    assert operated.json("job", "abort", last[:8])["id"] == last
    assert (
        f"job {last} ran on no node: its quorum failed"
        in operated.run("job", "output", "@last").stderr
    )
    again = operated.run("job", "start", "uptime", "--from-job", "@last", "--allow-unknown")
    assert "2 unavailable: db[1-2]" in again.stdout, again


@pytest.mark.parametrize("command", COMMANDS)
def test_a_beginning_that_no_job_has_is_not_found(operated: Operated, command: list[str]) -> None:
    missing = operated.run("job", *command, "0000")
    assert_one_line(missing, ExitStatus.NOT_FOUND, "there is no job 0000", "job list")


@pytest.mark.parametrize("named", ["abc", "xyz1", "@first", "0" * 33])
def test_what_names_no_job_is_refused_before_anybody_is_asked(home: Home, named: str) -> None:
    refused = home.run("job", "status", named)
    assert refused.status == ExitStatus.USAGE
    assert "give 4 or more of its 32 hex digits, or @last" in refused.stderr


@pytest.mark.parametrize("paged", [True, False])
def test_several_with_the_same_beginning_are_named(
    home: Home, responder: Responder, paged: bool
) -> None:
    jobs = [job("complete"), job("complete", id=SECOND, command="x" * 99 + "\x1b")]
    listed = {"jobs": jobs, "next": None} if paged else jobs
    responder.say("GET", "jobs", json_answer(listed))
    refused = home.run("job", "status", "aaaa")
    assert_one_line(refused, ExitStatus.USAGE, "several jobs begin with aaaa")
    for shown in ("aaaaaaaaa (uptime)", f"aaaaaaaab ({'x' * 30}...)"):
        assert shown in refused.stderr
    assert home.run("job", "status", "bbbb").status == ExitStatus.NOT_FOUND


def test_a_whole_id_needs_no_request_of_its_own(home: Home, responder: Responder) -> None:
    responder.say("GET", f"jobs/{JOB_ID}", json_answer(job("complete")))
    responder.say("GET", f"jobs/{JOB_ID}/nodes", json_answer([]))
    assert home.run("job", "status", JOB_ID.upper()).status == ExitStatus.OK
    assert responder.count("GET", "jobs") == 0


def test_a_server_that_knows_nobodys_own_jobs_knows_no_last_one(
    home: Home, responder: Responder
) -> None:
    responder.say("GET", "jobs", json_answer([job("complete")], old=True))
    refused = home.run("job", "status", "@last")
    assert_one_line(refused, ExitStatus.NOT_OFFERED, "can tell which job", "job list")
