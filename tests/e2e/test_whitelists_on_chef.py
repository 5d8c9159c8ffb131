"""Nodes and their whitelists are on a Chef Infra Server: what is changed there reaches agents."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import ADMIN
from pushcli_agent.enrolment import pinned
from tests.support import key_files
from tests.support.beside_chef import BesideChef, Tenant, beside_chef
from tests.support.chef_server import ChefServer
from tests.support.identities import KEYS, operator
from tests.support.metrics import metric
from tests.support.waiting import job_is, until

pytestmark = [pytest.mark.timeout(90), pytest.mark.slow]
GREET = {"push_jobs": {"whitelist": {"greet": "echo hello"}}}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BesideChef]:
    """Whose server the tests share that need none of their own."""
    with beside_chef(tmp_path_factory.mktemp("host"), chef_poll=1) as host:
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
    """With a server of the test's own."""
    with beside_chef(tmp_path, chef_poll=1) as fleet:
        yield fleet


@pytest.fixture(scope="module")
def unhurried_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BesideChef]:
    with beside_chef(tmp_path_factory.mktemp("unhurried")) as host:
        yield host


@pytest.fixture
def unhurried(tmp_path: Path, unhurried_host: BesideChef) -> Iterator[BesideChef]:
    """It looks at nodes once a minute: what comes sooner was announced."""
    with Tenant(tmp_path, unhurried_host) as fleet:
        yield fleet


def at(fleet: BesideChef, node: str = "") -> str:
    """The path of all nodes, or of one."""
    return f"/organizations/{fleet.org}/nodes" + (f"/{node}" if node else "")


def search(fleet: BesideChef) -> str:
    """The path of the search for nodes."""
    return f"/organizations/{fleet.org}/search/node"


def have_agent(fleet: BesideChef, node: str, *, unsigned: bool = False) -> None:
    """An agent that is ready, and trusts the administrator."""
    fleet.enroll([node])
    directory = fleet.agent_directory(node)
    config = directory / "agent.toml"
    config.write_text(f"accept_unsigned_whitelist = {json.dumps(unsigned)}\n{config.read_text()}")
    public = fleet.directory / "ann.pub"
    public.write_text(keys.public_pem(key_files.read(fleet.directory / "ann.pem")))
    pinned.pin(directory, ADMIN, public)
    fleet.start_agent(node)
    fleet.wait_available([node])


def in_force(fleet: BesideChef, node: str) -> dict[str, Any]:
    """What the agent reported of the server's entries, by name: the signer."""
    report = operator(fleet)("GET", f"pushy/whitelist/{node}").json.get("in_force")
    reported = report or {"entries": []}
    return {
        one["name"]: one.get("signer") for one in reported["entries"] if one["source"] == "server"
    }


def names(fleet: BesideChef) -> list[str]:
    """The nodes that there are, as the server says."""
    return [state["node_name"] for state in operator(fleet).get("pushy/node_states")]


def runs(fleet: BesideChef, command: str, node: str) -> bool:
    """Whether a job of this command succeeds there."""
    job_id = fleet.api.start_job({"command": command, "nodes": [node]})
    return bool(job_is(fleet, job_id, "complete")["nodes"] == {"succeeded": [node]})


def test_nodes_are_those_of_chef(fleet: BesideChef, chef: ChefServer) -> None:
    chef.edit(fleet.org, "never")
    # Who asks first is told, too.
    assert names(fleet) == ["never"]
    have_agent(fleet, "n1")
    # Its client is there, and chef-client has not made its node object yet.
    assert names(fleet) == ["n1", "never"]
    status = operator(fleet).get("pushy/node_status/never")
    assert (status["status"], status["reason"]) == ("offline", "unknown: it never connected")
    chef.edit(fleet.org, "n1")
    job_id = fleet.api.start_job({"command": "sleep", "nodes": ["n1"]})
    until(lambda: fleet.api.job(job_id)["status"] == "running", "it runs")
    asks = operator(fleet)
    until(lambda: asks("GET", "pushy/whitelist/n1").status == 200, "n1 was seen there")
    del chef.nodes[fleet.org, "n1"], chef.nodes[fleet.org, "never"]
    until(lambda: names(fleet) == [], "both are gone")
    until(lambda: fleet.api.job(job_id)["status"] == "complete", "it ends")
    assert fleet.api.job(job_id)["nodes"] == {"succeeded": ["n1"]}
    chef.edit(fleet.org, "n1")
    until(lambda: names(fleet) == ["n1"], "it is back")


def test_what_knife_edits_reaches_agents_within_chef_poll(
    fleet: BesideChef, chef: ChefServer
) -> None:
    chef.edit(fleet.org, "n1", normal=GREET)
    have_agent(fleet, "n1", unsigned=True)
    until(lambda: in_force(fleet, "n1") == {"greet": None}, "it is there, unsigned")
    chef.edit(fleet.org, "n1", normal={}, default=GREET)
    until(lambda: in_force(fleet, "n1") == {"greet": None}, "it is of another level")
    chef.edit(fleet.org, "n1", default={}, override={"push_jobs": {"whitelist": {"other": "true"}}})
    until(lambda: in_force(fleet, "n1") == {"other": None}, "another is there")
    assert runs(fleet, "other", "n1")
    del chef.nodes[fleet.org, "n1"]
    until(lambda: names(fleet) == [], "it is gone")
    chef.edit(fleet.org, "n1")
    until(lambda: in_force(fleet, "n1") == {}, "what it had is gone")


def through_chef(fleet: BesideChef, *arguments: str) -> str:
    """A command through the one URL that serves both sides."""
    fleet.chef.push_jobs = fleet.url.removesuffix(f"/organizations/{fleet.org}")
    url = f"{fleet.chef.url}/organizations/{fleet.org}"
    done = fleet.cli(*arguments, "--server-url", url)
    return f"{int(done.returncode)} {done.stdout}{done.stderr}"


def test_what_our_command_line_edits_is_there_at_once(
    unhurried: BesideChef,
) -> None:
    fleet, chef = unhurried, unhurried.chef
    for node in ("n1", "n2"):
        chef.edit(fleet.org, node)
        have_agent(fleet, node)
    looks = chef.asked[search(fleet)]
    said = through_chef(fleet, "whitelist", "add", "greet", "echo hello", "n1", "n2")
    assert said == "0 in force on 2 nodes\n"
    assert in_force(fleet, "n1") == {"greet": ADMIN}
    assert "whitelist_signatures" in chef.nodes[fleet.org, "n1"]["normal"]["push_jobs"]
    assert through_chef(fleet, "job", "start", "greet", "n1").startswith("0")
    # What knife changes is not the operator's any more.
    jobs = chef.nodes[fleet.org, "n1"]["normal"]["push_jobs"]
    chef.edit(fleet.org, "n1", normal={"push_jobs": {**jobs, "whitelist": {"greet": "echo other"}}})
    until(lambda: in_force(fleet, "n1") == {}, "it is refused")
    shown = through_chef(fleet, "whitelist", "show", "n1", "greet")
    assert "echo other" in shown
    assert "refused" in shown
    assert through_chef(fleet, "whitelist", "remove", "greet", "n1", "n2").startswith(
        "0 in force on 2 nodes"
    )
    assert in_force(fleet, "n2") == {}
    # Without any of the looks that come by themselves.
    assert chef.asked[search(fleet)] == looks


def test_an_edit_says_where_it_is_refused(unhurried: BesideChef) -> None:
    fleet, chef = unhurried, unhurried.chef
    chef.edit(fleet.org, "n1")
    fleet.enroll(["n1"])
    fleet.start_agent("n1")
    fleet.wait_available(["n1"])
    said = through_chef(fleet, "whitelist", "add", "greet", "echo hello", "n1")
    assert said.startswith(f"{int(ExitStatus.NOT_IN_FORCE)} in force on 0 of 1 node"), said
    assert "not in force on n1: " in said
    assert f"pushcli agent editors add {ADMIN} FILE" in said


def test_announcing_takes_the_right_to_edit_and_says_nothing_by_itself(
    unhurried: BesideChef,
) -> None:
    fleet, chef = unhurried, unhurried.chef
    chef.edit(fleet.org, "n1", normal=GREET)
    assert names(fleet) == ["n1"]
    bob = fleet.user("bob", KEYS[0])
    body = {"nodes": ["n1"]}
    assert bob("POST", "pushy/node_changes", body).status == 403
    asks = operator(fleet)
    told = asks.post("pushy/node_changes", body)
    assert told == {"nodes": 1, "connected": 0, "in_force": 0, "not_in_force": {}}
    assert asks("POST", "pushy/node_changes", {"nodes": ["n1"], "normal": {}}).status == 400
    assert asks("POST", "pushy/node_changes", {"nodes": []}).status == 400
    assert asks("POST", "pushy/node_changes", {"nodes": ["n"] * 501}).status == 400
    for name in ("nobody", "..", "a/b"):
        refused = asks("POST", "pushy/node_changes", {"nodes": [name]})
        assert (refused.status, refused.error) == (404, [f"no such node: {name}"])
    edit = {
        "nodes": ["n1"], "changes": [{"name": "x", "value": "true"}], "version": 1,
        "signer": ADMIN, "key": "k", "signature": "s",
    }  # fmt: skip
    refused = asks("POST", "pushy/whitelist", edit)
    assert refused.error == [f"not here: whitelists are attributes of the nodes on {chef.url}"]
    assert not any("/groups/nodes" in path or "%2E" in path for path in chef.asked)


def test_what_is_known_stays_in_force_while_chef_is_away_also_after_a_restart(
    own: BesideChef,
) -> None:
    fleet, chef = own, own.chef
    chef.edit(fleet.org, "n1", normal=GREET)
    have_agent(fleet, "n1", unsigned=True)
    until(lambda: in_force(fleet, "n1") == {"greet": None}, "it is there")
    for path in (at(fleet), at(fleet, "n1")):
        chef.instead["GET", path] = (503, {"error": ["no"]})
    until(lambda: "cannot be looked at" in fleet.told(), "that is told")
    assert names(fleet) == ["n1"]
    fleet.end_server()
    fleet.start_server()
    until(lambda: fleet.api.node_states()[0]["status"] == "online", "the agent is back")
    assert names(fleet) == ["n1"]
    assert in_force(fleet, "n1") == {"greet": None}
    time.sleep(2.5)
    assert fleet.told().count("cannot be looked at") == 2
    chef.instead.clear()
    chef.edit(fleet.org, "n1", normal={"push_jobs": {"whitelist": {"new": "true"}}})
    until(lambda: in_force(fleet, "n1") == {"new": None}, "it is looked at again")
    until(lambda: "are looked at again" in fleet.told(), "that is told")


def test_a_list_alone_takes_no_node_away(fleet: BesideChef, chef: ChefServer) -> None:
    for number in range(3):
        chef.edit(fleet.org, f"n{number}", normal=GREET)
    until(lambda: names(fleet) == ["n0", "n1", "n2"], "all are known")
    chef.instead["GET", at(fleet)] = (200, b"{}")
    chef.instead["POST", search(fleet)] = (200, b'{"total":0,"start":0,"rows":[]}')
    looks = chef.asked[at(fleet)]
    until(lambda: chef.asked[at(fleet)] > looks + 2, "it looked")
    assert names(fleet) == ["n0", "n1", "n2"]


ROWS: list[Any] = [
    None, "text", [], 5, {}, {"data": None}, {"data": {"name": None}}, {"data": {"name": "../x"}},
    {"data": {"name": "n0", "push_jobs": {"whitelist": {"deep": "x"}}}},
    {"data": {"name": "unlisted", "push_jobs": {}}}, {"data": {"name": "n1", "push_jobs": "text"}},
]  # fmt: skip


def test_a_bad_row_or_node_stops_no_other(fleet: BesideChef, chef: ChefServer) -> None:
    chef.edit(fleet.org, "n0", normal={"push_jobs": "text"}, default={"push_jobs": [1]})
    chef.edit(fleet.org, "n1", normal=GREET)
    chef.edit(fleet.org, "n2", normal={"push_jobs": {"whitelist": {"long": "x" * 1_100_000}}})
    chef.edit(fleet.org, "n3", normal=None)
    chef.edit(fleet.org, "n4", normal=GREET)
    chef.instead["GET", at(fleet, "n3")] = (500, b"internal server error")
    chef.instead["POST", search(fleet)] = (200, {"total": 10**9, "start": 0, "rows": ROWS})
    until(lambda: {"n1", "n4"} <= {*names(fleet)}, "the others are known")
    until(lambda: "16 rows do not describe a node" in fleet.told(), "that is told")
    looks = chef.asked[at(fleet)]
    until(lambda: chef.asked[at(fleet)] > looks + 2, "it looked again")
    said = fleet.told()
    assert said.count("n2: its push_jobs attributes take more than 1,000,000 characters") == 1
    assert said.count("n3: it failed (500") == 1
    asks = operator(fleet)
    for node in ("n1", "n4"):
        assert [e["name"] for e in asks.get(f"pushy/whitelist/{node}")["entries"]] == ["greet"]
    assert asks.get("pushy/whitelist/n0")["entries"] == []


@pytest.mark.parametrize("fault", ["half", "garbage", "nonsense", "redirect", "endless"])
def test_what_is_no_answer_changes_nothing(fleet: BesideChef, chef: ChefServer, fault: str) -> None:
    chef.edit(fleet.org, "n1", normal=GREET)
    until(lambda: names(fleet) == ["n1"], "it is known")
    chef.fault = fault
    until(lambda: "cannot be looked at" in fleet.told(), "that is told")
    chef.fault = ""
    assert names(fleet) == ["n1"]
    entries = operator(fleet).get("pushy/whitelist/n1")["entries"]
    assert [entry["name"] for entry in entries] == ["greet"]


def test_a_thousand_nodes_are_looked_at_in_pages(own: BesideChef) -> None:
    fleet, chef = own, own.chef
    wanted = [f"n{number:04}" for number in range(1_205)]
    for name in wanted:
        chef.edit(fleet.org, name, normal=GREET if name.endswith("7") else {})
    until(lambda: names(fleet) == wanted, "all are known", limit=30)
    until(
        lambda: operator(fleet).get("pushy/whitelist/n1197")["entries"], "what it has is", limit=30
    )
    # Without attributes of ours a node is not read.
    assert chef.asked[at(fleet, "n0001")] <= 1
    assert chef.asked[search(fleet)] >= 2
    chef.edit(fleet.org, "n1204", normal=GREET)
    until(lambda: chef.asked[at(fleet, "n1204")], "the last one of the second page is read")


def test_search_that_fails_makes_it_slower_and_not_wrong(
    fleet: BesideChef, chef: ChefServer
) -> None:
    chef.instead["POST", search(fleet)] = (500, b"no")
    chef.edit(fleet.org, "n1", normal=GREET)
    until(lambda: names(fleet) == ["n1"], "it is known")
    chef.edit(fleet.org, "n1", normal={"push_jobs": {"whitelist": {"new": "true"}}})
    asks = operator(fleet)
    until(
        lambda: [e["name"] for e in asks.get("pushy/whitelist/n1")["entries"]] == ["new"],
        "it is read by itself",
    )
    assert "search: it failed (500" in fleet.told()


def test_metrics_tell_of_looks(fleet: BesideChef, chef: ChefServer) -> None:
    chef.edit(fleet.org, "n1", normal=GREET)
    until(lambda: names(fleet) == ["n1"], "it is known")
    assert metric(fleet, "pushcli_chef_nodes", organization=fleet.org) == 1
    assert metric(fleet, "pushcli_chef_node_changes_total", organization=fleet.org) == 1
    at = metric(fleet, "pushcli_chef_nodes_looked_timestamp_seconds", organization=fleet.org)
    assert abs(time.time() - at) < 60
    chef.fault = "failing"
    failures = "pushcli_chef_node_failures_total"
    until(lambda: metric(fleet, failures, organization=fleet.org) >= 1, "a failure is counted")
