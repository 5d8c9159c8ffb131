"""A profile with several URLs, as operators meet it: the first is gone, or goes while they look."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli.client.credentials import Values, add_profile, profiles
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from tests.support.tcp_way import TcpWay, tcp_way
from tests.support.waiting import patient, until

pytestmark = pytest.mark.timeout(60)
"""The first test starts the fleet."""


@pytest.fixture
def way(fleet: Sandbox) -> Iterator[TcpWay]:
    """To the server, by another address."""
    with tcp_way("127.0.0.1", fleet.ports[0]) as way:
        yield way


@pytest.fixture
def several(fleet: Sandbox, way: TcpWay, tmp_path: Path) -> list[str]:
    """Options: the profile whose first URL is `way`, and whose second is the server's own."""
    profile = fleet.profile
    values: Values = {
        "client_name": profile.client_name,
        "client_key": profile.client_key,
        "chef_server_url": [fleet.url.replace(str(fleet.ports[0]), str(way.port)), fleet.url],
    }
    assert add_profile(tmp_path / "credentials", "several", values)
    return ["--config", str(tmp_path / "credentials"), "--profile", "several"]


def test_while_the_first_answers_nothing_is_said_of_the_others(
    fleet: Sandbox, several: list[str]
) -> None:
    done = fleet.cli("node", "status", *several)
    assert (done.returncode, done.stderr) == (ExitStatus.OK, "")


def test_where_the_first_is_gone_the_answer_is_the_same_and_it_is_said_once(
    fleet: Sandbox, several: list[str], way: TcpWay
) -> None:
    way.close()
    done = fleet.cli("job", "start", "true", "n1", "n2", *several)
    assert done.returncode == ExitStatus.OK, done.stderr
    said = [line for line in done.stderr.splitlines() if "cannot reach" in line]
    assert len(said) == 1
    assert said[0].endswith(f": connection refused; {fleet.url} was asked")


def test_where_the_answer_is_an_error_it_is_said_too(
    fleet: Sandbox, several: list[str], way: TcpWay
) -> None:
    way.close()
    done = fleet.cli("node", "show", "nosuch", *several)
    assert done.returncode == ExitStatus.NOT_FOUND
    [said, error] = done.stderr.splitlines()
    assert said.endswith(f"; {fleet.url} was asked")
    assert error.startswith("pushcli: error: ")


def test_a_job_is_followed_to_its_end_though_the_first_goes_meanwhile(
    fleet: Sandbox, several: list[str], way: TcpWay, tmp_path: Path
) -> None:
    marks = tmp_path / "marks"
    env = json.dumps({"MARKS": str(marks)})
    command = ["job", "start", "--capture", "slow-mark", "n1", "--with-env", env]
    with subprocess.Popen(
        fleet.command(*command, *several), env=fleet.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        until(marks.exists, "the command runs")
        way.close()
        stdout, stderr = process.communicate(timeout=patient(30))
    assert process.returncode == ExitStatus.OK, stderr
    assert "whole" in stdout
    assert marks.read_text() == "run\nend\n"


def test_whoever_is_given_a_profile_has_all_urls(
    fleet: Sandbox, several: list[str], way: TcpWay, tmp_path: Path
) -> None:
    key = str(fleet.superuser_key)
    more = ["--print-profile", "-u", "pivotal", "-k", key, *several]
    made = fleet.cli("user", "create", "bob", *more)
    assert made.returncode == ExitStatus.OK, made.stderr
    fleet.cli("group", "add", "pushy_job_readers", "--user", "bob")
    way.close()
    theirs = tmp_path / "theirs"
    added = subprocess.run(
        fleet.command("config", "add-profile", "bob", "--config", str(theirs)),
        env=fleet.environment, input=made.stdout, capture_output=True, text=True,
        timeout=patient(15), check=False,
    )  # fmt: skip
    assert added.returncode == ExitStatus.OK, added.stderr
    assert len(profiles(theirs)["bob"]["chef_server_url"]) == 2
    asked = fleet.cli("node", "status", "--config", str(theirs), "--profile", "bob")
    assert asked.returncode == ExitStatus.OK, asked.stderr


def test_the_command_for_their_machine_says_what_it_leaves_out(
    fleet: Sandbox, several: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "ci.pem"
    made = fleet.cli("client", "create", "ci", "--key-file", str(file), *several)
    assert made.returncode == ExitStatus.OK, made.stderr
    assert "Its other URLs go with --print-profile only" in made.stderr
