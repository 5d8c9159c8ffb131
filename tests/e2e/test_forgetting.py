"""`pushcli server forget-identities`: what was revoked on the Chef Infra Server ends at once."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli_server.chef.forgetting import LOOK_INTERVAL
from tests.support.beside_chef import SUPERUSER_KEY, BesideChef, Tenant, beside_chef
from tests.support.chef_server import ChefServer, chef_server
from tests.support.fleet import Fleet
from tests.support.identities import KEYS, operator
from tests.support.json_shapes import faults, shapes_of

pytestmark = [pytest.mark.timeout(90), pytest.mark.slow]
PAGE = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BesideChef]:
    """Whose server the tests share that neither end nor start it."""
    with beside_chef(tmp_path_factory.mktemp("host"), chef_cache=300) as host:
        yield host


@pytest.fixture
def fleet(tmp_path: Path, host: BesideChef) -> Iterator[BesideChef]:
    with Tenant(tmp_path, host) as fleet:
        yield fleet


@pytest.fixture
def chef(fleet: BesideChef) -> ChefServer:
    return fleet.chef


@pytest.fixture
def own(tmp_path: Path) -> Iterator[BesideChef]:
    """With a server of the test's own, which does not run yet."""
    with chef_server(SUPERUSER_KEY.public_key()) as chef:
        fleet = BesideChef(tmp_path, chef, SUPERUSER_KEY, chef_cache=300)
        fleet.make_server()
        yield fleet
        fleet.stop()


@pytest.fixture
def log(fleet: BesideChef) -> Callable[[], str]:
    """What the server has written since the test began."""
    file = fleet.log("server")
    before = len(file.read_text())
    return lambda: file.read_text()[before:]


def forget(fleet: Fleet | BesideChef, *more: str, kept: int = 0) -> tuple[int, str, str]:
    directory = str(fleet.server_directory)
    done = fleet.cli("server", "forget-identities", "--dir", directory, *more)
    # Nothing of it is left there.
    assert len([*fleet.server_directory.glob("forget*")]) == kept
    return done.returncode, done.stdout, done.stderr


def test_a_key_that_was_revoked_counts_no_more_once_all_is_forgotten(
    fleet: BesideChef, chef: ChefServer, log: Callable[[], str]
) -> None:
    bob, carol = fleet.user("bob", KEYS[0]), fleet.user("carol", KEYS[1])
    chef.groups[fleet.org, "pushy_job_readers"] = {"users": ["bob", "carol"]}
    assert [one("GET", "pushy/jobs").status for one in (bob, carol)] == [200, 200]
    chef.keys[fleet.org, "user", "bob"] = [keys.public_pem(KEYS[2])]
    chef.groups[fleet.org, "pushy_job_readers"] = {"users": ["bob"]}
    # Within chef_cache.
    assert [one("GET", "pushy/jobs").status for one in (bob, carol)] == [200, 200]
    code, out, err = forget(fleet)
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    assert [one("GET", "pushy/jobs").status for one in (bob, carol)] == [401, 403]
    assert bob.signing_with(KEYS[2])("GET", "pushy/jobs").status == 200
    assert "is forgotten" in log()


def test_what_is_forgotten_is_not_served_while_chef_is_away(
    fleet: BesideChef, chef: ChefServer
) -> None:
    assert operator(fleet)("GET", "pushy/jobs").status == 200
    chef.fault = "failing"
    assert operator(fleet)("GET", "pushy/jobs").status == 200
    code, out, _ = forget(fleet, "-F", "json")
    assert code == 0
    assert faults(json.loads(out), shapes_of(PAGE)["server forget-identities"][0]) == []
    assert operator(fleet)("GET", "pushy/jobs").status == 503


def test_where_nothing_is_remembered_it_says_so(own: BesideChef) -> None:
    code, _, err = forget(own)
    assert code == ExitStatus.UNREACHABLE
    assert "no server is running" in err
    assert err.count("\n") == 1


def test_a_server_with_identities_of_its_own_remembers_nothing(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, [])
    fleet.make_server()
    code, _, err = forget(fleet)
    fleet.stop()
    assert code == ExitStatus.CONFIG
    assert "has identities of its own" in err
    assert err.count("\n") == 1


def test_a_server_that_does_not_answer_is_not_taken_as_done(fleet: BesideChef) -> None:
    os.kill(fleet.pid("server"), signal.SIGSTOP)
    try:
        begun = time.monotonic()
        code, out, err = forget(fleet)
    finally:
        os.kill(fleet.pid("server"), signal.SIGCONT)
    assert (code, out) == (ExitStatus.UNREACHABLE, "")
    assert "did not forget within 10 s" in err
    assert time.monotonic() - begun < 40.0


def test_a_directory_of_another_user_is_one_clear_line(fleet: BesideChef) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    fleet.server_directory.chmod(0o500)
    try:
        code, _, err = forget(fleet)
    finally:
        fleet.server_directory.chmod(0o700)
    assert code == ExitStatus.CONFIG
    assert "cannot write in" in err


def test_what_a_killed_command_left_is_removed(own: BesideChef) -> None:
    left = own.server_directory / "forget-identities.left"
    left.touch()
    own.start_server()
    assert forget(own)[0] == 0
    assert not left.exists()


def test_what_asks_for_nothing_keeps_it_from_nothing(
    fleet: BesideChef, log: Callable[[], str]
) -> None:
    stray = fleet.server_directory / "forget-identities.old"
    stray.mkdir()
    time.sleep(LOOK_INTERVAL * 2)
    try:
        for _ in range(2):
            assert forget(fleet, kept=1)[0] == 0
    finally:
        stray.rmdir()
    assert log().count("is forgotten") == 2
    assert "failed" not in log()
