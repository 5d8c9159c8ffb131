"""`pushcli server use-chef` and `use-own`: whose users, clients and groups count."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
import zmq

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import ADMIN, ORG
from pushcli.whitelist import statements
from pushcli.whitelist.statements import Change
from pushcli_server import settings
from pushcli_server.chef.forgetting import have_forgotten
from pushcli_server.store import Store, database, operations
from tests.support import certificates, key_files
from tests.support.beside_chef import BesideChef
from tests.support.chef_server import ChefServer, chef_server
from tests.support.fleet import Fleet
from tests.support.identities import KEYS, Signer, new_user, operator, superuser
from tests.support.json_shapes import faults, shapes_of
from tests.support.stored import url_of
from tests.support.waiting import job_is, patient, until

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]
SUPERUSER_KEY = KEYS[3]
JOB = {"command": "true", "nodes": ["n1"]}
WRITERS = "pushy_job_writers"
SHAPES = shapes_of((Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8"))


@pytest.fixture
def chef() -> Iterator[ChefServer]:
    with chef_server(SUPERUSER_KEY.public_key()) as chef:
        yield chef


WHITELIST = {"true": "true", "new": "echo new"}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """With an agent."""
    keys.write_private_key(tmp_path / "pivotal.pem", SUPERUSER_KEY)
    with Fleet(tmp_path, ["n1"], whitelist=WHITELIST) as fleet:
        yield fleet


@pytest.fixture
def still(tmp_path: Path) -> Iterator[Fleet]:
    """Neither its server nor its agent runs."""
    fleet = made(tmp_path)
    yield fleet
    fleet.stop()


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Its server runs, and the tests that share it leave it as it is."""
    fleet = made(tmp_path_factory.mktemp("unchanged"))
    fleet.start_server()
    before = toml(fleet)
    yield fleet
    assert toml(fleet) == before
    fleet.stop()


def made(directory: Path) -> Fleet:
    """One with a node whose agent does not run, and a server that did not yet."""
    keys.write_private_key(directory / "pivotal.pem", SUPERUSER_KEY)
    fleet = Fleet(directory, [])
    fleet.make_server()
    place = fleet.agent_directory("n1")
    place.mkdir(parents=True)
    key = key_files.another()
    keys.write_private_key(place / "client.pem", key)
    store = Store.open(url_of(fleet), fleet.server_directory / "blobs")
    asyncio.run(enrolled(store, keys.public_pem(key)))
    return fleet


async def enrolled(store: Store, public_key: str) -> None:
    """As a node's agent is."""
    store.start(asyncio.get_running_loop(), lambda _: None)
    await store.write(
        operations.CreateClient(org=ORG, name="n1", public_key=public_key, enrolls=True)
    )
    await store.close()


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
    have_forgotten(fleet.server_directory)
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
    told = fleet.cli("audit")
    assert f"use own {chef.url}" in " ".join(told.stdout.split()), told


NODES = f"/organizations/{ORG}/nodes"
AUTOMATIC = {"platform": "debian", "exact": 12345678901234567890123}


def in_force(fleet: Fleet, node: str) -> dict[str, Any]:
    """What the agent reported of the server's entries, by name: the signer."""
    reported = operator(fleet)("GET", f"pushy/whitelist/{node}").json.get("in_force")
    return {
        one["name"]: one.get("signer")
        for one in (reported or {"entries": []})["entries"]
        if one["source"] == "server"
    }


def through_chef(fleet: Fleet, chef: ChefServer, *arguments: str) -> str:
    """A command through the one URL that serves both sides."""
    chef.push_jobs = fleet.url.removesuffix(f"/organizations/{ORG}")
    url = f"{chef.url}/organizations/{ORG}"
    done = fleet.cli(*arguments, "--server-url", url)
    return f"{int(done.returncode)} {done.stdout}{done.stderr}"


def edit(fleet: Fleet, name: str, command: str | None, node: str) -> None:
    """Give a node an entry as `pushcli whitelist add` does; without a command, take it away."""
    signed = statements.sign(
        key_files.read(Path(fleet.profile.client_key)), org=ORG, nodes=[node],
        changes=[Change(name, command)], version=statements.next_version(time.time()),
        signer=ADMIN,
    )  # fmt: skip
    said = {"removed": True} if command is None else {"value": command}
    body = {"nodes": [node], "changes": [{"name": name, **said}], **msgspec.to_builtins(signed)}
    fleet.api.post("pushy/whitelist", body)


def test_copied_whitelists_are_in_force_there_and_back(fleet: Fleet, chef: ChefServer) -> None:
    is_like_here(chef, fleet)
    for name in ("greet", "gone"):
        edit(fleet, name, f"echo {name}", "n1")
    edit(fleet, "gone", None, "n1")
    chef.edit(ORG, "n1", automatic=AUTOMATIC, normal={"tags": ["web"]})
    _, out, _ = use(fleet, chef, "--dry-run", "--copy-whitelists")
    assert "whitelist entries that are not there" in out
    assert "    n1: greet\n" in out
    assert "    n1: gone\n" in out
    assert chef.nodes[ORG, "n1"]["normal"] == {"tags": ["web"]}
    fleet.end_server()
    code, out, err = use(fleet, chef, "-y", "--copy-whitelists")
    assert (code, err) == (0, "")
    assert f"Put whitelist entries of {ORG} into n1\n" in out
    there = chef.nodes[ORG, "n1"]
    assert there["automatic"] == AUTOMATIC
    assert there["normal"]["tags"] == ["web"]
    assert there["normal"]["push_jobs"]["whitelist"] == {"greet": "echo greet"}
    assert {*there["normal"]["push_jobs"]["whitelist_signatures"]} == {"greet", "gone"}
    fleet.start_server()
    fleet.wait_available(["n1"])
    until(lambda: in_force(fleet, "n1") == {"greet": ADMIN}, "it is in force, and signed")
    assert through_chef(fleet, chef, "job", "start", "greet", "n1").startswith("0")
    shown = through_chef(fleet, chef, "whitelist", "show", "n1", "greet")
    assert shown.startswith("0")
    assert ADMIN in shown
    puts = chef.signers.count(("pivotal", "PUT", f"{NODES}/n1"))
    assert puts == 1
    # Again there is nothing to do, also while the server runs.
    code, out, _ = use(fleet, chef, "--copy-whitelists")
    assert (code, "nothing was changed" in out) == (0, True)
    assert chef.signers.count(("pivotal", "PUT", f"{NODES}/n1")) == puts
    fleet.end_server()
    assert use_own(fleet, "-y")[0] == 0
    fleet.start_server()
    fleet.wait_available(["n1"])
    until(lambda: in_force(fleet, "n1") == {"greet": ADMIN}, "it is still in force")
    last = fleet.api.start_job({"command": "greet", "nodes": ["n1"]})
    assert job_is(fleet, last, "complete")["nodes"] == {"succeeded": ["n1"]}


def test_without_copying_what_is_lost_is_said_and_asked(still: Fleet, chef: ChefServer) -> None:
    fleet = still
    is_like_here(chef, fleet)
    fleet.start_server()
    edit(fleet, "greet", "echo greet", "n1")
    edit(fleet, "other", "echo other", "n1")
    chef.edit(ORG, "n1", normal={"push_jobs": {"whitelist": {"other": "echo theirs"}}})
    fleet.end_server()
    before = toml(fleet)
    code, out, err = use(fleet, chef)
    assert (code, "pass -y" in err) == (ExitStatus.USAGE, True)
    assert "    n1: greet\n" in out
    assert "  whitelist entries that differ there, and stay so:\n    n1: other\n" in out
    assert toml(fleet) == before
    code, _, err = use(fleet, chef, "-y")
    assert code == 0
    assert err == "whitelist entries of 1 node are not in force there as they were here\n"
    fleet.start_server()
    # What was left is copied later; nothing of theirs is overwritten.
    code, out, err = use(fleet, chef, "-y", "--copy-whitelists", "-F", "json")
    assert (code, err) == (0, "")
    assert report(out)["changed"] is False
    [sandbox] = report(out)["whitelists"]
    assert sandbox == {
        "organization": ORG, "copied": ["n1"], "failed": [],
        "nodes": [
            {"node": "n1", "exists": True, "missing": [], "differs": ["other"], "removals": []}
        ],
    }  # fmt: skip
    entries = chef.nodes[ORG, "n1"]["normal"]["push_jobs"]["whitelist"]
    assert entries == {"greet": "echo greet", "other": "echo theirs"}


def test_a_node_that_cannot_be_written_stops_no_other(still: Fleet, chef: ChefServer) -> None:
    fleet = still
    is_like_here(chef, fleet)
    fleet.start_server()
    refusals = {
        "n2": (403, {"error": ["no"]}), "n3": (409, {"error": ["no"]}), "n4": (413, b"large"),
        "n5": (500, b"no"), "n6": (200, b"<html>"),
    }  # fmt: skip
    names = [f"n{number}" for number in range(1, 10)]
    whitelist = {"push_jobs": {"whitelist": {"greet": "echo greet"}}}
    for name in names:
        node = {"name": name, "normal": whitelist}
        assert operator(fleet)("POST", "nodes", node).status in {201, 409}
        chef.edit(ORG, name)
    edit(fleet, "greet", "echo greet", "n1")
    for name, (status, content) in refusals.items():
        chef.instead["PUT", f"{NODES}/{name}"] = (status, content)
    chef.instead["GET", f"{NODES}/n7"] = (500, b"no")
    chef.edit(ORG, "n8", normal=None)
    del chef.nodes[ORG, "n9"]
    fleet.end_server()
    code, out, err = use(fleet, chef, "-y", "--copy-whitelists")
    assert code == ExitStatus.NOT_IN_FORCE
    assert f"Put whitelist entries of {ORG} into n1\n" in out
    assert "    n9: greet\n" in out
    assert "    n7: it failed (500 for nodes/n7)\n" in out
    assert "    n8: its normal is not an object: see `knife node edit`\n" in out
    for refused, words in {
        "n2": "it refuses our requests (403", "n3": "it is being changed there (409)",
        "n4": "its node object is too large there (413)", "n5": "it failed (500",
        "n6": "it answers nodes/n6 with something",
    }.items():  # fmt: skip
        assert f"nothing was put into {refused}: {words}" in err
    assert err.count("\n") == len(refusals) + 1
    assert '"chef"' in toml(fleet)
    # Once they can be, they are.
    chef.instead.clear()
    chef.edit(ORG, "n8", normal={})
    code, out, err = use(fleet, chef, "-y", "--copy-whitelists")
    assert (code, err) == (0, "")
    assert f"Put whitelist entries of {ORG} into n[2-8]\n" in out
    for name in names[:8]:
        assert "greet" in chef.nodes[ORG, name]["normal"]["push_jobs"]["whitelist"]


def test_who_is_missing_or_has_other_keys_is_shown(unchanged: Fleet, chef: ChefServer) -> None:
    fleet = unchanged
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
    for name in (bob.name, carol.name):
        assert superuser(fleet)("DELETE", f"/users/{name}").status == 200
    # The others see nobody of these.
    assert ann.get(f"groups/{WRITERS}")["users"] == [ADMIN]


def test_where_nobody_would_be_left_it_takes_force(still: Fleet, chef: ChefServer) -> None:
    fleet = still
    is_like_here(chef, fleet)
    for group in (WRITERS, "admins"):
        chef.groups[ORG, group] = {"users": ["stranger"], "clients": [ADMIN]}
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


def test_an_organization_that_is_not_there(unchanged: Fleet, chef: ChefServer) -> None:
    fleet = unchanged
    is_like_here(chef, fleet)
    chef.organizations = {"other"}
    code, out, _ = use(fleet, chef, "--dry-run", "-F", "json")
    assert code == 0
    [sandbox] = report(out)["organizations"]
    assert sandbox["exists"] is False
    assert {one["name"] for one in sandbox["missing"]} == {ADMIN, "n1", f"{ORG}-validator"}
    assert "there is no such organization" in use(fleet, chef, "--dry-run")[1]


def test_a_wrong_key_is_refused_also_where_nobody_of_ours_is(
    unchanged: Fleet, chef: ChefServer
) -> None:
    chef.superuser_key = KEYS[0].public_key()
    code, _, err = use(unchanged, chef, "--dry-run")
    assert code == ExitStatus.CONFIG
    assert "the Chef Infra Server cannot be used" in err
    assert err.count("\n") == 1


def test_whoever_interrupts_its_questions_does_not_wait_for_the_answers(
    unchanged: Fleet, chef: ChefServer
) -> None:
    chef.delay = 4.5
    place = str(unchanged.server_directory)
    process = subprocess.Popen(
        [sys.executable, "-m", "pushcli", "server", "use-chef", "--dry-run", "--dir", place,
         f"--set=chef_server_url={chef.url}",
         f"--set=chef_key={unchanged.directory / 'pivotal.pem'}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until(lambda: chef.asked.total() > 0, "it asks")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=patient(2))
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, said) == (
        ExitStatus.INTERRUPTED, "INTERRUPTED: nothing was changed\n",
    )  # fmt: skip


def test_beside_a_running_server_nothing_is_changed(unchanged: Fleet, chef: ChefServer) -> None:
    fleet = unchanged
    is_like_here(chef, fleet)
    before = toml(fleet)
    for code, _, err in (use(fleet, chef, "-y"), use_own(fleet, "-y")):
        assert code == ExitStatus.ERROR
        assert "the server is running" in err
        assert err.count("\n") == 1
    assert toml(fleet) == before


def test_while_it_is_written_no_server_starts(still: Fleet, chef: ChefServer) -> None:
    fleet = still
    is_like_here(chef, fleet)
    config, before = settings.load(fleet.server_directory), toml(fleet)
    with held_up(config.database(fleet.server_directory)) as go_on, ThreadPoolExecutor(1) as beside:
        changing = beside.submit(use, fleet, chef, "-y")
        until(lambda: is_taken(config.api_port), "it is alone")
        for _ in range(10):
            time.sleep(0.1)
            assert is_taken(config.api_port)
        assert not changing.done()
        # Killed now, it starts as before: with these settings and no permission it would not.
        assert toml(fleet) == before
        go_on()
        assert changing.result()[0] == 0
    assert not is_taken(config.api_port)


@contextmanager
def held_up(url: str) -> Iterator[Callable[[], None]]:
    """Nobody can change who is allowed, until this is called."""
    engine = database.make_engine(url)
    with engine.connect() as connection:
        connection.exec_driver_sql(
            "LOCK TABLE chef_allowed IN SHARE MODE"
            if engine.dialect.name == "postgresql"
            else "DELETE FROM chef_allowed WHERE url = ''"
        )
        yield connection.rollback
    engine.dispose()


def is_taken(port: int) -> bool:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def test_without_a_yes_nothing_is_changed(still: Fleet, chef: ChefServer) -> None:
    fleet = still
    is_like_here(chef, fleet)
    before = toml(fleet)
    code, _, err = use(fleet, chef)
    assert (code, "pass -y" in err) == (ExitStatus.USAGE, True)
    assert toml(fleet) == before
    fleet.start_server()
    assert operator(fleet)("GET", "pushy/jobs").status == 200


def test_while_chef_does_not_answer_nothing_is_changed(still: Fleet, chef: ChefServer) -> None:
    fleet = still
    is_like_here(chef, fleet)
    before = toml(fleet)
    for fault, status, words in (
        ("failing", ExitStatus.UNREACHABLE, "cannot be asked"),
        ("garbage", ExitStatus.CONFIG, "cannot be used"),
        ("redirect", ExitStatus.CONFIG, "cannot be used"),
    ):
        chef.fault = fault
        code, out, err = use(fleet, chef, "-y")
        assert (code, out) == (status, ""), fault
        assert words in err, fault
        assert err.count("\n") == 1, fault
        assert toml(fleet) == before, fault
    fleet.start_server()


def test_what_was_done_is_done_and_what_was_interrupted_goes_on(
    still: Fleet, chef: ChefServer
) -> None:
    fleet = still
    is_like_here(chef, fleet)
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
    still: Fleet, chef: ChefServer
) -> None:
    fleet = still
    is_like_here(chef, fleet)
    assert use(fleet, chef, "-y")[0] == 0
    fleet.start_server()
    chef.keys[ORG, "client", "n2"] = [keys.public_pem(KEYS[0])]
    n2 = Signer(fleet, "n2", KEYS[0])
    public_key, _ = zmq.curve_keypair()
    got = n2("GET", "pushy/config/n2", query="?" + urlencode({"ccpk": public_key.decode()}))
    assert got.status == 200, got
    before = toml(fleet)
    code, out, err = use_own(fleet, "--dry-run", "-F", "json")
    assert (code, err) == (0, "")
    shown = report(out, "server use-own")
    assert (shown["dry_run"], shown["changed"], shown["keyless"]) == (True, False, [f"{ORG}/n2"])
    [again] = shown["organizations"]
    assert [one["name"] for one in again["again"]] == ["n1", f"{ORG}-validator", ADMIN]
    # The server ran, and nothing was changed.
    assert toml(fleet) == before
    fleet.end_server()
    code, out, _ = use_own(fleet, "-y")
    assert code == 0
    assert f"Counting again in {ORG}: user {ADMIN}; clients n1,{ORG}-validator\n" in out
    assert f"{ORG}/n2" in out
    assert f"{ORG}/n1" not in out


def test_a_server_made_beside_chef_has_nowhere_to_go_back(tmp_path: Path, chef: ChefServer) -> None:
    fleet = BesideChef(tmp_path, chef, SUPERUSER_KEY)
    fleet.make_server()
    done = fleet.cli("server", "use-own", "--dir", str(fleet.server_directory), "-y")
    fleet.stop()
    assert done.returncode == ExitStatus.CONFIG
    assert "has no users of its own" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("value", ["api_port=5", "chef_urk=x", "chef_key="])
def test_only_what_is_about_chef_is_set(unchanged: Fleet, value: str) -> None:
    directory = str(unchanged.server_directory)
    done = unchanged.cli("server", "use-chef", "--dir", directory, "--dry-run", f"--set={value}")
    assert done.returncode == ExitStatus.CONFIG
    assert done.stderr.count("\n") == 1


def test_a_certificate_that_is_not_trusted_is_not_mended_by_trying_again(
    unchanged: Fleet, tmp_path: Path
) -> None:
    certificate = certificates.self_signed(tmp_path / "certificate", ["127.0.0.1"])
    with chef_server(SUPERUSER_KEY.public_key(), certificate.context) as chef:
        code, out, err = use(unchanged, chef, "--dry-run")
        assert (code, out) == (ExitStatus.UNREACHABLE, "")
        assert "give chef_ca_file or chef_fingerprint" in err
        assert "try again" not in err
        assert err.count("\n") == 1
        assert not chef.asked


def test_what_no_server_would_start_with_is_not_set(unchanged: Fleet, chef: ChefServer) -> None:
    for value, words in (
        ("chef_cache=301", "chef_cache"), ("chef_api_version=x", "chef_api_version"),
        (f"chef_server_url={chef.url}/organizations/{ORG}", "without /organizations/"),
    ):  # fmt: skip
        code, out, err = use(unchanged, chef, "--dry-run", f"--set={value}")
        assert (code, out) == (ExitStatus.CONFIG, ""), value
        assert words in err, value
        assert err.count("\n") == 1, value
    assert not chef.asked


def test_on_the_way_back_the_settings_come_first(still: Fleet, chef: ChefServer) -> None:
    """Killed between the two it starts: by its own users, though Chef's might still count."""
    fleet = still
    is_like_here(chef, fleet)
    assert use(fleet, chef, "-y")[0] == 0
    config, before = settings.load(fleet.server_directory), toml(fleet)
    with held_up(config.database(fleet.server_directory)) as go_on, ThreadPoolExecutor(1) as beside:
        changing = beside.submit(use_own, fleet, "-y")
        until(lambda: toml(fleet) != before, "the settings are there")
        assert settings.load(fleet.server_directory).identity == "own"
        assert is_taken(config.api_port)
        assert not changing.done()
        go_on()
        assert changing.result()[0] == 0
