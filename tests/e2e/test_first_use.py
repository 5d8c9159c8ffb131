"""Editors that a node takes from a Chef Infra Server, once, with a server of ours behind it."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli import keys
from pushcli.identities.new_key import fingerprint
from pushcli.sandbox.sandbox import ADMIN
from tests.support.beside_chef import BesideChef, Tenant, beside_chef
from tests.support.chef_server import ChefServer
from tests.support.identities import KEYS
from tests.support.waiting import until

pytestmark = [pytest.mark.timeout(120), pytest.mark.slow]


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BesideChef]:
    """Whose server the tests share."""
    with beside_chef(tmp_path_factory.mktemp("host"), chef_cache=1) as host:
        yield host


@pytest.fixture
def fleet(tmp_path: Path, host: BesideChef) -> Iterator[BesideChef]:
    with Tenant(tmp_path, host) as fleet:
        fleet.chef.push_jobs = fleet.url
        yield fleet


@pytest.fixture
def chef(fleet: BesideChef) -> ChefServer:
    return fleet.chef


def admins(fleet: BesideChef) -> str:
    """The path of the group of administrators."""
    return f"/organizations/{fleet.org}/groups/admins"


def make_node(fleet: BesideChef, name: str, *, first_use: bool = True) -> Path:
    """A node that chef knows; returns its agent's directory."""
    fleet.enroll_node(name)
    place = fleet.agent_directory(name)
    text = (place / "agent.toml").read_text()
    there = f"{fleet.chef.url}/organizations/{fleet.org}"
    wanted = "trust_editors_on_first_use = true\n" if first_use else ""
    (place / "agent.toml").write_text(text.replace(fleet.url, there) + wanted)
    return place


def start(fleet: BesideChef, name: str) -> None:
    fleet.start_agent(name)
    fleet.wait_available([name])


def key_of_the_administrator(fleet: BesideChef) -> str:
    [pem] = fleet.chef.keys[fleet.org, "user", ADMIN]
    return fingerprint(pem)


def test_administrators_are_pinned_once_and_shown(fleet: BesideChef, chef: ChefServer) -> None:
    place = make_node(fleet, "n1")
    start(fleet, "n1")
    until((place / "editors.json").exists, "they are pinned")
    key = key_of_the_administrator(fleet)
    assert [one["fingerprint"] for one in json.loads((place / "editors.json").read_text())[
        "editors"]] == [key]  # fmt: skip
    listed = fleet.cli("agent", "editors", "list", "--dir", str(place))
    assert f"{key}\tpinned on first use\n" in listed.stdout
    # The node may not look at the group: our server named who is in it.
    assert ("n1", "GET", f"/organizations/{fleet.org}/principals/{ADMIN}") in chef.signers

    def told() -> bool:
        status = fleet.cli("node", "status")
        return f"n1: editors pinned on first use: {ADMIN} {key}" in status.stderr

    until(told, "the server heard of it")
    [node] = json.loads(fleet.cli("-F", "json", "node", "status").stdout)
    assert node["pinned"] == [{"editor": ADMIN, "key": key, "first_use": True}]
    # Never again: not after a restart, though there are others now, nor when the pins vanish.
    chef.keys[fleet.org, "user", "mallory"] = [keys.public_pem(KEYS[0])]
    chef.groups[fleet.org, "admins"]["users"].append("mallory")
    before = (place / "editors.json").read_bytes()
    fleet.end_agent("n1")
    start(fleet, "n1")
    time.sleep(2.0)
    assert (place / "editors.json").read_bytes() == before
    fleet.end_agent("n1")
    (place / "editors.json").unlink()
    start(fleet, "n1")
    time.sleep(2.0)
    assert not (place / "editors.json").exists()
    assert "only once" in fleet.log("n1").read_text()
    assert not any("mallory" in path for path in chef.asked)


def test_names_come_from_chef_where_the_node_may_look(fleet: BesideChef, chef: ChefServer) -> None:
    chef.groups_are_open = True
    place = make_node(fleet, "n1")
    start(fleet, "n1")
    until((place / "first_use.json").exists, "they are pinned")
    assert ("n1", "GET", admins(fleet)) in chef.signers
    assert key_of_the_administrator(fleet) in (place / "editors.json").read_text()


def test_without_the_setting_and_with_pins_nobody_is_taken(
    fleet: BesideChef, chef: ChefServer
) -> None:
    chef.groups_are_open = True
    bare, given = make_node(fleet, "n1", first_use=False), make_node(fleet, "n2")
    (given / "editors.json").write_text('{"editors": []}')
    start(fleet, "n1")
    start(fleet, "n2")
    time.sleep(2.0)
    assert not (bare / "editors.json").exists()
    assert not (bare / "first_use.json").exists()
    assert (given / "editors.json").read_text() == '{"editors": []}'
    # Whoever laid them there decided: also when they are gone.
    assert (given / "first_use.json").exists()
    assert not {("n1", "GET", admins(fleet)), ("n2", "GET", admins(fleet))} & set(chef.signers)


def test_while_chef_is_away_it_is_tried_again_until_it_worked(
    fleet: BesideChef, chef: ChefServer
) -> None:
    chef.groups_are_open = True
    chef.instead["GET", admins(fleet)] = (500, {"error": ["oops"]})
    place = make_node(fleet, "n1")
    start(fleet, "n1")

    def tries() -> int:
        return chef.signers.count(("n1", "GET", admins(fleet)))

    until(lambda: tries() == 1, "it tries")
    time.sleep(1.5)
    assert tries() == 1
    until(lambda: tries() >= 2, "it tries again")
    assert not (place / "editors.json").exists()
    assert fleet.log("n1").read_text().count("no editors on first use yet") == 1
    chef.instead.clear()
    until((place / "editors.json").exists, "they are pinned", limit=30.0)
    asked = tries()
    time.sleep(6.0)
    assert tries() == asked


def test_who_administrated_a_while_ago_is_named_to_nobody(
    fleet: BesideChef, chef: ChefServer
) -> None:
    node = fleet.client("n1", KEYS[0])
    chef.groups[fleet.org, "admins"]["users"].append("mallory")
    assert node.get("pushy/administrators") == {"users": sorted([ADMIN, "mallory"])}
    chef.groups[fleet.org, "admins"]["users"].remove("mallory")
    chef.instead["GET", admins(fleet)] = (500, {"error": ["oops"]})
    # As long as an answer counts.
    time.sleep(1.5)
    assert node("GET", "pushy/administrators").status == 503
    chef.instead.clear()
    until(lambda: node("GET", "pushy/administrators").status == 200, "it answers again")
    assert node.get("pushy/administrators") == {"users": [ADMIN]}
