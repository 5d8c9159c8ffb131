"""Each exit status as a shell script meets it, with a real server and a node."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from tests.support.fleet import Fleet
from tests.support.waiting import patient

pytestmark = pytest.mark.timeout(patient(60))
"""The first test starts the fleet."""
DOCUMENTATION = Path(__file__).parents[2] / "docs" / "cli.md"
WHITELIST = {"true": "true", "fail": "exit 3", "sleep": "sleep 600"}

SCRIPTS = {
    ExitStatus.OK: "pushcli job start true n1",
    ExitStatus.NODE_FAILED: "pushcli job start fail n1",
    ExitStatus.USAGE: "pushcli job start true",
    ExitStatus.QUORUM_FAILED: "pushcli job start nosuch n1",
    ExitStatus.TIMED_OUT: "pushcli job start sleep n1 --timeout 1s",
    ExitStatus.ABORTED: """
        job=$(pushcli job start --quiet -b sleep n1) || exit 99
        pushcli job abort "$job" >&2 || exit 98
        pushcli job wait "$job"
    """,
    ExitStatus.NOT_ALLOWED: "pushcli node list -u nobody",
    ExitStatus.UNREACHABLE: "pushcli node list --server-url http://127.0.0.1:1/organizations/x",
    ExitStatus.NOT_FOUND: "pushcli node show nosuch",
    ExitStatus.CONFIG: "pushcli node list --profile nosuch",
    # It runs already.
    ExitStatus.ERROR: 'pushcli server start --dir "$SERVER"',
    # The node's own file has one of this name, which wins.
    ExitStatus.NOT_IN_FORCE: "pushcli whitelist add true 'echo true' n1",
    ExitStatus.WOULD_NOT_RUN: "pushcli whitelist test n1 nosuch",
    ExitStatus.DIFFERENT: """
        printf '[whitelist]\\nother = "true"\\n' > other.toml
        pushcli whitelist diff n1 --local other.toml
    """,
    ExitStatus.OUTPUT_LOST: "pushcli node list > /dev/full",
    ExitStatus.FROZEN: """
        pushcli job freeze --reason 'for a test' >&2 || exit 99
        pushcli job start true n1
        status=$?
        pushcli job unfreeze >&2 || exit 98
        exit $status
    """,
    # A server of another kind, which says no more than that it has no such path.
    ExitStatus.NOT_OFFERED: """
        python3 -u -m http.server --bind 127.0.0.1 0 > log 2>&1 &
        until grep -q port log; do sleep 0.1; done
        port=$(sed -n 's/.* port \\([0-9]*\\) .*/\\1/p' log)
        pushcli audit --server-url "http://127.0.0.1:$port/organizations/acme"
        status=$?
        kill $!
        exit $status
    """,
    ExitStatus.INTERRUPTED: """
        job=$(pushcli job start --quiet -b sleep n1) || exit 99
        timeout --preserve-status --signal INT 3 pushcli job wait "$job"
        status=$?
        pushcli job abort "$job" >&2 || exit 98
        exit $status
    """,
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A server with a node."""
    with Fleet(tmp_path_factory.mktemp("fleet"), ["n1"], whitelist=WHITELIST) as running:
        yield running


@pytest.mark.parametrize("status", ExitStatus, ids=lambda status: status.name)
def test_a_script_gets_each_exit_status(fleet: Sandbox, tmp_path: Path, status: ExitStatus) -> None:
    fleet.wait_available(["n1"])
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**fleet.environment, "PATH": programs, "SERVER": str(fleet.server_directory)}
    done = subprocess.run(
        ["sh", "-c", SCRIPTS[status]], env=env, cwd=tmp_path, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=patient(40), check=False,
    )  # fmt: skip
    assert done.returncode == status, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr


def test_each_exit_status_has_its_script_and_its_row_in_the_documentation() -> None:
    page = DOCUMENTATION.read_text(encoding="utf-8")
    table = page.partition("### Exit statuses\n")[2].partition("\nAn error is")[0]
    rows = {int(number) for number in re.findall(r"^\| ([0-9]+) \|", table, re.M)}
    assert set(SCRIPTS) == set(ExitStatus)
    assert rows == {int(status) for status in ExitStatus}
