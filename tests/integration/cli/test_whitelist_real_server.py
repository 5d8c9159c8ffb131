"""`pushcli whitelist` against the real server and real agents."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from tests.integration.cli.program import Result, assert_one_line
from tests.support.fleet import Fleet
from tests.support.waiting import patient, until

pytestmark = pytest.mark.timeout(90)
"""The first test starts the fleet."""

NODES = ("web01", "web02")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A server with two agents; their own files allow `mine`."""
    directory = tmp_path_factory.mktemp("fleet")
    with Fleet(directory, NODES, whitelist={"mine": "echo mine"}) as running:
        yield running


def whitelist(fleet: Sandbox, *arguments: str) -> Result:
    done = fleet.cli("whitelist", *arguments, timeout=patient(30))
    return Result(done.returncode, done.stdout, done.stderr)


def rows(fleet: Sandbox, *arguments: str) -> list[list[str]]:
    result = whitelist(fleet, "list", *arguments)
    assert result.status == ExitStatus.OK, result
    return [line.split("\t") for line in result.stdout.splitlines()]


def test_an_entry_lives_from_add_to_remove(fleet: Sandbox) -> None:
    added = whitelist(fleet, "add", r"say (\w+)", r"echo \1", *NODES, "--pattern", "--lock")
    assert (added.status, added.stdout) == (ExitStatus.OK, "in force on 2 nodes\n"), added
    name = r"/say (\w+)/"
    assert rows(fleet, *NODES) == [
        [name, r"echo \1", "lock", "in force", "web[01-02]"],
        ["mine", "echo mine", "", "local", "web[01-02]"],
    ]
    tried = whitelist(fleet, "test", "web01", "say hello")
    assert (tried.status, tried.stdout) == (
        ExitStatus.OK,
        "web01 would run: /bin/sh -c 'echo \"${1}\"' sh hello\n"
        f"  by the entry {name} (server)\n",
    )  # fmt: skip
    assert whitelist(fleet, "test", "web01", "say a;b").status == ExitStatus.WOULD_NOT_RUN
    shown = json.loads(whitelist(fleet, "show", "web02", name, "-F", "json").stdout)
    assert (shown["state"], shown["entry"]["signer"]) == ("in force", "operator")
    removed = whitelist(fleet, "remove", r"say (\w+)", "--pattern", "web01")
    assert removed.stdout == "in force on 1 node\n"
    difference = whitelist(fleet, "diff", *NODES)
    assert difference.status == ExitStatus.DIFFERENT
    assert difference.stdout.startswith(f"--- web01\n+++ web02\n+'{name}' = ")
    assert whitelist(fleet, "copy", "--from", "web02", "web01").status == ExitStatus.OK
    assert whitelist(fleet, "diff", *NODES).status == ExitStatus.OK
    whitelist(fleet, "remove", name, *NODES)
    assert [row[0] for row in rows(fleet, *NODES)] == ["mine"]


def test_a_local_entry_wins_and_that_is_said(fleet: Sandbox) -> None:
    result = whitelist(fleet, "add", "mine", "echo theirs", "web01")
    assert result.status == ExitStatus.NOT_IN_FORCE
    why = "a local entry 'mine' wins: it is in the node's agent.toml"
    assert result.stdout == f"in force on 0 of 1 node\n  not in force on web01: {why}\n"
    states = {row[3] for row in rows(fleet, "web01")}
    assert states == {"hidden by the local entry", "local"}
    assert "echo mine" in whitelist(fleet, "test", "web01", "mine").stdout
    whitelist(fleet, "remove", "mine", "web01")
    again = whitelist(fleet, "remove", "mine", "web01")
    assert again.status == ExitStatus.NOT_FOUND
    assert "only the nodes themselves" in again.stderr
    assert "pushcli whitelist remove NAME --local agent.toml" in again.stderr


def test_a_node_that_is_away_is_named_and_gets_it_later(fleet: Sandbox) -> None:
    fleet.end_agent("web02")
    fleet.wait_available(["web02"], available=False)
    result = whitelist(fleet, "add", "later", "true", *NODES)
    assert (result.status, result.stdout) == (
        ExitStatus.OK, "in force on 1 of 2 nodes; 1 not connected: web02\n",
    )  # fmt: skip
    assert ["later", "true", "", "not yet in force", "web02"] in rows(fleet, *NODES)
    fleet.start_agent("web02")
    fleet.wait_available(["web02"])
    until(lambda: ["later", "true", "", "in force", "web[01-02]"] in rows(fleet, *NODES))


def test_many_nodes_are_edited_shown_and_tested_at_once(fleet: Sandbox, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho \'both = "echo both"\' >> "$1"\n')
    editor.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISUAL", str(editor))
        edited = whitelist(fleet, "edit", "web[01-02]", "-y")
    assert edited.status == ExitStatus.OK, edited
    assert "+++ web[01-02] edited\n" in edited.stdout
    assert edited.stdout.endswith("in force on 2 nodes\n")
    shown = whitelist(fleet, "show", "-a", "both").stdout
    assert re.sub(" +", " ", shown) == (
        "nodes: web[01-02] (2)\nname: both\nstate: in force\ncommand: echo both\n"
        "level: normal\nsigner: operator\n"
    )
    tested = whitelist(fleet, "test", "web*", "both")
    assert (tested.status, tested.stdout) == (
        ExitStatus.OK, "web[01-02] (2) would run: echo both\n  by the entry both (server)\n",
    )  # fmt: skip
    whitelist(fleet, "remove", "both", "web02")
    partly = whitelist(fleet, "test", "web*", "both", "-F", "json")
    assert partly.status == ExitStatus.WOULD_NOT_RUN
    assert [one["state"] for one in json.loads(partly.stdout)] == ["ready", "nacked"]
    absent = whitelist(fleet, "show", "web[01-02]", "both", "-F", "json")
    assert [one["node"] for one in json.loads(absent.stdout)] == ["web01"]
    assert absent.stderr == "web02: no entry 'both'\n"
    whitelist(fleet, "remove", "both", "web01")


def test_edit_goes_through_the_editor(fleet: Sandbox, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho \'edited = {command_line = ["true"]}\' >> "$1"\n')
    editor.chmod(0o755)
    before = fleet.environment
    assert "EDITOR" not in before or before["EDITOR"] != str(editor)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISUAL", str(editor))
        result = whitelist(fleet, "edit", "web01", "-y")
        differing = whitelist(fleet, "edit", *NODES, "-y")
    assert result.status == ExitStatus.OK, result
    assert differing.status == ExitStatus.USAGE
    assert "the whitelists of web01 and web02 are not the same" in differing.stderr
    assert '+edited = ["true"]\nin force on 1 node\n' in result.stdout
    assert "would run: true" in whitelist(fleet, "test", "web01", "edited").stdout


def test_a_search_names_the_nodes(fleet: Sandbox) -> None:
    result = whitelist(fleet, "add", "found", "true", "-s", "name:web*")
    assert (result.status, result.stdout) == (ExitStatus.OK, "in force on 2 nodes\n"), result
    assert ["found", "true", "", "in force", "web[01-02]"] in rows(fleet)
    assert ["found", "true", "", "in force", "web02"] in rows(fleet, "-s", "name:web02")
    nothing = whitelist(fleet, "add", "found", "true", "-s", "name:nosuch")
    assert_one_line(nothing, ExitStatus.NOT_FOUND, "no node matches 'name:nosuch'")
    assert whitelist(fleet, "remove", "found", "-s", "*:*").status == ExitStatus.OK


def test_editors_are_listed_after_they_were_vouched_for(fleet: Sandbox, key_file: Path) -> None:
    file = key_file.with_suffix(".pub")
    file.write_text(keys.public_pem(keys.load_private_key(key_file)))
    added = whitelist(fleet, "editors", "add", "bob", str(file))
    assert added.status == ExitStatus.OK, added
    listed = whitelist(fleet, "editors", "list").stdout.split("\t")
    assert (listed[0], listed[2], listed[3]) == ("bob", "vouched for", "operator")
    assert whitelist(fleet, "editors", "remove", "bob").status == ExitStatus.OK
    assert "\tremoved\t" in whitelist(fleet, "editors", "list").stdout


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (["add", "x", "y", "web01", "ghost"], ExitStatus.NOT_FOUND, "ghost"),
        (["list", "ghost"], ExitStatus.NOT_FOUND, "ghost"),
        (["show", "web01", "nosuch"], ExitStatus.NOT_FOUND, "nosuch"),
        (["remove", "nosuch", "web01"], ExitStatus.NOT_FOUND, "nosuch"),
        (["copy", "--from", "ghost", "web01"], ExitStatus.NOT_FOUND, "ghost"),
        (["editors", "remove", "nosuch"], ExitStatus.NOT_FOUND, "nosuch"),
        (["add", "x", "y"], ExitStatus.USAGE, "no nodes"),
    ],
)
def test_mistakes_are_one_line(
    fleet: Sandbox, arguments: list[str], status: int, word: str
) -> None:
    assert_one_line(whitelist(fleet, *arguments), status, word)


def test_a_node_that_never_was_would_run_nothing(fleet: Sandbox) -> None:
    assert whitelist(fleet, "test", "ghost", "x").status == ExitStatus.WOULD_NOT_RUN
