"""Hundreds of simulated nodes on the real wire: few lines and few requests tell what they did.

`make bench-fleet N=2000` measures the same on as many nodes.
"""

import re
import zlib
from collections.abc import Iterator

import pytest

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import ORG, Sandbox
from tests.support.fleet import Fleet
from tests.support.simulated import Plan, simulating
from tests.support.writers import register

pytestmark = [pytest.mark.timeout(180), pytest.mark.slow]

THERE = [f"web{number:03}" for number in range(300)]
REFUSING = [f"db{number:02}" for number in range(20)]
DOWN = [f"old{number}" for number in range(11)]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A server with nodes that run what they are told, some that refuse it, and some away."""
    directory = tmp_path_factory.mktemp("fleet")
    key, key_file = keys.generate(), directory / "nodes.pem"
    keys.write_private_key(key_file, key)
    fleet = Fleet(directory, [], settings={"voting_timeout": 60})
    try:
        fleet.make_server()
        names = [*THERE, *REFUSING, *DOWN]
        register(fleet.server_directory, ORG, names, keys.public_pem(key))
        fleet.start_server()
        plan = Plan(
            nodes=[*THERE, *REFUSING], refusing=REFUSING, interval=1.0, key_file=str(key_file),
            url=fleet.url.partition("/organizations")[0], extensions="reason",
        )  # fmt: skip
        with simulating(plan):
            fleet.wait_available([*THERE, *REFUSING])
            yield fleet
    finally:
        fleet.stop()


def test_three_outputs_of_many_nodes_take_few_requests_and_few_lines(fleet: Sandbox) -> None:
    done = fleet.cli("job", "start", "--capture", "three outputs", "web*", "-VV")
    assert done.returncode == ExitStatus.NODE_FAILED, done.stderr
    failed = sum(zlib.crc32(name.encode()) % 100 < 2 for name in THERE)
    assert failed > 0
    lines = done.stdout.splitlines()
    assert len(lines) < 40
    assert f"Complete with failures.  {len(THERE) - failed} succeeded, {failed} failed" in lines
    assert "  no space left" in lines
    requests = re.findall("^> ([A-Z]+ .*)", done.stderr, re.M)
    assert requests, done.stderr[:1000]
    fetched = [line for line in requests if "/output/" in line]
    assert len(fetched) == 3
    assert len(requests) < 15, requests


def test_a_failed_vote_names_those_who_are_missing_alone(fleet: Sandbox) -> None:
    done = fleet.cli("job", "start", "true", "-a", "-y")
    assert done.returncode == ExitStatus.QUORUM_FAILED, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) < 15
    assert "Quorum failed: 331 needed, 300 ready. Nothing was run." in lines
    told = "\n".join(lines)
    assert "20 nacked: db[00-19] (not on the whitelist)" in told
    assert "11 unavailable: old[0-10]" in told
    assert "web" not in told
