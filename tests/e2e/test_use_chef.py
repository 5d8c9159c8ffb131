"""`pushcli server use-chef` and `use-own`: whose users, clients and groups count."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import zmq

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import ADMIN, ORG
from pushcli_server import settings
from pushcli_server.store import database
from tests.support import key_files
from tests.support.beside_chef import BesideChef
from tests.support.chef_server import ChefServer, chef_server
from tests.support.fleet import Fleet
from tests.support.identities import KEYS, Signer, new_user, operator
from tests.support.json_shapes import faults, shapes_of
from tests.support.waiting import until

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]
SUPERUSER_KEY = KEYS[3]
JOB = {"command": "true", "nodes": ["n1"]}
WRITERS = "pushy_job_writers"
SHAPES = shapes_of((Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8"))


@pytest.fixture
def chef() -> Iterator[ChefServer]:
    with chef_server(SUPERUSER_KEY.public_key()) as chef:
        yield chef


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    keys.write_private_key(tmp_path / "pivotal.pem", SUPERUSER_KEY)
    with Fleet(tmp_path, ["n1"], whitelist={"true": "true", "new": "echo new"}) as fleet:
        yield fleet


def public(path: Path) -> str:
    return keys.public_pem(key_files.read(path))


def is_like_here(chef: ChefServer, fleet: Fleet) -> None:
    """Have the operator and the node there, as they are here."""
    chef.keys[ORG, "user", ADMIN] = [public(Path(fleet.profile.client_key))]
    chef.keys[ORG, "client", "n1"] = [public(fleet.agent_directory("n1") / "client.pem")]
    validator = f"{ORG}-validator"
    chef.keys[ORG, "client", validator] = [
        public(fleet.server_directory / "keys" / f"{validator}.pem")
    ]
    for group in (WRITERS, "admins", "pushy_job_readers"):
        chef.groups[ORG, group] = {"users": [ADMIN]}


def use(fleet: Fleet, chef: ChefServer, *more: str) -> tuple[int, str, str]:
    settings_given = (f"chef_server_url={chef.url}", f"chef_key={fleet.directory / 'pivotal.pem'}")
    sets = [f"--set={one}" for one in settings_given]
    directory = str(fleet.server_directory)
    done = fleet.cli("server", "use-chef", "--dir", directory, *sets, *more)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def use_own(fleet: Fleet, *more: str) -> tuple[int, str, str]:
    done = fleet.cli("server", "use-own", "--dir", str(fleet.server_directory), *more)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def report(printed: str, command: str = "server use-chef") -> Any:
    said = json.loads(printed)
    assert faults(said, SHAPES[command][0]) == []
    return said


def toml(fleet: Fleet) -> str:
    return (fleet.server_directory / settings.FILE).read_text()


def test_jobs_nodes_and_settings_stay_there_and_back(fleet: Fleet, chef: ChefServer) -> None:
    is_like_here(chef, fleet)
    first = fleet.api.start_job(JOB)
    until(lambda: fleet.api.job(first)["status"] == "complete", "it is done")
    with (fleet.server_directory / settings.FILE).open("a") as file:
        file.write("# mine\n")
    before = toml(fleet)
    fleet.end_server()
    code, out, err = use(fleet, chef, "-y")
    assert (code, err) == (0, "")
    assert "everybody is there, with the same keys and in the same groups" in out
    changed = toml(fleet)
    assert {line for line in before.splitlines() if "identity =" not in line} - {
        *changed.splitlines()
    } == {line for line in before.splitlines() if line.startswith(("# chef_server_", "# chef_key"))}
    assert "\n# mine\n" in changed
    assert (fleet.server_directory / settings.FILE).stat().st_mode & 0o777 == 0o600
    fleet.start_server()
    # The agent goes on without a new start; what was done is there.
    fleet.wait_available(["n1"])
    assert fleet.api.job(first)["status"] == "complete"
    second = fleet.api.start_job(JOB)
    until(lambda: fleet.api.job(second)["status"] == "complete", "it is done")
    assert chef.asked[f"/organizations/{ORG}/principals/{ADMIN}"] > 0
    told = fleet.cli("audit")
    assert f"use chef {chef.url}" in " ".join(told.stdout.split()), told
    # Of that one its own users do not count.
    del chef.keys[ORG, "user", ADMIN]
    assert (
        fleet.cli("server", "forget-identities", "--dir", str(fleet.server_directory)).returncode
        == 0
    )
    assert operator(fleet)("GET", "pushy/jobs").status == 401
    fleet.end_server()
    code, _, err = use_own(fleet, "-y")
    assert (code, err) == (0, "")
    assert f'# chef_server_url = "{chef.url}"' in toml(fleet)
    assert "\n# mine\n" in toml(fleet)
    fleet.start_server()
    fleet.wait_available(["n1"])
    third = fleet.api.start_job(JOB)
    until(lambda: fleet.api.job(third)["status"] == "complete", "it is done")
    assert {fleet.api.job(job)["status"] for job in (first, second)} == {"complete"}


def test_who_is_missing_or_has_other_keys_is_shown(fleet: Fleet, chef: ChefServer) -> None:
    is_like_here(chef, fleet)
    bob, carol = new_user(fleet, KEYS[0]), new_user(fleet, KEYS[1])
    ann = operator(fleet)
    ann.post(f"groups/{WRITERS}/members", {"users": [bob.name, carol.name]})
    chef.keys[ORG, "user", carol.name] = [keys.public_pem(KEYS[2])]
    # Elsewhere on that server, but not of the organization; and another kind.
    chef.keys["", "user", bob.name] = chef.keys[ORG, "client", bob.name] = [
        keys.public_pem(KEYS[0])
    ]
    before, asked_before = toml(fleet), chef.asked.total()
    code, out, err = use(fleet, chef, "--dry-run", "-F", "json")
    assert (code, err) == (0, "")
    [sandbox] = report(out)["organizations"]
    assert sandbox["exists"] is True
    assert sandbox["missing"] == [{"kind": "user", "name": bob.name}]
    assert sandbox["other_keys"] == [
        {"kind": "user", "name": carol.name, "here": [keys.fingerprint(KEYS[1])],
         "there": [keys.fingerprint(KEYS[2])]}
    ]  # fmt: skip
    assert sandbox["outside"] == [{"group": WRITERS, "kind": "user", "name": carol.name}]
    assert [one["name"] for one in sandbox["kept"]] == [ADMIN]
    assert {one["name"] for one in sandbox["lost"]} == {bob.name, carol.name}
    _, out, _ = use(fleet, chef, "--dry-run")
    for words in (
        f"missing: user {bob.name}", f"other keys: user {carol.name}",
        f"only here: {keys.fingerprint(KEYS[1])}", f"only there: {keys.fingerprint(KEYS[2])}",
        f"not in {WRITERS} there: user {carol.name}",
        f"may still start jobs or administrate: user {ADMIN}", "may no longer start jobs",
    ):  # fmt: skip
        assert words in out
    assert chef.asked.total() > asked_before
    # The server ran, and nothing was changed.
    assert toml(fleet) == before
    assert operator(fleet)("GET", "pushy/jobs").status == 200


def test_where_nobody_would_be_left_it_takes_force(fleet: Fleet, chef: ChefServer) -> None:
    is_like_here(chef, fleet)
    for group in (WRITERS, "admins"):
        chef.groups[ORG, group] = {"users": ["stranger"], "clients": [ADMIN]}
    fleet.end_server()
    before = toml(fleet)
    code, _, err = use(fleet, chef, "-y")
    assert code == ExitStatus.CONFIG
    assert f"nobody would be left who may start jobs or administrate: user {ADMIN} in {ORG}" in err
    assert err.count("\n") == 1
    assert toml(fleet) == before
    code, _, err = use(fleet, chef, "--dry-run")
    assert (code, "nobody would be left" in err) == (0, True)
    assert use(fleet, chef, "-y", "--force")[0] == 0
    fleet.start_server()
    assert operator(fleet)("POST", "pushy/jobs", JOB).status == 403


def test_an_organization_that_is_not_there(fleet: Fleet, chef: ChefServer) -> None:
    is_like_here(chef, fleet)
    chef.organizations = {"other"}
    code, out, _ = use(fleet, chef, "--dry-run", "-F", "json")
    assert code == 0
    [sandbox] = report(out)["organizations"]
    assert sandbox["exists"] is False
    assert {one["name"] for one in sandbox["missing"]} == {ADMIN, "n1", f"{ORG}-validator"}
    assert "there is no such organization" in use(fleet, chef, "--dry-run")[1]


def test_beside_a_running_server_nothing_is_changed(fleet: Fleet, chef: ChefServer) -> None:
    is_like_here(chef, fleet)
    before = toml(fleet)
    for code, _, err in (use(fleet, chef, "-y"), use_own(fleet, "-y")):
        assert code == ExitStatus.ERROR
        assert "the server is running" in err
        assert err.count("\n") == 1
    assert toml(fleet) == before


def test_while_it_is_written_no_server_starts(fleet: Fleet, chef: ChefServer) -> None:
    is_like_here(chef, fleet)
    fleet.end_server()
    config = settings.load(fleet.server_directory)
    engine = database.make_engine(config.database(fleet.server_directory))
    with engine.connect() as connection, ThreadPoolExecutor(1) as beside:
        is_postgresql = engine.dialect.name == "postgresql"
        connection.exec_driver_sql(
            "LOCK TABLE chef_allowed IN SHARE MODE"
            if is_postgresql
            else "DELETE FROM chef_allowed WHERE url = ''"
        )
        changing = beside.submit(use, fleet, chef, "-y")
        until(lambda: is_taken(config.api_port), "it is alone")
        for _ in range(10):
            time.sleep(0.1)
            assert is_taken(config.api_port)
        assert not changing.done()
        connection.rollback()
        assert changing.result()[0] == 0
    engine.dispose()
    assert not is_taken(config.api_port)


def is_taken(port: int) -> bool:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def test_without_a_yes_nothing_is_changed(fleet: Fleet, chef: ChefServer) -> None:
    is_like_here(chef, fleet)
    fleet.end_server()
    before = toml(fleet)
    code, _, err = use(fleet, chef)
    assert (code, "pass -y" in err) == (ExitStatus.USAGE, True)
    assert toml(fleet) == before
    fleet.start_server()
    assert operator(fleet)("GET", "pushy/jobs").status == 200


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        ("failing", ExitStatus.UNREACHABLE, "cannot be asked"),
        ("garbage", ExitStatus.CONFIG, "cannot be used"),
        ("redirect", ExitStatus.CONFIG, "cannot be used"),
    ],
)
def test_while_chef_does_not_answer_nothing_is_changed(
    fleet: Fleet, chef: ChefServer, fault: str, status: ExitStatus, words: str
) -> None:
    is_like_here(chef, fleet)
    chef.fault = fault
    fleet.end_server()
    before = toml(fleet)
    code, out, err = use(fleet, chef, "-y")
    assert (code, out) == (status, "")
    assert words in err
    assert err.count("\n") == 1
    assert toml(fleet) == before
    fleet.start_server()


def test_what_was_done_is_done_and_what_was_interrupted_goes_on(
    fleet: Fleet, chef: ChefServer
) -> None:
    is_like_here(chef, fleet)
    fleet.end_server()
    own = toml(fleet)
    assert use(fleet, chef, "-y")[0] == 0
    changed = toml(fleet)
    code, out, _ = use(fleet, chef, "-F", "json")
    assert code == 0
    assert (report(out)["changed"], report(out)["organizations"]) == (False, [])
    assert "nothing was changed" in use(fleet, chef)[1]
    assert toml(fleet) == changed
    # Killed before the settings were there: by its own it starts.
    file = fleet.server_directory / settings.FILE
    file.write_text(own)
    (fleet.server_directory / ".server.toml.new").write_text("half")
    fleet.start_server()
    fleet.end_server()
    assert use(fleet, chef, "-y")[0] == 0
    assert toml(fleet) == changed
    assert not (fleet.server_directory / ".server.toml.new").exists()
    # The way back, killed after the settings.
    code, out, _ = use_own(fleet, "-y", "-F", "json")
    assert (code, report(out, "server use-own")["changed"]) == (0, True)
    back = toml(fleet)
    assert use(fleet, chef, "-y")[0] == 0
    file.write_text(back)
    assert report(use_own(fleet, "-y", "-F", "json")[1], "server use-own")["changed"] is True
    assert report(use_own(fleet, "-F", "json")[1], "server use-own")["changed"] is False
    # Whoever writes it there himself has not been shown who is missing.
    file.write_text(changed)
    ran = fleet.cli("server", "start", "--dir", str(fleet.server_directory))
    assert ran.returncode == ExitStatus.CONFIG
    assert "use-chef --dry-run" in ran.stderr
    # Shown, it is allowed as it is written there.
    done = fleet.cli("server", "use-chef", "--dir", str(fleet.server_directory), "-y")
    assert done.returncode == 0
    assert toml(fleet) == changed
    fleet.start_server()
    assert operator(fleet)("GET", "pushy/jobs").status == 200


def test_nodes_that_came_meanwhile_are_named_on_the_way_back(
    fleet: Fleet, chef: ChefServer
) -> None:
    is_like_here(chef, fleet)
    fleet.end_server()
    assert use(fleet, chef, "-y")[0] == 0
    fleet.start_server()
    chef.keys[ORG, "client", "n2"] = [keys.public_pem(KEYS[0])]
    n2 = Signer(fleet, "n2", KEYS[0])
    public_key, _ = zmq.curve_keypair()
    got = n2("GET", "pushy/config/n2", query="?" + urlencode({"ccpk": public_key.decode()}))
    assert got.status == 200, got
    fleet.end_server()
    code, out, _ = use_own(fleet, "-y")
    assert code == 0
    assert f"{ORG}/n2" in out
    assert f"{ORG}/n1" not in out


def test_a_server_made_beside_chef_has_nowhere_to_go_back(tmp_path: Path, chef: ChefServer) -> None:
    with BesideChef(tmp_path, chef, SUPERUSER_KEY) as fleet:
        fleet.end_server()
        done = fleet.cli("server", "use-own", "--dir", str(fleet.server_directory), "-y")
    assert done.returncode == ExitStatus.CONFIG
    assert "has no users of its own" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("value", ["api_port=5", "chef_urk=x", "chef_key="])
def test_only_what_is_about_chef_is_set(fleet: Fleet, value: str) -> None:
    directory = str(fleet.server_directory)
    done = fleet.cli("server", "use-chef", "--dir", directory, "--dry-run", f"--set={value}")
    assert done.returncode == ExitStatus.CONFIG
    assert done.stderr.count("\n") == 1
