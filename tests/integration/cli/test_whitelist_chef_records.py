"""Whitelists on a Chef Infra Server whose node objects others edit, too: with knife."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from pushcli import keys
from pushcli.errors import PushcliError, RequestRefused
from pushcli.exit_status import ExitStatus
from tests.integration.cli import in_process
from tests.integration.cli.chef_nodes import ChefServer, node, run
from tests.integration.cli.played_server import playing
from tests.support.in_process import Said

VALUES = [(None, "null"), ("x", "text"), (["x"], "a list"), (7, "a number"), (True, "true or")]


@pytest.fixture
def chef(key_file: Path) -> Iterator[ChefServer]:
    """Its user `ann` has two keys: one that signs here, and another before it."""
    server = ChefServer()
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pems = [keys.public_pem(other), keys.public_pem(keys.load_private_key(key_file))]
    server.keys = {"ann": pems}
    with playing(server.answer):
        yield server


def signed(chef: ChefServer, key_file: Path, *names: str) -> None:
    """Nodes with an entry that ann signed."""
    chef.nodes = {name: node(name) for name in names}
    run(key_file, "add", "ntp", "ntpdate", *names)


def as_bob(key_file: Path, *arguments: str) -> Said:
    """`pushcli whitelist ARGUMENTS` of one whose own key says nothing of ann's."""
    return in_process.run(key_file, "whitelist", *arguments, "-u", "bob")


def test_a_signature_that_holds_shows_its_signer(chef: ChefServer, key_file: Path) -> None:
    signed(chef, key_file, "web01", "web02")
    out = as_bob(key_file, "show", "web01", "ntp").stdout
    assert "not reported\n" in out
    assert "ann" in out
    told = json.loads(as_bob(key_file, "show", "web01", "ntp", "-F", "json").stdout)
    assert (told["entry"]["signer"], told["entry"]["signature"]) == ("ann", "holds")
    assert "unsigned" not in as_bob(key_file, "list").stdout


def test_a_value_that_knife_changed_has_no_signer_any_more(
    chef: ChefServer, key_file: Path
) -> None:
    signed(chef, key_file, "web01")
    chef.whitelist("web01")["ntp"] = "rm -rf /"
    out = as_bob(key_file, "show", "web01", "ntp").stdout
    assert "not reported, unsigned: changed since it was signed\n" in out
    assert "nobody" in out
    assert "ann" not in out
    told = json.loads(as_bob(key_file, "list", "web01", "-F", "json").stdout)[0]["entries"][0]
    assert (told["signer"], told["signature"]) == (None, "does not match")


@pytest.mark.parametrize(
    "change",
    [
        {"signature": "AAAA"},
        {"version": 1},
        {"path": ["x"]},
        {"path": "x"},
        {"signer": "ann", "removed": True},
        {"key": None},
    ],
)
def test_a_record_that_was_changed_proves_nothing(
    chef: ChefServer, key_file: Path, change: dict[str, Any]
) -> None:
    signed(chef, key_file, "web01")
    chef.record("web01", "ntp").update(change)
    assert "unsigned" in as_bob(key_file, "list", "web01").stdout


def test_a_record_of_another_node_proves_nothing(chef: ChefServer, key_file: Path) -> None:
    signed(chef, key_file, "web01")
    chef.nodes["web02"] = {**chef.nodes["web01"], "name": "web02"}
    out = as_bob(key_file, "list").stdout
    assert [line.split("\t")[3:] for line in out.splitlines()] == [
        ["not reported", "web01"],
        ["not reported, unsigned: changed since it was signed", "web02"],
    ]


@pytest.mark.parametrize("signer", ["ann", "../users", "x" * 300, "nobody"])
def test_a_key_that_the_server_does_not_list_is_said(
    chef: ChefServer, key_file: Path, signer: str
) -> None:
    signed(chef, key_file, "web01")
    chef.keys = {"ann": chef.keys["ann"][:1]}
    chef.record("web01", "ntp")["signer"] = signer
    told = as_bob(key_file, "show", "web01", "ntp", "-F", "json")
    found = json.loads(told.stdout)["entry"]["signature"]
    assert found == ("does not match" if len(signer) > 255 else "unknown key")
    if signer == "ann":
        out = as_bob(key_file, "show", "web01", "ntp").stdout
        assert "not reported, signed with no known key of ann\n" in out
    assert set(chef.asked) <= {"ann", "nobody"}


def test_ones_own_key_needs_no_server(chef: ChefServer, key_file: Path) -> None:
    signed(chef, key_file, "web01")
    chef.keys = {}
    _, out = run(key_file, "show", "web01", "ntp", "-F", "json")
    assert json.loads(out)["entry"]["signature"] == "holds"


def test_each_signer_is_asked_for_once(chef: ChefServer, key_file: Path) -> None:
    signed(chef, key_file, *(f"web0{n}" for n in range(1, 6)))
    as_bob(key_file, "list")
    assert chef.asked == ["ann"]


@pytest.mark.parametrize(("value", "kind"), VALUES)
@pytest.mark.parametrize(
    "arguments", [("list", "web01"), ("show", "web01", "a"), ("add", "a", "x", "web01"),
                  ("remove", "a", "web01"), ("edit", "web01"), ("copy", "--from", "web01", "b")],
)  # fmt: skip
def test_attributes_that_are_in_the_way_are_one_line(
    chef: ChefServer, key_file: Path, arguments: tuple[str, ...], value: Any, kind: str
) -> None:
    chef.nodes = {"web01": node("web01"), "b": node("b")}
    chef.nodes["web01"]["normal"]["push_jobs"] = value
    with pytest.raises(RequestRefused, match=f"web01: normal.push_jobs is {kind}") as caught:
        run(key_file, *arguments)
    assert str(caught.value).count("web01") == 1
    assert chef.puts == []


@pytest.mark.parametrize("key", ["whitelist", "whitelist_signatures"])
def test_so_is_what_lies_in_them(chef: ChefServer, key_file: Path, key: str) -> None:
    chef.nodes = {"web01": node("web01", normal={"a": "x"})}
    chef.nodes["web01"]["normal"]["push_jobs"][key] = ["x"]
    with pytest.raises(RequestRefused, match=f"web01: normal.push_jobs.{key} is a list"):
        run(key_file, "add", "a", "x", "web01")


def test_the_others_of_many_are_listed(chef: ChefServer, key_file: Path) -> None:
    chef.nodes = {f"web0{n}": node(f"web0{n}", normal={"a": "x"}) for n in range(1, 5)}
    for name in ("web02", "web03"):
        chef.nodes[name]["normal"]["push_jobs"] = None
    said = in_process.run(key_file, "whitelist", "list")
    assert said.stdout == "a\tx\t\tnot reported, unsigned\tweb[01,04]\n"
    assert said.stderr == (
        "web[02-03]: normal.push_jobs is null, not an object: see `knife node edit`\n"
    )


def test_in_a_batch_it_is_said_what_is_done(chef: ChefServer, key_file: Path) -> None:
    chef.nodes = {f"web0{n}": node(f"web0{n}") for n in range(1, 5)}
    chef.nodes["web03"]["normal"]["push_jobs"] = "x"
    with pytest.raises(PushcliError) as caught:
        run(key_file, "add", "a", "x", *chef.nodes)
    assert str(caught.value) == (
        "web03: normal.push_jobs is text, not an object: see `knife node edit`; "
        "done: web[01-02]; not done: web[03-04]"
    )
    assert chef.puts == ["web01", "web02"]


def test_a_node_that_is_copied_to_itself_is_signed(chef: ChefServer, key_file: Path) -> None:
    chef.nodes = {name: node(name, normal={"a": "x"}) for name in ("web01", "web02")}
    said = in_process.run(key_file, "whitelist", "copy", "--from", "web01", "web01", "web02")
    assert (said.status, chef.puts) == (ExitStatus.OK, ["web01", "web02"])
    assert said.stderr == "web01 is copied to itself: its entries get your signature\n"
    assert as_bob(key_file, "list").stdout == "a\tx\t\tnot reported\tweb[01-02]\n"
    said = in_process.run(key_file, "whitelist", "copy", "--from", "web01", "web02")
    assert said.stderr == ""
