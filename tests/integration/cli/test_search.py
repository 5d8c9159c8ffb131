"""Nodes and queries on the command line, against the real server."""

import json

import pytest

from pushcli.exit_status import ExitStatus
from tests.integration.cli.operated import Operated
from tests.integration.cli.program import assert_one_line

pytestmark = pytest.mark.timeout(90)


@pytest.fixture(scope="module", autouse=True)
def nodes(operated: Operated) -> None:
    """Three web servers, a database, and a name with a colon."""
    for name, role, platform in (
        ("web1", "web", "debian"), ("web2", "web", "debian"), ("web3", "web", "ubuntu"),
        ("db1", "db", "debian"), ("sales:web", "shop", "debian"),
    ):  # fmt: skip
        operated.fleet.api.post(
            "nodes",
            {
                "name": name, "chef_environment": "prod", "run_list": [f"role[{role}]"],
                "normal": {"tags": ["a", "b"]}, "default": {}, "override": {},
                "automatic": {"fqdn": f"{name}.example.com", "platform": platform,
                              "roles": [role], "kernel": {"release": "6.1"}},
            },
        )  # fmt: skip


def names(operated: Operated, query: str) -> list[str]:
    return operated.ok("node", "search", query, "-i").split()


def test_nodes_are_found(operated: Operated) -> None:
    assert names(operated, "role:web AND platform:debian") == ["web1", "web2"]
    assert names(operated, "name:web* NOT platform:debian") == ["web3"]
    assert names(operated, r"name:sales\:web") == ["sales:web"]
    assert len(names(operated, "*:*")) == 5
    assert operated.ok("node", "list").split() == ["db1", "sales:web", "web1", "web2", "web3"]


def test_attributes_are_columns_and_whole_nodes_are_json(operated: Operated) -> None:
    table = operated.ok("node", "search", "role:web", "-a", "kernel.release", "-a", "tags")
    assert table.splitlines()[0] == "web1\t6.1\ta, b"
    found = operated.json("node", "search", "role:db")
    assert found[0]["automatic"]["fqdn"] == "db1.example.com"
    part = operated.json("node", "search", "role:db", "-a", "fqdn")
    assert part == [{"name": "db1", "fqdn": "db1.example.com"}]


def test_one_node_is_shown(operated: Operated) -> None:
    shown = operated.ok("node", "show", "sales:web").splitlines()
    assert "fqdn:        sales:web.example.com" in shown
    one = operated.json("node", "show", "web1", "-a", "kernel")
    assert one == {"web1": {"kernel": {"release": "6.1"}}}
    assert_one_line(operated.run("node", "show", "ghost"), ExitStatus.NOT_FOUND, "ghost")


def test_nothing_found_and_a_bad_query_are_two_things(operated: Operated) -> None:
    nothing = operated.run("node", "search", "role:nosuch")
    assert_one_line(nothing, ExitStatus.NOT_FOUND, "role:nosuch")
    bad = operated.run("node", "search", "role:(web")
    assert_one_line(bad, ExitStatus.USAGE, "role:(web")


def test_status_takes_names_and_queries(operated: Operated) -> None:
    told = operated.run("node", "status", "name:web*", "web0", "web1")
    why = "unknown: it never connected"
    assert (told.status, told.stderr) == (
        ExitStatus.OK, "unknown node 'web0': did you mean 'web1'?\n",
    )  # fmt: skip
    assert told.stdout.splitlines() == [
        *(f"{name}\tunavailable\t\tnever\t\t{why}" for name in ("web1", "web2", "web3")),
        "web0\tunavailable\t\tnever\t\tunknown: no such node",
    ]
    assert operated.ok("node", "status", "x[9-10]", "-x", "x9") == (
        "x10\tunavailable\t\tnever\t\tunknown: it never connected\n"
    )
    whole = operated.json("node", "status", "role:db")
    assert [(node["node_name"], node["status"]) for node in whole] == [("db1", "offline")]
    detailed = operated.ok("node", "status", "-V", "role:db")
    assert "never connected" in detailed


def test_a_job_runs_on_what_is_found_and_what_is_named(operated: Operated) -> None:
    started = operated.run(
        "job",
        "start",
        "uptime",
        "ghost",
        "web1",
        "-s",
        "role:web",
        "-F",
        "json",
        "--allow-unknown",
    )
    assert started.status == ExitStatus.QUORUM_FAILED
    nodes = json.loads(started.stdout)["nodes"]["unavailable"]
    assert sorted(nodes) == ["ghost", "web1", "web2", "web3"]
    before = operated.json("job", "list")
    nothing = operated.run("job", "start", "uptime", "web1", "-s", "role:nosuch")
    assert_one_line(nothing, ExitStatus.NOT_FOUND, "role:nosuch")
    assert operated.json("job", "list") == before
