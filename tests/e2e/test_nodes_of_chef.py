"""Nodes of a Chef Infra Server behind one URL with ours: enrolled there, or there since long."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli import keys
from pushcli.exit_status import ExitStatus
from tests.support.beside_chef import BesideChef, Tenant, beside_chef
from tests.support.chef_server import ChefServer
from tests.support.identities import KEYS, operator
from tests.support.waiting import until

pytestmark = [pytest.mark.timeout(90), pytest.mark.slow]
VALIDATOR_KEY = KEYS[2]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BesideChef]:
    """Whose server the tests share."""
    with beside_chef(tmp_path_factory.mktemp("host"), chef_cache=1) as host:
        yield host


@pytest.fixture
def fleet(tmp_path: Path, host: BesideChef) -> Iterator[BesideChef]:
    with Tenant(tmp_path, host) as fleet:
        fleet.chef.push_jobs = fleet.url
        validator = f"{fleet.org}-validator"
        fleet.chef.validators = {validator}
        fleet.chef.keys[fleet.org, "client", validator] = [keys.public_pem(VALIDATOR_KEY)]
        yield fleet


@pytest.fixture
def chef(fleet: BesideChef) -> ChefServer:
    return fleet.chef


def behind_chef(fleet: BesideChef) -> str:
    """The URL that all of a Chef shop's programs have."""
    return f"{fleet.chef.url}/organizations/{fleet.org}"


def runs_a_job(fleet: BesideChef, node: str) -> None:
    fleet.start_agent(node)
    fleet.wait_available([node])
    done = fleet.cli("job", "start", "true", node)
    assert done.returncode == 0, done.stderr


def test_a_node_that_enrolls_there_runs_jobs_of_ours(fleet: BesideChef, chef: ChefServer) -> None:
    validator = fleet.directory / "validator.pem"
    keys.write_private_key(validator, VALIDATOR_KEY)
    place = fleet.agent_directory("web01")
    done = fleet.cli(
        "agent", "enroll", "--server", behind_chef(fleet), "--validator", str(validator),
        "--node-name", "web01", "--dir", str(place),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "The server named no editors" in done.stdout
    assert (fleet.org, "web01") in chef.nodes
    fleet.write_agent_settings("web01", {"true": "true"})
    runs_a_job(fleet, "web01")


def test_a_node_of_chefs_needs_no_enrolment(fleet: BesideChef, chef: ChefServer) -> None:
    etc = fleet.directory / "chef"
    etc.mkdir()
    key = keys.generate()
    keys.write_private_key(etc / "client.pem", key)
    chef.keys[fleet.org, "client", "old01"] = [keys.public_pem(key)]
    (etc / "client.rb").write_text(
        f"chef_server_url '{behind_chef(fleet)}'\nnode_name 'old01'\n"
        f"client_key '{etc}/client.pem'\nwhitelist({{'true' => 'true'}})\n"
    )
    before = {path.name: path.read_bytes() for path in etc.iterdir()}
    place = fleet.agent_directory("old01")
    bare = fleet.cli("agent", "start", "--dir", str(place))
    assert bare.returncode == ExitStatus.CONFIG
    assert bare.stderr.count("\n") == 1
    assert "`pushcli migrate agent`" in bare.stderr
    ruby = fleet.cli("agent", "start", "-c", str(etc / "client.rb"))
    assert ruby.returncode == ExitStatus.CONFIG
    assert ruby.stderr.count("\n") == 1
    assert f"`pushcli migrate agent {etc}/client.rb`" in ruby.stderr
    made = fleet.cli("-y", "migrate", "agent", str(etc / "client.rb"), "--dir", str(place))
    assert made.returncode == 0, made.stderr
    # The key stays where it is.
    assert sorted(path.name for path in place.iterdir()) == ["agent.toml"]
    runs_a_job(fleet, "old01")
    assert {path.name: path.read_bytes() for path in etc.iterdir()} == before


def test_a_key_that_others_may_read_is_one_line(fleet: BesideChef) -> None:
    fleet.enroll_node("n1")
    (fleet.agent_directory("n1") / "client.pem").chmod(0o640)
    done = fleet.cli("agent", "start", "--dir", str(fleet.agent_directory("n1")))
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert "chmod 600" in done.stderr


def test_an_agent_goes_with_its_client(fleet: BesideChef, chef: ChefServer) -> None:
    fleet.enroll(["n1", "n2"])
    for node in ("n1", "n2"):
        fleet.start_agent(node)
    fleet.wait_available(["n1", "n2"])
    held = chef.keys.pop((fleet.org, "client", "n1"))

    def states() -> dict[str, str]:
        asks = operator(fleet)
        return {name: asks.get(f"pushy/node_states/{name}")["status"] for name in ("n1", "n2")}

    until(lambda: states() == {"n1": "offline", "n2": "online"}, "it is gone", 40)
    # A client that is not there has no key that counts: that alone ends nothing.
    log = fleet.log("server").read_text()
    assert "its client was deleted on the Chef Infra Server" in log
    assert "is no longer valid" not in log
    # It is back with its client.
    chef.keys[fleet.org, "client", "n1"] = held
    until(lambda: states() == {"n1": "online", "n2": "online"}, "it is back", 40)
