"""Two servers, one after the other on one database: who knows the URLs of both goes on by himself.

The agent of n1 does; that of n2 knows the first alone.
"""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from pushcli.client.credentials import Values, add_profile
from pushcli.exit_status import ExitStatus
from pushcli_server import settings
from tests.e2e.conftest import FAST, WHITELIST
from tests.support.fleet import Fleet
from tests.support.json_shapes import faults, shapes_of
from tests.support.postgresql import throw_away_database
from tests.support.second_server import begins, joined, own_end
from tests.support.tcp_way import TcpWay, tcp_way
from tests.support.waiting import job_is, lines, patient, start, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
LEASE = 2
SHAPES = shapes_of((Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8"))


@pytest.fixture
def url() -> Iterator[str]:
    """Of the database of both."""
    with throw_away_database() as url:
        yield url


@pytest.fixture
def way(url: str) -> Iterator[TcpWay]:
    """Of the first server to it."""
    there = make_url(url)
    with tcp_way(there.host or "", there.port or 5432) as way:
        yield way


@pytest.fixture
def first(tmp_path: Path, url: str, way: TcpWay) -> Iterator[Fleet]:
    by_way = make_url(url).set(host="127.0.0.1", port=way.port)
    more = {"database_url": by_way.render_as_string(hide_password=False), "lease": LEASE}
    nodes = ["n1", "n2"]
    with Fleet(tmp_path / "first", nodes, whitelist=WHITELIST, settings={**FAST, **more}) as it:
        yield it


@pytest.fixture
def second(first: Fleet, tmp_path: Path, url: str) -> Iterator[Fleet]:
    """Ready to be started, with a way of its own to the database; n1 knows where it will be."""
    with joined(first, tmp_path / "second", f"database_url={url}") as second:
        file = first.agent_directory("n1") / "agent.toml"
        one, both = f'"{first.url}"', json.dumps([first.url, second.url])
        assert one in file.read_text()
        file.write_text(file.read_text().replace(one, both))
        first.end_agent("n1")
        first.wait_available(["n1"], available=False)
        first.start_agent("n1")
        first.wait_available(["n1", "n2"])
        yield second


def test_agents_find_the_one_that_works_deliver_there_and_come_back(
    first: Fleet, second: Fleet, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    large = start(first, "big", "n1", capture_output=True)
    job_is(first, large, "complete")
    job = start(first, "slow-mark", "n1", env={"MARKS": str(marks)})
    until(lambda: lines(marks), "the command runs")
    first.end_server(signal.SIGKILL)
    second.start_server()
    assert second.api.job_output(large, "n1", "stdout") == b"x" * 300_000 + b"\xff\xfe"
    job_is(second, job, "complete")
    assert second.api.job(job)["nodes"] == {"succeeded": ["n1"]}
    assert lines(marks) == ["run", "end"]
    [away] = [one for one in second.api.node_states() if one["node_name"] == "n2"]
    assert away["availability"] == "unavailable"

    second.end_server()
    first.start_server()
    first.wait_available(["n1", "n2"])
    job_is(first, start(first, "true", "n1", "n2"), "complete")


def test_agents_leave_a_server_that_is_cut_off_from_its_database(
    first: Fleet, second: Fleet, way: TcpWay, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    job = start(first, "slow-mark", "n1", env={"MARKS": str(marks)})
    until(lambda: lines(marks), "the command runs")
    way.close()
    until(lambda: begins(second), "the second takes over")
    # The first still answers whoever asks it, and says that.
    second.wait_available(["n1"], patience=patient(30))
    job_is(second, job, "complete")
    assert second.api.job(job)["nodes"] == {"succeeded": ["n1"]}
    assert lines(marks) == ["run", "end"]
    way.open()
    assert own_end(first) == ExitStatus.ERROR
    job_is(second, start(second, "true", "n1"), "complete")


def test_who_follows_a_job_sees_its_end_on_the_other(
    first: Fleet, second: Fleet, tmp_path: Path
) -> None:
    profile = first.profile
    values: Values = {
        "client_name": profile.client_name,
        "client_key": profile.client_key,
        "chef_server_url": [first.url, second.url],
    }
    assert add_profile(tmp_path / "credentials", "both", values)
    marks = tmp_path / "marks"
    command = ["job", "start", "--capture", "slow-mark", "n1"]
    command += ["--with-env", json.dumps({"MARKS": str(marks)})]
    command += ["--config", str(tmp_path / "credentials"), "--profile", "both"]
    with subprocess.Popen(
        first.command(*command), env=first.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        until(lambda: lines(marks), "the command runs")
        first.end_server(signal.SIGKILL)
        second.start_server()
        stdout, stderr = process.communicate(timeout=patient(30))
    assert process.returncode == ExitStatus.OK, stderr
    assert "whole" in stdout
    assert lines(marks) == ["run", "end"]


def test_which_of_them_works_can_be_seen_on_either(first: Fleet, second: Fleet) -> None:
    name = socket.gethostname()
    for server in (first, second):
        url = settings.load(server.server_directory).database_url
        until(partial(shows, server, f"{name} works with {url} since"), "it works")
    os.kill(first.pid("server"), signal.SIGSTOP)
    until(lambda: "silent for" in listed(second), "its lease is over")
    [one] = json.loads(listed(second, "-F", "json"))
    assert not faults([one], SHAPES["server list"][0])
    assert (one["host"], one["state"]) == (name, "silent")
    assert one["silent_for"] >= LEASE
    os.kill(first.pid("server"), signal.SIGCONT)
    until(lambda: lines_of(second)[0].startswith(f"{name} works"), "it is there again")
    first.end_server(signal.SIGKILL)
    [one] = json.loads(listed(second, "-F", "json"))
    assert (one["state"], one["silent_for"]) == ("ended", None)
    assert listed(second).startswith(f"nobody works with {url}: {name} did since ")


def listed(server: Fleet, *more: str) -> str:
    done = server.cli("server", "list", "--dir", str(server.server_directory), *more)
    assert done.returncode == ExitStatus.OK, done.stderr
    return done.stdout


def shows(server: Fleet, line: str) -> bool:
    return lines_of(server) == [line]


def lines_of(server: Fleet) -> list[str]:
    """Without the date."""
    return [line.rpartition(" ")[0] for line in listed(server).splitlines()]
