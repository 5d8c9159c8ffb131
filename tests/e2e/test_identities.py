"""Clients that are deleted and users whose keys end, with real agents and a restarted server."""

import time
from collections.abc import Callable

import pytest

from pushcli import keys
from pushcli.sandbox.sandbox import Sandbox
from tests.support.identities import KEYS
from tests.support.waiting import job_is, start, until

pytestmark = pytest.mark.timeout(90)
MakeFleet = Callable[..., Sandbox]


def offline(fleet: Sandbox, node: str) -> bool:
    return bool(fleet.api.node_state(node)["status"] == "offline")


def test_a_deleted_clients_agent_is_out_at_once_and_for_good(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("n1", "n2")
    job_id = start(fleet, "sleep", "n1", "n2")
    until(lambda: len(fleet.api.job(job_id)["nodes"].get("running", [])) == 2, "both run")
    fleet.api.delete("clients/n1")
    until(lambda: offline(fleet, "n1"), "n1 is out")
    until(lambda: fleet.api.job(job_id)["nodes"].get("crashed") == ["n1"], "it crashed")
    assert fleet.api.job(job_id)["nodes"]["running"] == ["n2"]
    fleet.api.post(f"pushy/jobs/{job_id}/abort", {})
    # Its agent lives, beats, and is not heard.
    time.sleep(1.5)
    assert offline(fleet, "n1")
    assert job_is(fleet, start(fleet, "true", "n1"), "quorum_failed")
    # A server that starts again has forgotten it too; the agent asks it who it is.
    fleet.end_server()
    fleet.start_server()
    fleet.wait_available(["n2"])
    log = fleet.log("n1")
    until(lambda: "Failed to authenticate as 'n1'" in log.read_text(), "the agent is refused")
    assert offline(fleet, "n1")
    assert job_is(fleet, start(fleet, "true", "n2"), "complete")


def test_a_node_enrolls_again_under_the_name_of_a_deleted_one(make_fleet: MakeFleet) -> None:
    fleet = make_fleet("n1")
    fleet.api.delete("clients/n1")
    former = fleet.agent_directory("n1")
    former.rename(former.with_name("former"))
    fleet.enroll(["n1"])
    fleet.end_agent("n1")
    fleet.start_agent("n1")
    fleet.wait_available(["n1"])
    assert job_is(fleet, start(fleet, "true", "n1"), "complete")["nodes"] == {"succeeded": ["n1"]}


@pytest.mark.parametrize("how", ["replaced", "changed", "deleted"])
def test_an_agent_is_out_with_the_key_that_let_it_in_and_back_with_the_next(
    make_fleet: MakeFleet, how: str
) -> None:
    fleet = make_fleet("n1", "n2")
    job_id = start(fleet, "sleep", "n1", "n2")
    until(lambda: len(fleet.api.job(job_id)["nodes"].get("running", [])) == 2, "both run")
    public = {"name": "n1", "public_key": keys.public_pem(KEYS[0])}
    if how == "replaced":
        fleet.api.put("clients/n1", public)
    elif how == "changed":
        fleet.api.put("clients/n1/keys/default", {**public, "name": "default"})
    else:
        fleet.api.post("clients/n1/keys", {**public, "name": "next"})
        assert not offline(fleet, "n1")
        fleet.api.delete("clients/n1/keys/default")
    assert offline(fleet, "n1")
    assert not offline(fleet, "n2")
    # What it has runs on, and its server waits for it.
    file = fleet.agent_directory("n1") / "client.pem"
    file.write_bytes(keys.private_pem(KEYS[0]))
    until(lambda: not offline(fleet, "n1"), "it is back")
    assert sorted(fleet.api.job(job_id)["nodes"]["running"]) == ["n1", "n2"]
    fleet.api.post(f"pushy/jobs/{job_id}/abort", {})
    assert job_is(fleet, job_id, "aborted")["nodes"] == {"aborted": ["n1", "n2"]}
