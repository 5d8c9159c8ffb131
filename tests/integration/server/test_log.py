"""The log of a running server: a file that SIGHUP opens anew, whatever became of it."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import zmq

from pushcli.sandbox.sandbox import Sandbox
from tests.support.fleet import Fleet
from tests.support.old_agent import OldAgent
from tests.support.raw_http import Raw
from tests.support.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
EVIL = "x\n2026-11-26T00:00:00Z ERROR forged\x1b[2J"


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Sandbox]]:
    """A server of a test's own."""
    made: list[Sandbox] = []

    def server(**settings: object) -> Sandbox:
        fleet = Fleet(tmp_path, [], settings=settings)
        made.append(fleet)
        fleet.start()
        return fleet

    yield server
    for fleet in made:
        fleet.stop()


@contextmanager
def evil_node(fleet: Sandbox) -> Iterator[OldAgent]:
    """A node that sends what is no message."""
    with zmq.Context[Any]() as context:
        agent = OldAgent(fleet, context, "evil")
        try:
            yield agent
        finally:
            agent.close()


def test_forged_lines_and_floods_leave_a_short_log_of_whole_lines(
    make: Callable[..., Sandbox],
) -> None:
    fleet = make(log_format="json", log_file="log")
    log = fleet.server_directory / "log"
    with evil_node(fleet) as agent:
        for number in range(3000):
            agent.send(f"{EVIL}{number}")
        agent.come_online()
    until(lambda: log.exists() and "dropped" in log.read_text(), "it is logged")
    records = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
    assert {record["peer"] for record in records} == {"evil"}
    assert len(records) < 60
    assert log.stat().st_size < 60_000
    assert log.read_text("utf-8").replace("\n", "").isprintable()
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("trouble", ["moved", "directory gone", "a directory", "full"])
def test_a_log_that_cannot_be_written_ends_nothing(
    make: Callable[..., Sandbox], tmp_path: Path, trouble: str
) -> None:
    place = tmp_path / "logs"
    place.mkdir()
    log = place / "log"
    fleet = make(log_file=str(log))
    pid = fleet.pid("server")
    with evil_node(fleet) as agent:
        if trouble == "full":
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        else:
            log.rename(place / "log.1")
        if trouble == "directory gone":
            place.rename(tmp_path / "elsewhere")
        elif trouble == "a directory":
            log.mkdir()
        os.kill(pid, signal.SIGHUP)
        if trouble != "full":
            # Or the line goes into the file that was moved, and none is lost.
            until(lambda: "log.1" not in opened(pid), "the file that was moved is let go")
        agent.send("nonsense")
        agent.come_online()
        until(lambda: "messages_dropped_total{" in measurements(fleet), "it is noticed")
        if trouble != "moved":
            until(lambda: lost(fleet) > 0, "a line is lost")
        if trouble == "full":
            resource.prlimit(
                pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            )
        elif trouble == "directory gone":
            (tmp_path / "elsewhere").rename(place)
        elif trouble == "a directory":
            log.rmdir()

        def said() -> bool:
            agent.send("nonsense again")
            return log.exists() and "dropped" in log.read_text()

        until(said, "the log goes on")
    assert fleet.pid("server") == pid
    assert fleet.end_server(signal.SIGTERM) == 0
    if trouble != "moved":
        assert "of the log could not be written" in log.read_text()


def opened(pid: int) -> set[str]:
    """Names of the files that a process has open."""
    names = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            names.add(descriptor.readlink().name)
    return names


def measurements(fleet: Sandbox) -> str:
    root = fleet.url.partition("/organizations/")[0]
    return requests.get(f"{root}/metrics", timeout=10).text


def lost(fleet: Sandbox) -> float:
    found = re.search(r"^pushcli_log_lines_lost_total (\S+)$", measurements(fleet), re.M)
    assert found is not None
    return float(found[1])


def serves(fleet: Sandbox) -> bool:
    try:
        return Raw(fleet)().status == 200
    except ConnectionRefusedError:
        return False


@pytest.mark.parametrize("stderr", ["closed", "without a reader"])
def test_standard_error_may_be_gone(make: Callable[..., Sandbox], stderr: str) -> None:
    fleet = make()
    assert fleet.end_server() == 0
    reading, writing = os.pipe()
    command = fleet.command("server", "start", "--dir", str(fleet.server_directory))
    if stderr == "closed":
        command = ["/bin/sh", "-c", 'exec "$@" 2>&- >&-', "sh", *command]
    else:
        os.close(reading)
    with subprocess.Popen(command, env=fleet.environment, stderr=writing) as process:
        os.close(writing)
        try:
            until(lambda: serves(fleet), "it serves")
            for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGHUP):
                process.send_signal(number)
            assert Raw(fleet)().status == 200
        finally:
            process.send_signal(signal.SIGTERM)
        # The last two: what was left for a standard error that is gone could not be written.
        assert process.wait(60) in {0, 120, 141}, sys.executable
    if stderr == "closed":
        os.close(reading)
