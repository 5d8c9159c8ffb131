"""`pushy/whitelist` and its editors against a real server: signed, whole, and in order."""

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pushcli import errors, keys
from pushcli.sandbox.sandbox import Sandbox
from pushcli.whitelist import statements
from pushcli.whitelist.statements import Change
from pushcli_server.core.fleet_state import UNKNOWN
from tests.support import key_files
from tests.support.old_agent import enroll

pytestmark = pytest.mark.timeout(60)
NODES = ["w1", "w2", "w3"]
OTHER = keys.generate()


@pytest.fixture(scope="module")
def nodes(server: Sandbox) -> Sandbox:
    """A server that knows three nodes, none of them connected."""
    for node in NODES:
        enroll(server, node)
    return server


def body(fleet: Sandbox, *changes: Change, nodes: list[str] = NODES, **more: Any) -> dict[str, Any]:
    """A signed edit, as our command line would send it."""
    settings: dict[str, Any] = {
        "key": key_of(fleet),
        "version": statements.next_version(time.time()),
        "signer": fleet.profile.client_name,
        **more,
    }
    signed = statements.sign(
        settings["key"],
        org="sandbox",
        nodes=nodes,
        changes=list(changes),
        version=settings["version"],
        signer=settings["signer"],
    )
    said = [
        {"name": change.name, "removed": True} if change.value is None else
        {"name": change.name, "value": change.value}
        for change in changes
    ]  # fmt: skip
    return {"nodes": nodes, "changes": said, **msgspec.to_builtins(signed)}


def key_of(fleet: Sandbox) -> Any:
    return key_files.read(Path(fleet.profile.client_key))


def entries(fleet: Sandbox, node: str) -> dict[str, Any]:
    return {entry["name"]: entry for entry in fleet.api.get(f"pushy/whitelist/{node}")["entries"]}


def test_a_signed_edit_is_on_all_nodes(nodes: Sandbox) -> None:
    edit = body(nodes, Change("a", "true"), Change("b", {"command_line": ["x", "y"], "lock": True}))
    answer = nodes.api.post("pushy/whitelist", edit)
    assert answer == {"nodes": 3, "connected": 0, "in_force": 0, "not_in_force": {}}
    for node in NODES:
        entry = entries(nodes, node)["a"]
        assert entry["value"] == "true"
        assert (entry["level"], entry["signer"]) == ("normal", nodes.profile.client_name)
        assert entry["version"] == edit["version"]
    many = nodes.api.get("pushy/whitelist", {"node": ["w3", "w1"]})["whitelists"]
    assert [one["node"] for one in many] == ["w3", "w1"]


def test_a_removal_is_remembered(nodes: Sandbox) -> None:
    nodes.api.post("pushy/whitelist", body(nodes, Change("gone", "true")))
    removal = body(nodes, Change("gone"), nodes=["w1"])
    nodes.api.post("pushy/whitelist", removal)
    shown = nodes.api.get("pushy/whitelist/w1")
    assert "gone" not in {entry["name"] for entry in shown["entries"]}
    assert shown["removed"]["gone"] == removal["version"]
    assert "gone" in entries(nodes, "w2")


def refusal(fleet: Sandbox, edit: dict[str, Any]) -> str:
    with pytest.raises(errors.PushcliError) as caught:
        fleet.api.post("pushy/whitelist", edit)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"version": 1}, "not signed with the key"),
        ({"signature": "AAAA"}, "not signed with the key"),
        ({"nodes": ["w2", "w1", "w3"]}, "not signed with the key"),
        ({"nodes": ["w1"]}, "not signed with the key"),
        ({"changes": [{"name": "c", "value": "false"}]}, "not signed with the key"),
        ({"signer": "somebody"}, "somebody else"),
        ({"changes": [{"name": "c", "value": ""}]}, "command"),
        ({"changes": [{"name": "c", "value": {"comand_line": "x"}}]}, "command_line"),
        ({"changes": [{"name": "c", "value": {"command_line": "x", "lock": "/x"}}]}, "lock"),
        ({"changes": [{"name": "/(/", "value": "x"}]}, "/(/"),
        ({"changes": [{"name": "c"}]}, "give a value"),
        ({"changes": [{"name": "c", "value": "x", "removed": True}]}, "give a value"),
        ({"changes": []}, "changes"),
        ({"changes": [{"name": "c", "value": "x"}] * 2}, "twice"),
        ({"nodes": []}, "nodes"),
        ({"more": 1}, "more"),
    ],
)  # fmt: skip
def test_an_edit_that_is_not_what_was_signed_or_no_whitelist_is_refused(
    nodes: Sandbox, change: dict[str, Any], text: str
) -> None:
    edit = {**body(nodes, Change("c", "true")), **change}
    assert text in refusal(nodes, edit)
    assert "c" not in entries(nodes, "w1")


def test_another_key_of_another_is_refused(nodes: Sandbox) -> None:
    assert "not signed with the key" in refusal(nodes, body(nodes, Change("c", "x"), key=OTHER))


def test_an_unknown_node_refuses_all(nodes: Sandbox) -> None:
    edit = body(nodes, Change("c", "true"), nodes=["w1", "ghost", "phantom"])
    assert "no such node: ghost, phantom" in refusal(nodes, edit)
    assert "c" not in entries(nodes, "w1")


def test_a_version_that_does_not_rise_tells_the_highest(nodes: Sandbox) -> None:
    first = body(nodes, Change("d", "true"))
    nodes.api.post("pushy/whitelist", first)
    assert "edited meanwhile" in refusal(nodes, body(nodes, Change("d", "x"), version=5))


def test_a_version_ahead_of_the_clock_is_refused(nodes: Sandbox) -> None:
    for version in (2**62, statements.next_version(time.time() + 400)):
        edit = body(nodes, Change("e", "true"), version=version)
        assert "ahead of the server's clock" in refusal(nodes, edit)
    assert "e" not in entries(nodes, "w1")
    nodes.api.post("pushy/whitelist", body(nodes, Change("e", "true")))


def test_editors_are_vouched_for_by_the_one_who_asks(nodes: Sandbox) -> None:
    def vouch(**more: Any) -> dict[str, Any]:
        settings: dict[str, Any] = {
            "org": "sandbox", "signer": nodes.profile.client_name, "editor": "bob",
            "editor_key": OTHER.public_key(), "version": statements.next_version(time.time()),
            **more,
        }  # fmt: skip
        return {"statement": statements.editor_statement(key_of(nodes), **settings)}

    nodes.api.post("pushy/whitelist_editors", vouch())
    shown = nodes.api.get("pushy/whitelist_editors")["statements"]
    assert [(one["editor"], one["removed"]) for one in shown] == [("bob", False)]
    nodes.api.post("pushy/whitelist_editors", vouch(removed=True))
    [shown] = nodes.api.get("pushy/whitelist_editors")["statements"]
    assert shown["removed"]
    for wrong in (vouch(org="evil"), vouch(signer="eve"), vouch(version=1)):
        with pytest.raises(errors.PushcliError):
            nodes.api.post("pushy/whitelist_editors", wrong)
    forged = vouch()
    forged["statement"]["editor"] = "eve"
    with pytest.raises(errors.RequestRefused, match="not signed"):
        nodes.api.post("pushy/whitelist_editors", forged)


def test_a_whitelist_of_an_unknown_node_is_not_found(nodes: Sandbox) -> None:
    with pytest.raises(errors.NotFound, match="no such node: ghost"):
        nodes.api.get("pushy/whitelist/ghost")
    with pytest.raises(errors.NotFound, match="no such node: ghost"):
        nodes.api.get("pushy/whitelist", {"node": ["w1", "ghost"]})


def test_checks_of_nodes_that_are_away_say_so(nodes: Sandbox) -> None:
    answer = nodes.api.post("pushy/checks", {"command": "x", "nodes": ["w1", "ghost"]})
    assert {node: verdict["state"] for node, verdict in answer["nodes"].items()} == {
        "w1": "unavailable",
        "ghost": "unavailable",
    }


def test_node_status_says_more_than_node_states(nodes: Sandbox) -> None:
    shown = nodes.api.get("pushy/node_status/w1")
    assert shown["node_name"] == "w1"
    assert (shown["availability"], shown["jobs"], shown["whitelist"]) == ("unavailable", [], None)
    assert shown["reason"] == UNKNOWN
    assert {one["node_name"] for one in nodes.api.get("pushy/node_status")} >= set(NODES)
