"""`node delete` on a fleet of real processes: a node goes, and the next of its name is another."""

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from tests.integration.cli.operated import Operated
from tests.support.fleet import Fleet
from tests.support.waiting import job_is, lines, patient, start, until

pytestmark = pytest.mark.timeout(patient(60))
WHITELIST = {
    "true": "true",
    "sleep": {"command_line": 'echo run >> "$MARKS"; sleep 60', "env": ["MARKS"]},
}
REFUSED = "no configuration: Failed to authenticate as 'n1'"
SETTINGS = {"heartbeat_interval": 250, "voting_timeout": 10}


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Sandbox]:
    with Fleet(tmp_path, ["n1", "n2"], whitelist=WHITELIST, settings=SETTINGS) as fleet:
        yield fleet


def test_a_node_is_deleted_with_all_that_is_known_of_it_and_its_jobs_are_named(
    fleet: Sandbox, tmp_path: Path
) -> None:
    operated, written = Operated(fleet), tmp_path / "marks"
    operated.ok("whitelist", "add", "uptime", "uptime", "n1")
    until(lambda: fleet.api.get("pushy/node_status/n1")["whitelist"], "it reported its whitelist")
    before = start(fleet, "true", "n1")
    assert job_is(fleet, before, "complete")["nodes"] == {"succeeded": ["n1"]}
    running = start(fleet, "sleep", "n1", env={"MARKS": str(written)})
    until(lambda: lines(written), "its command runs")

    status, shown = operated.typed("n\n", "node", "delete", "n1", "n2")
    assert status == ExitStatus.OK
    assert f"n1 is running {running}" in shown
    assert "nothing was changed" in shown
    assert "n1" in operated.json("node", "list")

    assert operated.ok("node", "delete", "n1", "-y") == "Deleted the node n1\n"
    ended = job_is(fleet, running, "complete")
    assert ended["nodes"] == {"crashed": ["n1"]}
    [part] = fleet.api.job_nodes(running)
    assert part["reason"] == "its client was deleted while running"
    assert operated.json("node", "list") == ["n2"]
    assert [node["node_name"] for node in operated.json("node", "status")] == ["n2"]
    assert operated.json("node", "search", "*:*", "-i") == ["n2"]
    assert "n1" not in operated.json("client", "list")
    assert operated.run("job", "start", "true", "-s", "name:*").status == ExitStatus.OK
    assert fleet.api.job(before)["nodes"] == {"succeeded": ["n1"]}, "history keeps its name"
    until(lambda: REFUSED in fleet.log("n1").read_text(), "its agent says why it is not there", 10)
    assert "CURVE key is not known" not in fleet.log("server").read_text()
    gone = operated.run("node", "delete", "n1", "-y")
    assert (gone.status, "no such node: n1" in gone.stderr) == (ExitStatus.NOT_FOUND, True)

    # Its agent is not heard any more, whatever it tries.
    fleet.end_agent("n1", signal.SIGKILL)
    fleet.start_agent("n1")
    until(lambda: "no configuration" in fleet.log("n1").read_text(), "it is refused")
    assert [node["node_name"] for node in operated.json("node", "status")] == ["n2"]
    fleet.end_agent("n1", signal.SIGKILL)

    # A new machine under the name.
    shutil.rmtree(fleet.agent_directory("n1"))
    fleet.enroll(["n1"])
    fresh: dict[str, Any] = fleet.api.get("pushy/node_status/n1")
    assert (fresh["whitelist"], fresh["jobs"]) == (None, [])
    assert fleet.api.get("pushy/whitelist/n1")["entries"] == []
    fleet.start_agent("n1")
    fleet.wait_available(["n1"])
    assert operated.run("job", "start", "true", "n1").status == ExitStatus.OK
    # Nothing of it comes back with the server's next run.
    fleet.end_server(signal.SIGKILL)
    fleet.start_server()
    fleet.wait_available(["n1", "n2"])


def test_after_client_delete_a_node_is_in_no_list_also_after_a_restart(fleet: Sandbox) -> None:
    operated = Operated(fleet)
    operated.ok("client", "delete", "n1", "-y")
    for _ in range(2):
        assert operated.json("node", "list") == ["n2"]
        assert [node["node_name"] for node in operated.json("node", "status")] == ["n2"]
        assert operated.json("node", "search", "*:*", "-i") == ["n2"]
        fleet.end_server(signal.SIGKILL)
        fleet.start_server()
        fleet.wait_available(["n2"])
    assert operated.run("job", "start", "true", "-s", "*:*").status == ExitStatus.OK


def test_a_node_object_that_is_deleted_over_rest_leaves_the_node_as_it_is(fleet: Sandbox) -> None:
    operated = Operated(fleet)
    fleet.api.delete("nodes/n1")
    assert "n1" not in operated.json("node", "list")
    assert fleet.api.get("pushy/node_status/n1")["availability"] == "available"
    assert operated.run("job", "start", "true", "n1").status == ExitStatus.OK
    # Its agent is known to the next run of the server, too.
    fleet.end_server(signal.SIGKILL)
    fleet.start_server()
    fleet.wait_available(["n1"])
    assert operated.run("job", "start", "true", "n1").status == ExitStatus.OK
    # And by its name it can be deleted, object or not.
    until(lambda: "n1" in operated.json("node", "list"), "its agent told of it anew")
    fleet.api.delete("nodes/n1")
    operated.ok("node", "delete", "n1", "-y")
    assert [state["node_name"] for state in fleet.api.node_states()] == ["n2"]
