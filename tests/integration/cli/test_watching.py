"""Watching a job of a real server on a terminal, and coming back to it."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from tests.integration.cli.program import Home
from tests.integration.cli.terminal import Terminal, on_terminal
from tests.support.fleet import Fleet
from tests.support.waiting import patient

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("idle")]
"""The first test starts the fleet."""

WHITELIST = {"sleep": "sleep 600", "brief": "sleep 1; exit 3"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A server with two agents."""
    directory = tmp_path_factory.mktemp("fleet")
    with Fleet(directory, ["web01", "web02"], whitelist=WHITELIST) as fleet:
        yield fleet


def watching(operator: Home, *arguments: str) -> AbstractContextManager[Terminal]:
    return on_terminal(operator, *arguments, PUSHCLI_PROFILE="sandbox")


def job_id(terminal: Terminal) -> str:
    first = next(line for line in terminal.lines if line.startswith("Started."))
    return first.rpartition(" ")[2]


def status(fleet: Sandbox, job: str) -> str:
    return str(fleet.api.job(job)["status"])


def test_ctrl_c_asks_and_a_second_one_aborts(fleet: Sandbox, operator: Home) -> None:
    with watching(operator, "job", "start", "sleep", "web01", "web02") as terminal:
        terminal.expect("2 running")
        assert terminal.screen.cursor.hidden
        terminal.child.sendintr()
        terminal.expect("watching?")
        job = job_id(terminal)
        assert terminal.lines[1].endswith(
            f"2 of 2 nodes still run sleep (job {job[:8]}): web[01-02]."
        )
        # The display is gone, and whoever is asked sees what he types.
        assert len(terminal.lines) == 3
        assert not terminal.screen.cursor.hidden
        terminal.child.send("x\r")
        terminal.expect("watching?")
        terminal.child.send("c\r")
        terminal.expect("2 running")
        assert status(fleet, job) == "running"
        terminal.child.sendintr()
        terminal.expect("watching?")
        terminal.child.sendintr()
        assert terminal.end() == ExitStatus.ABORTED
    assert "Aborting ..." in terminal.lines
    assert terminal.lines[-2:] == [
        "Aborted.  2 aborted",
        "  2 aborted: web[01-02] (aborted by operator)",
    ]
    assert not terminal.screen.cursor.hidden
    assert status(fleet, job) == "aborted"


def test_enter_aborts_what_was_started_here_and_leaves_what_is_watched(
    fleet: Sandbox, operator: Home
) -> None:
    with watching(operator, "job", "start", "sleep", "web01") as terminal:
        terminal.expect("1 running")
        terminal.child.sendintr()
        terminal.expect("watching?  [a]")
        job = job_id(terminal)
        terminal.child.send("d\r")
        assert terminal.end() == ExitStatus.INTERRUPTED
    assert terminal.lines[-2:] == [
        f"STILL RUNNING: pushcli job abort {job}",
        f"  to watch it: pushcli job watch {job}",
    ]
    with watching(operator, "job", "watch", job) as terminal:
        terminal.expect("1 running")
        terminal.child.sendintr()
        terminal.expect("watching?  [d]")
        terminal.child.send("\r")
        assert terminal.end() == ExitStatus.INTERRUPTED
    assert status(fleet, job) == "running"
    with watching(operator, "job", "watch", job, "--on-interrupt", "abort") as terminal:
        terminal.expect("1 running")
        terminal.child.sendintr()
        assert terminal.end() == ExitStatus.ABORTED
    assert status(fleet, job) == "aborted"


def test_a_job_that_ends_while_its_operator_thinks_is_told(fleet: Sandbox, operator: Home) -> None:
    with watching(operator, "job", "start", "brief", "web01") as terminal:
        terminal.expect("1 running")
        terminal.child.sendintr()
        assert terminal.end() == ExitStatus.NODE_FAILED
    assert "Complete with failures.  1 failed" in terminal.lines
    assert "  failed: web01 (exit code 3)" in terminal.lines
    again = f"pushcli job retry {job_id(terminal)[:8]} --failed"
    assert f"  again for web01     {again}" in terminal.lines


def test_programs_miss_no_event_while_the_operator_thinks(fleet: Sandbox, operator: Home) -> None:
    with watching(operator, "job", "start", "brief", "web01", "-F", "ndjson") as terminal:
        terminal.expect('"run_start"')
        terminal.child.sendintr()
        terminal.expect("watching?")
        assert terminal.end() == ExitStatus.NODE_FAILED
    for event in (b"run_complete", b"job_complete", b"end"):
        assert b'"event": "%b"' % event in terminal.raw


def test_a_terminal_that_is_resized_has_no_stale_lines(fleet: Sandbox, operator: Home) -> None:
    with watching(operator, "job", "start", "sleep", "web01", "web02") as terminal:
        terminal.expect("2 running")
        for width in (40, 120, 25):
            terminal.child.setwinsize(30, width)
            terminal.screen.resize(30, width)
            # What was on its way already may be as wide as before.
            for _ in range(3):
                terminal.expect("2 running")
            display = terminal.lines[1:]
            assert [line.split()[0] for line in display] == ["Job", "Running", "2"], display
            assert all(len(line) < width for line in display)
        terminal.child.sendintr()
        terminal.expect("watching?")
        terminal.child.send("a\r")
        assert terminal.end() == ExitStatus.ABORTED


def test_off_a_terminal_each_event_is_a_line_for_programs(fleet: Sandbox) -> None:
    done = fleet.cli("job", "start", "brief", "web01", "web02", "-F", "ndjson")
    assert done.returncode == ExitStatus.NODE_FAILED, done
    *events, end = map(json.loads, done.stdout.splitlines())
    assert events[0]["event"] == "start"
    assert events[-1]["event"] == "job_complete"
    ended = {event["node"] for event in events if event["event"] == "run_complete"}
    assert ended == {"web01", "web02"}
    assert all(event["job"] == end["id"] and event["at"].endswith("Z") for event in events)
    assert (end["event"], end["status"]) == ("end", "complete")
    assert [result["exit_code"] for result in end["results"]] == [3, 3]


def test_wait_is_silent_and_has_the_jobs_status(fleet: Sandbox) -> None:
    job = json.loads(fleet.cli("job", "start", "brief", "web01", "-b", "-F", "json").stdout)["id"]
    for _ in range(2):
        done = fleet.cli("job", "wait", job)
        assert (done.returncode, done.stdout, done.stderr) == (ExitStatus.NODE_FAILED, "", "")


def test_a_feed_is_resumed_after_a_restart_of_the_server(fleet: Sandbox) -> None:
    with subprocess.Popen(
        fleet.command("job", "start", "sleep", "web01", "-F", "ndjson"), env=fleet.environment,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        while '"run_start"' not in (line := process.stdout.readline()):
            assert process.poll() is None
        fleet.end_server()
        assert any("retrying" in note for note in iter(process.stderr.readline, ""))
        fleet.start_server()
        fleet.wait_available(["web01"])
        assert fleet.cli("job", "abort", json.loads(line)["job"]).returncode == 0
        rest, _ = process.communicate(timeout=patient(20))
    assert process.returncode == ExitStatus.ABORTED
    events = [json.loads(told)["event"] for told in rest.splitlines()]
    # Nothing of before the restart comes again.
    assert events == ["job_complete", "end"]


def test_troubled_nodes_alone_are_told_of(fleet: Sandbox) -> None:
    job = fleet.api.start_job({"command": "brief", "nodes": ["web01", "ghost"], "quorum": 1})
    assert fleet.cli("job", "wait", job).returncode == ExitStatus.NODE_FAILED
    both = {entry["node"]: entry for entry in fleet.api.troubled_nodes(job, 10)}
    assert both["web01"]["exit_code"] == 3
    assert both["ghost"]["state"] == "unavailable"
    assert [entry["node"] for entry in fleet.api.troubled_nodes(job, 1)] == ["web01"]


def test_an_abort_names_the_nodes_that_do_not_confirm_it(fleet: Sandbox, operator: Home) -> None:
    with watching(operator, "job", "start", "sleep", "web01", "web02") as terminal:
        terminal.expect("2 running")
        os.kill(fleet.pid("web02"), signal.SIGSTOP)
        try:
            terminal.child.sendintr()
            terminal.expect("watching?")
            terminal.child.send("a\r")
            terminal.expect("NOT CONFIRMED by web02")
            assert terminal.end() == ExitStatus.ABORTED
        finally:
            os.kill(fleet.pid("web02"), signal.SIGCONT)
    assert "Aborted.  2 aborted" in terminal.lines
    assert not any("NOT CONFIRMED" in line and "web01" in line for line in terminal.lines)
