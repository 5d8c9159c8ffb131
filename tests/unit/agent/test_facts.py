"""What a node tells of itself."""

import os
import socket
import threading

import msgspec
import pytest

from pushcli_agent import facts


def test_the_shapes_are_those_of_ohai() -> None:
    found = facts.collect()
    assert found["hostname"] == socket.gethostname().partition(".")[0]
    assert found["fqdn"].startswith(found["hostname"])
    assert found["kernel"]["release"] == os.uname().release
    assert found["os"] == "linux"
    assert found["ipaddress"].count(".") == 3
    for name in ("platform", "platform_version", "platform_family"):
        assert found[name]
    assert "roles" not in found


def test_the_operators_own_stand_beside_and_replace_nothing() -> None:
    own = {"rack": "r7", "hostname": "forged", "team": {"name": "web"}}
    found = facts.collect(["web"], ["blue"], own)
    assert (found["roles"], found["tags"]) == (["web"], ["blue"])
    assert (found["rack"], found["team"]) == ("r7", {"name": "web"})
    assert found["hostname"] != "forged"


def test_what_is_open_is_always_a_fact_that_nobody_can_hide() -> None:
    hidden: dict[str, dict[str, list[str]]] = {"pushcli": {"open": []}}
    assert facts.collect(attributes=hidden, opened=["env"])["pushcli"] == {"open": ["env"]}
    forged = {"pushcli": {"open": ["env"]}}
    assert facts.collect(attributes=forged)["pushcli"] == {"open": []}
    too_much = facts.collect(attributes={"big": "x" * 100_000}, opened=["dir"])
    assert too_much["pushcli"] == {"open": ["dir"]}


def test_they_fit_into_a_message() -> None:
    found = facts.collect(attributes={"big": "x" * 100_000})
    assert len(msgspec.json.encode(found)) < facts.MAX_BYTES
    assert "more than" in found["facts_left_out"]
    assert found["os"] == "linux"


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()

    def hang(_: str) -> str:
        answered.wait()
        return "late"

    monkeypatch.setattr(socket, "getfqdn", hang)
    try:
        assert facts.full_name("node", 0.1) == "node"
    finally:
        answered.set()


def test_the_name_of_every_machine_is_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getfqdn", lambda _: "localhost.localdomain")
    assert facts.full_name("node") == "node"
