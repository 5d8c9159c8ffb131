"""Whitelists on a Chef Infra Server, in the form in which it answers."""

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pushcli import keys
from pushcli.errors import (
    NotFound,
    NotOffered,
    PushcliError,
    RequestRefused,
    ServerError,
    UsageError,
)
from pushcli.exit_status import ExitStatus
from pushcli.whitelist.statements import Record, holds, public_numbers
from tests.integration.cli.chef_nodes import ChefServer, node, run
from tests.integration.cli.played_server import playing


@pytest.fixture
def chef() -> Iterator[ChefServer]:
    server = ChefServer()
    with playing(server.answer):
        yield server


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_an_entry_is_written_and_signed_and_the_rest_of_the_node_stays(
    chef: ChefServer, key_file: Path
) -> None:
    chef.nodes = {"web01": node("web01", normal={"old": "o"}), "web02": node("web02")}
    before = json.loads(json.dumps(chef.nodes["web02"]))
    status, out = run(key_file, "add", "ntp", "ntpdate -u time", "web01", "web02", "--lock")
    assert status == ExitStatus.OK
    assert out == "written to 2 nodes; chef-client brings it to the agents\n"
    value = {"command_line": "ntpdate -u time", "lock": True}
    assert chef.whitelist("web01") == {"old": "o", "ntp": value}
    assert chef.whitelist("web02") == {"ntp": value}
    key = public_numbers(keys.load_private_key(key_file))
    for name in chef.nodes:
        record = msgspec.convert(chef.record(name, "ntp"), Record)
        assert record.signer == "ann"
        assert holds(record, key, org="acme", node=name, name="ntp", value=value)
    del chef.nodes["web02"]["normal"]["push_jobs"]
    assert chef.nodes["web02"] == before


def test_a_removal_leaves_a_signed_record(chef: ChefServer, key_file: Path) -> None:
    chef.nodes = {"web01": node("web01", normal={"a": "x", "b": "y"})}
    run(key_file, "add", "a", "z", "web01")
    added = chef.record("web01", "a")["version"]
    status, _ = run(key_file, "remove", "a", "web01")
    assert status == ExitStatus.OK
    assert chef.whitelist("web01") == {"b": "y"}
    record = msgspec.convert(chef.record("web01", "a"), Record)
    assert record.removed
    assert record.version > added
    key = public_numbers(keys.load_private_key(key_file))
    assert holds(record, key, org="acme", node="web01", name="a", value=None)


def test_a_version_is_above_one_of_a_clock_that_is_ahead(chef: ChefServer, key_file: Path) -> None:
    chef.nodes = {"web01": node("web01")}
    run(key_file, "add", "a", "x", "web01")
    ahead = chef.record("web01", "a")["version"] + 60_000_000
    chef.record("web01", "a")["version"] = ahead
    run(key_file, "add", "a", "y", "web01")
    assert chef.record("web01", "a")["version"] == ahead + 1


def test_a_version_of_the_far_future_is_void_and_not_exceeded(
    chef: ChefServer, key_file: Path
) -> None:
    chef.nodes = {"web01": node("web01")}
    run(key_file, "add", "a", "x", "web01")
    chef.record("web01", "a")["version"] = 2**60
    run(key_file, "add", "a", "y", "web01")
    assert chef.record("web01", "a")["version"] < 2**60


def test_a_search_is_read_to_its_end(chef: ChefServer, key_file: Path) -> None:
    chef.nodes = {f"web{n}": node(f"web{n}") for n in range(5)}
    run(key_file, "add", "a", "x", "-s", "name:*")
    assert chef.puts == sorted(chef.nodes)
    with pytest.raises(NotFound, match="no node matches"):
        run(key_file, "add", "a", "x", "-s", "name:nosuch")


def test_an_unknown_node_is_found_before_anything_is_done(chef: ChefServer, key_file: Path) -> None:
    chef.nodes = {"web01": node("web01")}
    with pytest.raises(NotFound, match="no such node: nosuch, other"):
        run(key_file, "add", "a", "x", "web01", "nosuch", "other")
    assert chef.puts == []


def test_a_failure_names_the_node_and_what_is_done(chef: ChefServer, key_file: Path) -> None:
    chef.nodes = {f"web0{n}": node(f"web0{n}") for n in range(1, 6)}
    chef.broken = {"web04"}
    with pytest.raises(PushcliError) as caught:
        run(key_file, "add", "a", "x", *chef.nodes)
    assert str(caught.value).startswith("web04: missing update permission")
    assert "done: web[01-03]; not done: web[04-05]" in str(caught.value)


@pytest.mark.parametrize("level", ["override", "automatic"])
def test_a_name_at_a_level_that_wins_is_an_error_that_names_it(
    chef: ChefServer, key_file: Path, level: str
) -> None:
    chef.nodes = {"web01": node("web01", **{level: {"a": "x"}})}
    for arguments in (("add", "a", "y"), ("remove", "a")):
        with pytest.raises(RequestRefused, match=f"'a' is set at the level {level}"):
            run(key_file, *arguments, "web01")
    assert chef.puts == []


def test_a_default_can_be_overridden_but_not_removed(chef: ChefServer, key_file: Path) -> None:
    chef.nodes = {"web01": node("web01", default={"a": "x"})}
    with pytest.raises(RequestRefused, match="level default"):
        run(key_file, "remove", "a", "web01")
    run(key_file, "add", "a", "y", "web01")
    assert chef.whitelist("web01") == {"a": "y"}


def test_the_list_folds_equal_entries_and_marks_unsigned_ones(
    chef: ChefServer, key_file: Path
) -> None:
    chef.nodes = {f"web0{n}": node(f"web0{n}", normal={"a": "x"}) for n in range(1, 4)}
    chef.nodes["web02"] = node("web02", normal={"a": "other"}, override={"b": ["l", "s"]})
    _, out = run(key_file, "list")
    assert [line.split("\t") for line in out.splitlines()] == [
        ["a", "x", "", "not reported, unsigned", "web[01,03]"],
        ["a", "other", "", "not reported, unsigned", "web02"],
        ["b", '["l", "s"]', "", "not reported, unsigned, set at override", "web02"],
    ]
    _, shown = run(key_file, "list", "web02", "-F", "json")
    assert json.loads(shown)[0]["entries"][1]["level"] == "override"


def test_nodes_are_compared(chef: ChefServer, key_file: Path) -> None:
    chef.nodes = {"a": node("a", normal={"x": "1", "s": "s"}), "b": node("b", normal={"s": "s"})}
    assert run(key_file, "diff", "a", "b") == (ExitStatus.DIFFERENT, '--- a\n+++ b\n-x = "1"\n')
    assert run(key_file, "diff", "a", "a") == (ExitStatus.OK, "")


def test_a_node_is_compared_with_a_file(chef: ChefServer, key_file: Path, tmp_path: Path) -> None:
    chef.nodes = {"a": node("a", normal={"x": "1"})}
    file = tmp_path / "agent.toml"
    file.write_text('[whitelist]\nx = "2"\n')
    status, out = run(key_file, "diff", "a", "--local", str(file), "-F", "json")
    assert status == ExitStatus.DIFFERENT
    assert json.loads(out)["right"] == {"of": str(file), "entries": {"x": "2"}}


def test_entries_are_copied_and_signed_for_the_target(
    chef: ChefServer, key_file: Path, tmp_path: Path
) -> None:
    chef.nodes = {"a": node("a", normal={"x": "1"}, default={"y": "2"}), "b": node("b")}
    run(key_file, "copy", "--from", "a", "b")
    assert chef.whitelist("b") == {"x": "1", "y": "2"}
    key = public_numbers(keys.load_private_key(key_file))
    record = msgspec.convert(chef.record("b", "x"), Record)
    assert holds(record, key, org="acme", node="b", name="x", value="1")
    file = tmp_path / "agent.toml"
    file.write_text("# mine\n")
    run(key_file, "copy", "--from", "a", "--local", str(file))
    assert file.read_text() == '# mine\n\n[whitelist]\ny = "2"\nx = "1"\n'
    chef.nodes["c"] = node("c")
    run(key_file, "copy", "--local", str(file), "c")
    assert chef.whitelist("c") == {"x": "1", "y": "2"}
    with pytest.raises(UsageError, match="no source"):
        run(key_file, "copy", "c")


def test_edit_writes_what_changed_in_the_editor(
    chef: ChefServer, key_file: Path, tmp_path: Path
) -> None:
    chef.nodes = {"a": node("a", normal={"x": "1", "y": "2"}, override={"z": "3"})}
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i -e \'/^x =/d\' -e \'s/"2"/["4"]/\' "$1"\ncp $1 $1.seen\n')
    editor.chmod(0o755)
    status, out = run(key_file, "edit", "a", "-y", VISUAL=str(editor))
    assert status == ExitStatus.OK
    assert chef.whitelist("a") == {"y": ["4"]}
    assert chef.record("a", "x")["removed"] is True
    assert '-x = "1"\n-y = "2"\n+y = ["4"]\n' in out


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(
    chef: ChefServer, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    chef.nodes = {"a": node("a", normal={"x": "1"})}
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/"1"/"mine"/\' "$1"\n')
    editor.chmod(0o755)
    read = chef._handle

    def changing(request: Any) -> tuple[int, Any]:
        answer = read(request)
        if request.method == "GET" and answer[0] == 200:
            answer = 200, json.loads(json.dumps(answer[1]))
            chef.whitelist("a")["x"] = "theirs"
        return answer

    chef._handle = changing  # type: ignore[method-assign]
    with pytest.raises(RequestRefused, match=r"changed by somebody else.*kept in"):
        run(key_file, "edit", "a", "-y", VISUAL=str(editor))
    assert chef.whitelist("a") == {"x": "theirs"}


def test_a_bar_moves_on_a_terminal_only(chef: ChefServer, key_file: Path) -> None:
    chef.nodes = {f"web{n}": node(f"web{n}") for n in range(4)}
    screen, lines = Terminal(), io.StringIO()
    run(key_file, "add", "a", "x", *chef.nodes, stderr=screen)
    assert "4/4" in screen.getvalue()
    run(key_file, "add", "a", "y", *chef.nodes, stderr=lines)
    assert lines.getvalue() == ""


@pytest.mark.parametrize(
    "arguments", [("test", "a", "x"), ("editors", "list"), ("editors", "remove", "bob")]
)
def test_what_it_cannot_do_is_said(
    chef: ChefServer, key_file: Path, arguments: tuple[str, ...]
) -> None:
    chef.nodes = {"a": node("a")}
    refused = "not offered by a Chef Infra Server: only a pushcli server can"
    with pytest.raises(NotOffered, match=refused):
        run(key_file, *arguments)


def test_attributes_that_are_no_whitelist_are_none(chef: ChefServer, key_file: Path) -> None:
    chef.nodes = {"a": node("a") | {"default": {"push_jobs": "x"}, "override": None}}
    assert run(key_file, "list", "a") == (None, "")
    chef.nodes["a"]["name"] = "b"
    with pytest.raises(ServerError, match="is not a node"):
        run(key_file, "list", "a")


def test_nodes_must_be_given(key_file: Path) -> None:
    with pytest.raises(UsageError, match="no nodes"):
        run(key_file, "add", "a", "x")
    with pytest.raises(UsageError, match="invalid node name"):
        run(key_file, "add", "a", "x", "web/01")
