"""`job start --follow` on a terminal: lines scroll above a short display; Ctrl-Z and `fg`."""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pexpect  # type: ignore[import-untyped]
import pytest

from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from tests.integration.cli.program import Home
from tests.integration.cli.terminal import HEIGHT, WIDTH, Terminal, on_terminal
from tests.support.fleet import Fleet
from tests.support.waiting import patient

pytestmark = [pytest.mark.timeout(120), pytest.mark.usefixtures("idle")]
"""The first test starts the fleet."""

CHATTY = (
    'i=0; while [ ! -e {go} ]; do i=$((i+1)); echo "line $i."; '
    'echo "wrong $i." >&2; sleep 0.2; done; echo the last'
)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A server with two agents."""
    directory = tmp_path_factory.mktemp("fleet")
    whitelist = {"chatty": CHATTY.format(go=directory / "go"), "sleep": "sleep 600"}
    with Fleet(directory, ["web01", "web02"], whitelist=whitelist) as fleet:
        yield fleet


@pytest.fixture(autouse=True)
def _not_ended(fleet: Sandbox, idle: None) -> Iterator[None]:
    """The file that ends what is chatty is not there."""
    yield
    (fleet.directory / "go").unlink(missing_ok=True)


def following(operator: Home) -> AbstractContextManager[Terminal]:
    start = ("job", "start", "chatty", "web01", "web02", "--follow")
    return on_terminal(operator, *start, PUSHCLI_PROFILE="sandbox")


def below(terminal: Terminal) -> list[str]:
    """The display: what stands from the cursor on."""
    return [line.rstrip() for line in terminal.screen.display[terminal.screen.cursor.y :]]


def assert_scrolls(terminal: Terminal, width: int = WIDTH) -> None:
    """Whole lines of nodes above, the display below, and nothing between or twice."""
    at = terminal.screen.cursor.y
    lines = [line.rstrip() for line in terminal.screen.display[:at]]
    written = [line for line in lines if line.startswith("web0")]
    assert all(re.fullmatch(r"web0[12] (\| line|! wrong) [0-9]+\.", line) for line in written)
    assert len(set(written)) == len(written)
    assert not any(line.startswith(("Running", "Job ")) for line in lines)
    shown = below(terminal)
    assert [line.split()[0] for line in shown if line] == ["Job", "Running", "2"], shown
    assert all(len(line) < width for line in shown)


def test_lines_scroll_above_a_short_display_which_goes_at_the_end(
    operator: Home, fleet: Sandbox
) -> None:
    with following(operator) as terminal:
        # More than fit on the screen.
        for _ in range(12):
            terminal.expect("2 running")
        terminal.expect("line 9.")
        terminal.expect("2 running")
        terminal.settle()
        assert_scrolls(terminal)
        assert terminal.screen.cursor.hidden
        (fleet.directory / "go").touch()
        assert terminal.end() == ExitStatus.OK
    assert not terminal.screen.cursor.hidden
    assert terminal.lines[-1] == "Complete.  2 succeeded"
    assert {"web01 | the last", "web02 | the last"} <= {*terminal.lines}
    assert not any(line.startswith(("Running", "Job ")) for line in terminal.lines)
    # Each node has its colour.
    colours = {*re.findall(rb"\x1b\[([0-9]+)mweb0([12])\x1b\[0m ", terminal.raw)}
    assert len(colours) == 2


def test_a_terminal_that_is_resized_has_no_stale_lines(operator: Home) -> None:
    with following(operator) as terminal:
        terminal.expect("2 running")
        for width in (40, 120, 25):
            terminal.child.setwinsize(HEIGHT, width)
            terminal.screen.resize(HEIGHT, width)
            # What was on its way already may be as wide as before.
            for _ in range(4):
                terminal.expect("2 running")
            terminal.settle()
            assert_scrolls(terminal, width)


def test_ctrl_c_asks_and_lines_wait_for_the_answer(operator: Home) -> None:
    with following(operator) as terminal:
        terminal.expect("line 2.")
        terminal.expect("2 running")
        terminal.child.sendintr()
        terminal.expect("watching?  [a]")
        terminal.settle(1.0)
        assert terminal.lines[-1].endswith("watching?  [a]")
        assert not terminal.screen.cursor.hidden
        terminal.child.send("c\r")
        terminal.expect("2 running")
        terminal.expect("line 9.")
        terminal.expect("2 running")
        terminal.child.sendintr()
        terminal.expect("watching?  [a]")
        terminal.child.send("\r")
        assert terminal.end() == ExitStatus.ABORTED
    assert terminal.lines[-2] == "Aborted.  2 aborted"
    assert not terminal.screen.cursor.hidden


@contextmanager
def in_shell(operator: Home) -> Iterator[Terminal]:
    """A shell with job control, in whose terminal the program is started."""
    env = {**operator.env, "TERM": "xterm-256color", "PUSHCLI_PROFILE": "sandbox", "PS1": "ready> "}
    child = pexpect.spawn(
        shutil.which("bash"), ["--norc", "--noprofile", "-i"], dimensions=(HEIGHT, WIDTH),
        cwd=operator.path, env=env,
    )  # fmt: skip
    try:
        terminal = Terminal(child)
        terminal.expect("ready> ")
        yield terminal
    finally:
        child.close(force=True)


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
@pytest.mark.parametrize("follow", [(), ("--follow",)])
def test_ctrl_z_gives_the_terminal_back_and_fg_draws_anew(
    operator: Home, follow: tuple[str, ...]
) -> None:
    command = ("-m", "pushcli", "job", "start", "sleep", "web01", "web02", *follow)
    with in_shell(operator) as terminal:
        terminal.child.sendline(" ".join((sys.executable, *command)))
        for _ in range(2):
            terminal.expect("2 running")
            terminal.settle()
            assert terminal.screen.cursor.hidden
            shown = below(terminal)
            assert [line.split()[0] for line in shown if line] == ["Job", "Running", "2"]
            terminal.child.sendcontrol("z")
            terminal.expect("Stopped")
            terminal.expect("ready> ")
            assert not terminal.screen.cursor.hidden
            assert not any(line.startswith("Running") for line in terminal.lines)
            terminal.child.sendline("fg")
        terminal.expect("2 running")
        terminal.child.sendintr()
        terminal.expect("watching?  [a]")
        terminal.child.send("a\r")
        terminal.expect("Aborted.  2 aborted")
        terminal.expect("ready> ")
        assert not terminal.screen.cursor.hidden


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_in_the_background_nothing_is_drawn(operator: Home, fleet: Sandbox) -> None:
    command = f"{sys.executable} -m pushcli job start sleep web01 web02"
    with in_shell(operator) as terminal:
        terminal.child.sendline(command)
        terminal.expect("2 running")
        terminal.child.sendcontrol("z")
        terminal.expect("ready> ")
        terminal.child.sendline("bg")
        terminal.expect("ready> ")
        before = terminal.raw
        terminal.settle(1.0)
        assert b"running" not in terminal.raw.removeprefix(before)
        for job in fleet.api.jobs():
            if job["status"] == "running":
                fleet.api.abort_job(job["id"])
        terminal.expect("Aborted.  2 aborted")


def test_in_a_pipe_phases_are_lines_beside_those_of_nodes(operator: Home, fleet: Sandbox) -> None:
    start = ("job", "start", "chatty", "web01", "--follow", "--profile", "sandbox")
    with operator.start(*start) as process:
        assert process.stderr is not None
        phases = [process.stderr.readline() for _ in range(2)]
        # Else it may be over before it was seen to run.
        (fleet.directory / "go").touch()
        output, rest = process.communicate(timeout=patient(30))
    assert "web01 | the last" in output.splitlines()
    assert [line.split()[0] for line in (*phases, *rest.splitlines())] == ["Voting", "Running"]
    ndjson = operator.run(*start, "-F", "ndjson")
    *lines, end = [json.loads(line)["event"] for line in ndjson.stdout.splitlines()]
    assert {"start", "quorum_succeeded", "run_start", "output", "job_complete"} <= {*lines}
    assert end == "end"


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_behind_a_pipe_nothing_is_drawn_over_what_it_prints(operator: Home, fleet: Sandbox) -> None:
    with in_shell(operator) as terminal:
        command = f"{sys.executable} -m pushcli job start chatty web01 --follow | cat"
        terminal.child.sendline(command)
        terminal.expect("line 9.")
        (fleet.directory / "go").touch()
        terminal.expect("Complete.")
        terminal.expect("ready> ")
    assert b"\x1b[?25l" not in terminal.raw
    assert any(line.startswith("Running (1/1 in progress)") for line in terminal.lines)


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_where_a_stop_is_ignored_it_stays_ignored(operator: Home) -> None:
    with in_shell(operator) as terminal:
        command = f"(trap '' TSTP; exec {sys.executable} -m pushcli job start sleep web01)"
        terminal.child.sendline(command)
        terminal.expect("1 running")
        terminal.child.sendcontrol("z")
        for _ in range(3):
            terminal.expect("1 running")
        terminal.child.sendintr()
        terminal.expect("watching?  [a]")
        terminal.child.send("a\r")
        terminal.expect("Aborted.  1 aborted")
    assert not any("Stopped" in line for line in terminal.lines)
