"""What `pushcli whitelist` asks the real server for, and what it makes of the answers."""

import asyncio
import io
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pushcli import keys
from pushcli.cli import root
from pushcli.errors import AuthenticationError, NotFound, Outdated, RequestRefused
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import ADMIN, ORG, Sandbox
from pushcli.terminal.context import App
from pushcli.whitelist import statements
from pushcli.whitelist.chain import Statement
from pushcli.whitelist.statements import Change, public_numbers
from pushcli.whitelist.workstation.our_server import MAX_BODY
from pushcli_server import settings
from pushcli_server.store import Store, operations
from pushcli_server.store.records import NodeObject
from tests.integration.cli.responder import Responder, json_answer
from tests.support import key_files
from tests.support.between import Between, Reply, Request, between
from tests.support.fleet import Fleet

pytestmark = pytest.mark.timeout(60)
"""The first test starts the server."""
MANY = [f"web{n:03d}" for n in range(1000)]
LONG = [f"{'n' * 245}{n}" for n in range(4000)]
READ = [f"{'r' * 100}{n:03d}" for n in range(300)]
FEW = ["a", "b", "c", "d", "e", "f", "g", "h"]
SET = NodeObject(
    org=ORG, name="set", override=json.dumps({"push_jobs": {"whitelist": {"x": "theirs"}}})
)
"""Somebody has set an entry of this node where it cannot be edited."""


async def fill(fleet: Sandbox) -> None:
    place = fleet.server_directory
    store = Store.open(settings.load(place).database(place), place / "blobs")
    store.start(asyncio.get_running_loop(), lambda _: None)
    nodes = [SET, *(NodeObject(org=ORG, name=name) for name in (*MANY, *LONG, *READ, *FEW))]
    await store.write(*(operations.PutNode(node=node, create=True) for node in nodes))
    await store.close()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A server that knows many nodes, none of them connected."""
    fleet = Fleet(tmp_path_factory.mktemp("server"), [])
    try:
        fleet.make_server()
        asyncio.run(fill(fleet))
        fleet.start_server()
        yield fleet
    finally:
        fleet.stop()


@pytest.fixture
def way(fleet: Sandbox) -> Iterator[Between]:
    """The way to that server."""
    with between(fleet.url) as way:
        yield way


@pytest.fixture
def operator(fleet: Sandbox) -> Path:
    """The key of the organization's administrator."""
    return Path(fleet.profile.client_key)


def run(url: str, key: Path, *arguments: str, **env: str) -> tuple[Any, str]:
    """`pushcli whitelist ARGUMENTS` in this process: what it gave back and printed."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    home = {"PUSHCLI_SERVER_URL": url, "PUSHCLI_USER": ADMIN, "PUSHCLI_KEY": str(key)}
    app = App(stdout=out, stderr=io.StringIO(), stdin=None, env={**home, **env})
    with root.make_context("pushcli", ["whitelist", *arguments], obj=app) as context:
        try:
            status = root.invoke(context)
        finally:
            app.client.close()
    assert isinstance(out.buffer, io.BytesIO)
    return status, out.buffer.getvalue().decode()


def edits(way: Between) -> list[dict[str, Any]]:
    """The bodies of the requests that edit whitelists."""
    return [json.loads(r.body) for r in way.requests if r.method == "POST"]


def entries(fleet: Sandbox, node: str) -> dict[str, Any]:
    """What the server has for a node."""
    return {e["name"]: e["value"] for e in fleet.api.get(f"pushy/whitelist/{node}")["entries"]}


def somebody_else(fleet: Sandbox, version: int, node: str) -> None:
    """Another edit of this node's entry x, of a version in the future."""
    signed = statements.sign(
        key_files.read(Path(fleet.profile.client_key)), org=ORG, nodes=[node],
        changes=[Change("x", "theirs")], version=version, signer=ADMIN,
    )  # fmt: skip
    said = [{"name": "x", "value": "theirs"}]
    body = {"nodes": [node], "changes": said, **msgspec.to_builtins(signed)}
    fleet.api.post("pushy/whitelist", body)


def test_all_nodes_go_in_one_request(fleet: Sandbox, way: Between, operator: Path) -> None:
    status, out = run(way.url, operator, "add", "a", "x", *MANY)
    assert status == ExitStatus.OK
    assert out.startswith("in force on 0 of 1000 nodes; 1000 not connected")
    [edit] = edits(way)
    assert edit["nodes"] == MANY
    assert edit["changes"] == [{"name": "a", "value": "x"}]
    assert entries(fleet, MANY[0]) == entries(fleet, MANY[-1]) == {"a": "x"}


def test_what_is_too_large_for_one_request_goes_in_several(
    fleet: Sandbox, way: Between, operator: Path
) -> None:
    _, out = run(way.url, operator, "add", "large", "x", *LONG)
    assert out.startswith("in force on 0 of 4000 nodes; 4000 not connected")
    assert len(edits(way)) == 2
    assert all(len(request.body) <= MAX_BODY for request in way.requests)
    assert [node for edit in edits(way) for node in edit["nodes"]] == LONG
    for node in (LONG[0], LONG[-1]):
        assert entries(fleet, node) == {"large": "x"}


def test_a_version_that_is_too_low_is_raised_once(
    fleet: Sandbox, way: Between, operator: Path
) -> None:
    future = statements.next_version(time.time()) + 200_000_000
    somebody_else(fleet, future, "a")
    run(way.url, operator, "add", "x", "1", "a")
    assert [edit["version"] > future for edit in edits(way)] == [False, True]
    assert entries(fleet, "a") == {"x": "1"}


def always_faster(fleet: Sandbox, node: str) -> Any:
    """Somebody edits the node before each of our edits arrives."""
    future = [statements.next_version(time.time()) + 100_000_000]

    def interfere(request: Request) -> Reply | None:
        if request.method == "POST":
            future[0] += 10_000_000
            somebody_else(fleet, future[0], node)
        return None

    return interfere


def test_it_is_not_raised_again_and_again(fleet: Sandbox, way: Between, operator: Path) -> None:
    way.interfere = always_faster(fleet, "b")
    with pytest.raises(Outdated):
        run(way.url, operator, "add", "x", "1", "b")
    assert len(edits(way)) == 2
    assert entries(fleet, "b") == {"x": "theirs"}


def test_what_the_server_refuses_is_kept(
    fleet: Sandbox, way: Between, operator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    run(way.url, operator, "add", "x", "1", "c")
    way.interfere = always_faster(fleet, "c")
    with pytest.raises(Outdated, match="what you typed is kept in"):
        run(way.url, operator, "edit", "c", "-y", EDITOR=editor(tmp_path, 's/"1"/"2"/'))
    [draft] = tmp_path.glob("pushcli-*/c.toml")
    assert 'x = "2"' in draft.read_text()
    assert entries(fleet, "c") == {"x": "theirs"}


def editor(place: Path, script: str, more: str = "") -> str:
    """A program that edits a file with sed."""
    file = place / "editor"
    file.write_text(f'#!/bin/sh\nsed -i -e {script} "$1"\n{more}\n')
    file.chmod(0o755)
    return str(file)


def test_a_removal_is_asked_of_those_that_have_the_entry(
    fleet: Sandbox, way: Between, operator: Path
) -> None:
    run(way.url, operator, "add", "gone", "1", "d", "f")
    run(way.url, operator, "remove", "gone", "d", "e", "f")
    edit = edits(way)[-1]
    assert (edit["nodes"], edit["changes"]) == (["d", "f"], [{"name": "gone", "removed": True}])
    assert entries(fleet, "d") == {}
    with pytest.raises(NotFound, match=r"no entry 'nosuch' on \S+ "):
        run(way.url, operator, "remove", "nosuch", "d", "e")


def test_many_names_are_read_in_several_requests(way: Between, operator: Path) -> None:
    run(way.url, operator, "add", "x", "1", *READ)
    way.requests.clear()
    _, out = run(way.url, operator, "list", *READ)
    assert out == f"x\t1\t\tnot reported\t{'r' * 100}[000-299]\n"
    assert len(way.requests) > 1


def test_editing_sends_only_what_changed(
    fleet: Sandbox, way: Between, operator: Path, tmp_path: Path
) -> None:
    for name, value in (("x", "1"), ("y", "2"), ("z", "3")):
        run(way.url, operator, "add", name, value, "g")
    program = editor(tmp_path, "/^x/d -e s/3/4/", 'echo \'n = ["5"]\' >> "$1"')
    run(way.url, operator, "edit", "g", "-y", EDITOR=program)
    assert edits(way)[-1]["changes"] == [
        {"name": "x", "removed": True}, {"name": "z", "value": "4"}, {"name": "n", "value": ["5"]},
    ]  # fmt: skip
    assert entries(fleet, "g") == {"y": "2", "z": "4", "n": ["5"]}


def test_editors_are_vouched_for_and_taken_back(
    way: Between, operator: Path, tmp_path: Path
) -> None:
    key = keys.generate()
    file = tmp_path / "bob.pem"
    file.write_text(keys.public_pem(key))
    _, out = run(way.url, operator, "editors", "add", "bob", str(file))
    fingerprint = public_numbers(key).fingerprint
    assert out == f"bob ({fingerprint}) is now an editor: signed by {ADMIN}\n"
    _, out = run(way.url, operator, "editors", "list")
    assert out.split("\t")[:4] == ["bob", fingerprint, "vouched for", ADMIN]
    run(way.url, operator, "editors", "remove", "bob")
    said = [Statement(edit["statement"]) for edit in edits(way)]
    assert [one.action for one in said] == ["add", "remove"]
    assert said[1].content.version > said[0].content.version
    ours = public_numbers(key_files.read(operator))
    assert all(one.is_signed_by(ours) for one in said)
    # Beside it in the form of agents that know no other.
    old = [Statement(edit["old"]) for edit in edits(way)]
    assert [one.action for one in old] == ["add", "remove"]
    assert all(one.is_old and one.is_signed_by(ours) for one in old)
    with pytest.raises(NotFound, match="carl"):
        run(way.url, operator, "editors", "remove", "carl")


def test_a_refusal_of_our_server_is_not_taken_for_a_chef_servers(
    way: Between, operator: Path, key_file: Path
) -> None:
    with pytest.raises(NotFound, match="no such node: nosuch"):
        run(way.url, operator, "show", "nosuch", "x")
    with pytest.raises(AuthenticationError):
        run(way.url, key_file, "list", "h")
    with pytest.raises(RequestRefused, match="'x' is set at the level override of node set"):
        run(way.url, operator, "add", "x", "y", "set")


# --- a server that is not ours: hostile, or with other bounds


OUTCOME = {"nodes": 3, "connected": 3, "in_force": 1}


def test_a_server_that_takes_more_entries_than_ours_gets_them_in_several_requests(
    responder: Responder, key_file: Path, tmp_path: Path
) -> None:
    file, names = tmp_path / "agent.toml", [f"w{n}" for n in range(20)]
    lines = [f'e{n} = "{"x" * 15_000}"' for n in range(70)]
    file.write_text("\n".join(["[whitelist]", *lines]) + "\n")
    responder.say("POST", "whitelist", json_answer({**OUTCOME, "connected": 20, "in_force": 20}))
    run(responder.url, key_file, "copy", "--local", str(file), *names)
    bodies = [body for method, _, body in responder.requests if method == "POST"]
    assert len(bodies) == 3
    assert all(len(body) <= MAX_BODY for body in bodies)
    said = [json.loads(body) for body in bodies]
    sent = [(node, c["name"]) for one in said for node in one["nodes"] for c in one["changes"]]
    assert len(sent) == len(set(sent)) == 20 * 70


def test_where_it_is_not_in_force_is_told_with_the_reason(
    responder: Responder, key_file: Path
) -> None:
    no_editor = "signed by ann with SHA256:A, which is not an editor's key on this node"
    why = {"a1": "ann is no editor", "a2": "\x1b[2J", "a3": no_editor}
    responder.say("POST", "whitelist", json_answer({**OUTCOME, "not_in_force": why}))
    add = ("add", "a", "x", "a1", "a2", "a3")
    status, out = run(responder.url, key_file, *add)
    assert status == ExitStatus.NOT_IN_FORCE
    assert out.splitlines() == [
        "in force on 1 of 3 nodes",
        "  not in force on a1: ann is no editor",
        r"  not in force on a2: \x1b[2J",
        f"  not in force on a3: {no_editor}",
        "    pin the key there: pushcli agent editors add ann FILE",
    ]
    status, out = run(responder.url, key_file, *add, "-F", "json")
    assert status == ExitStatus.NOT_IN_FORCE
    assert json.loads(out)["not_in_force"]["a1"] == "ann is no editor"


@pytest.mark.parametrize(
    ("verdict", "status", "words"),
    [
        ({"state": "ready", "entry": "a", "source": "local", "runs": ["a", "b c"]},
         ExitStatus.OK, "web01 would run: a 'b c'\n  by the entry a (local)\n"),
        ({"state": "nacked", "reason": "\x1b[2J"},
         ExitStatus.WOULD_NOT_RUN, "web01 would run nothing (nacked): \\x1b[2J\n"),
        ({"state": "unknown"},
         ExitStatus.WOULD_NOT_RUN, "web01 would run nothing (unknown): no reason given\n"),
    ],
)  # fmt: skip
def test_what_a_node_would_run(
    responder: Responder, key_file: Path, verdict: Any, status: ExitStatus, words: str
) -> None:
    responder.say("POST", "checks", json_answer({"nodes": {"web01": verdict}}))
    assert run(responder.url, key_file, "test", "web01", "a b") == (status, words)
    _, out = run(responder.url, key_file, "test", "web01", "a b", "-F", "json")
    assert json.loads(out)["state"] == verdict["state"]
