"""What `pushcli whitelist` asks our server for, and what it makes of the answers."""

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from pushcli import keys
from pushcli.cli import root
from pushcli.errors import AuthenticationError, NotFound, Outdated, RequestRefused
from pushcli.exit_status import ExitStatus
from pushcli.terminal.context import App
from pushcli.whitelist.statements import (
    Change,
    Signed,
    editor_statement_holds,
    is_signed_by,
    public_numbers,
)
from pushcli.whitelist.statements import EditorStatement as Statement
from pushcli.whitelist.workstation.our_server import MAX_BODY
from tests.integration.cli.played_server import URL, Reply, Request, playing

HEADERS = {"X-Pushcli-Extensions": "abort,checks,whitelist"}


class Server:
    """Takes signed edits, and says what the test wants."""

    def __init__(self, key_file: Path) -> None:
        self.key = public_numbers(keys.load_private_key(key_file))
        self.whitelists: dict[str, Any] = {}
        self.edits: list[Any] = []
        self.statements: list[Any] = []
        self.outdated: list[int] = []
        self.outcome: dict[str, Any] = {}
        self.offline: set[str] = set()
        self.verdict: dict[str, Any] = {}

    def answer(self, request: Request) -> Reply:
        status, body, *more = self._handle(
            request.method, request.path.removeprefix("/organizations/acme/"),
            parse_qs(request.query), json.loads(request.body or b"null"), len(request.body or b""),
        )  # fmt: skip
        return status, {**HEADERS, **(more[0] if more else {})}, json.dumps(body)

    def _handle(self, method: str, path: str, query: Any, body: Any, size: int) -> tuple[Any, ...]:
        match method, path:
            case "GET", "pushy/whitelist":
                missing = [name for name in query["node"] if name not in self.whitelists]
                if missing:
                    return 404, {"error": [f"no such node: {', '.join(missing)}"]}
                return 200, {"whitelists": [self.whitelists[name] for name in query["node"]]}
            case "POST", "pushy/whitelist":
                return self._edit(body, size)
            case "GET", "pushy/whitelist_editors":
                return 200, {"statements": self.statements}
            case "POST", "pushy/whitelist_editors":
                self.statements.append(body["statement"])
                return 200, body
            case "POST", "pushy/checks":
                return 200, {"nodes": dict.fromkeys(body["nodes"], self.verdict)}
            case "GET", "pushy/node_states":
                states = {True: "offline", False: "online"}
                return 200, [
                    {"node_name": n, "availability": "x", "status": states[n in self.offline]}
                    for n in self.whitelists
                ]
            case "GET", "nodes":
                return 200, {name: f"{URL}/nodes/{name}" for name in self.whitelists}
        return 404, {"error": ["nothing there"]}

    def _edit(self, body: Any, size: int) -> tuple[Any, ...]:
        assert size <= MAX_BODY
        if self.outdated and body["version"] <= self.outdated[0]:
            return 409, {"error": ["edited"]}, {"X-Pushcli-Version": str(self.outdated.pop(0))}
        signed = Signed(**{key: body[key] for key in ("signer", "key", "version", "signature")})
        changes = [Change(c["name"], c.get("value")) for c in body["changes"]]
        assert is_signed_by(self.key, signed, org="acme", nodes=body["nodes"], changes=changes)
        self.edits.append(body)
        number = len(body["nodes"])
        answer = {"nodes": number, "connected": number, "in_force": number, "not_in_force": {}}
        return 200, answer | self.outcome


@pytest.fixture
def server(key_file: Path) -> Iterator[Server]:
    server = Server(key_file)
    with playing(server.answer):
        yield server


def run(key: Path, *arguments: str, **env: str) -> tuple[Any, str]:
    """`pushcli whitelist ARGUMENTS` in this process: what it gave back and printed."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    home = {"PUSHCLI_SERVER_URL": URL, "PUSHCLI_USER": "ann", "PUSHCLI_KEY": str(key)}
    app = App(stdout=out, stderr=io.StringIO(), stdin=None, env={**home, **env})
    with root.make_context("pushcli", ["whitelist", *arguments], obj=app) as context:
        status = root.invoke(context)
    app.client.close()
    assert isinstance(out.buffer, io.BytesIO)
    return status, out.buffer.getvalue().decode()


def whitelist(node: str, **entries: Any) -> dict[str, Any]:
    fields = {"level": "normal", "signer": "ann", "version": 1}
    return {
        "node": node, "removed": {}, "in_force": None,
        "entries": [{"name": n, "value": v, **fields} for n, v in entries.items()],
    }  # fmt: skip


def test_all_nodes_go_in_one_request(server: Server, key_file: Path) -> None:
    names = [f"web{n:03d}" for n in range(1000)]
    status, out = run(key_file, "add", "a", "x", *names)
    assert (status, out) == (ExitStatus.OK, "in force on 1000 nodes\n")
    (edit,) = server.edits
    assert edit["nodes"] == names
    assert edit["changes"] == [{"name": "a", "value": "x"}]


@pytest.mark.parametrize(("entries", "nodes", "requests"), [(70, 20, 3), (1, 4000, 2)])
def test_what_is_too_large_for_one_request_goes_in_several(
    server: Server, key_file: Path, tmp_path: Path, entries: int, nodes: int, requests: int
) -> None:
    file = tmp_path / "agent.toml"
    lines = [f'e{n} = "{"x" * 15_000}"' for n in range(entries)]
    file.write_text("\n".join(["[whitelist]", *lines]) + "\n")
    names = [f"{'n' * 250}{n}" for n in range(nodes)]
    _, out = run(key_file, "copy", "--local", str(file), *names)
    assert len(server.edits) == requests
    sent = [(node, c["name"]) for e in server.edits for node in e["nodes"] for c in e["changes"]]
    assert len(sent) == len(set(sent)) == entries * nodes
    assert out == f"in force on {nodes} nodes\n"


def test_a_version_that_is_too_low_is_raised_once(server: Server, key_file: Path) -> None:
    server.outdated = [2**60]
    run(key_file, "add", "a", "x", "web01")
    assert server.edits[0]["version"] == 2**60 + 1
    server.outdated = [2**60, 2**61]
    with pytest.raises(Outdated):
        run(key_file, "add", "a", "x", "web01")


def test_nodes_that_are_away_are_named(server: Server, key_file: Path) -> None:
    names = [f"web{n:02d}" for n in range(1, 11)]
    server.whitelists = {name: whitelist(name) for name in names}
    server.offline = {"web07", "web09"}
    server.outcome = {"connected": 8, "in_force": 8}
    status, out = run(key_file, "add", "a", "x", *names)
    assert status == ExitStatus.OK
    assert out == "in force on 8 of 10 nodes; 2 not connected: web[07,09]\n"
    server.offline = {"web07"}
    _, out = run(key_file, "add", "a", "x", *names)
    assert out == "in force on 8 of 10 nodes; 2 not connected, or with an old agent\n"


def test_where_it_is_not_in_force_is_told_with_the_reason(server: Server, key_file: Path) -> None:
    server.outcome = {"in_force": 1, "not_in_force": {"a1": "ann is no editor", "a2": "\x1b[2J"}}
    status, out = run(key_file, "add", "a", "x", "a1", "a2", "a3")
    assert status == ExitStatus.NOT_IN_FORCE
    assert out.splitlines() == [
        "in force on 1 of 3 nodes",
        "  not in force on a1: ann is no editor",
        r"  not in force on a2: \x1b[2J",
    ]
    status, out = run(key_file, "add", "a", "x", "a1", "a2", "a3", "-F", "json")
    assert status == ExitStatus.NOT_IN_FORCE
    assert json.loads(out)["not_in_force"]["a1"] == "ann is no editor"


def test_a_removal_is_asked_of_those_that_have_the_entry(server: Server, key_file: Path) -> None:
    server.whitelists = {"a": whitelist("a", x="1"), "b": whitelist("b"), "c": whitelist("c", x=2)}
    run(key_file, "remove", "x", "a", "b", "c")
    assert (server.edits[0]["nodes"], server.edits[0]["changes"]) == (
        ["a", "c"], [{"name": "x", "removed": True}],
    )  # fmt: skip
    with pytest.raises(NotFound, match=r"no entry 'nosuch' on \S+ "):
        run(key_file, "remove", "nosuch", "a", "b")


def test_many_names_are_read_in_several_requests(server: Server, key_file: Path) -> None:
    names = [f"{'n' * 100}{n:03d}" for n in range(300)]
    server.whitelists = {name: whitelist(name, x="1") for name in names}
    _, out = run(key_file, "list", *names)
    assert out == f"x\t1\t\tnot reported\t{'n' * 100}[000-299]\n"
    assert run(key_file, "list")[1] == out


def test_editing_sends_only_what_changed(server: Server, key_file: Path, tmp_path: Path) -> None:
    server.whitelists = {"a": whitelist("a", x="1", y="2", z="3")}
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i -e /^x/d -e s/3/4/ "$1"; echo \'n = ["5"]\' >> "$1"\n')
    editor.chmod(0o755)
    run(key_file, "edit", "a", "-y", EDITOR=str(editor))
    assert server.edits[0]["changes"] == [
        {"name": "x", "removed": True}, {"name": "z", "value": "4"}, {"name": "n", "value": ["5"]},
    ]  # fmt: skip


def test_what_the_server_refuses_is_kept(
    server: Server, key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server.whitelists = {"a": whitelist("a", x="1")}
    server.outdated = [2**61, 2**61]
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/1/2/ "$1"\n')
    editor.chmod(0o755)
    server.outdated = [2**61 - 1, 2**61]
    with pytest.raises(Outdated, match="what you typed is kept in"):
        run(key_file, "edit", "a", "-y", EDITOR=str(editor))
    (draft,) = tmp_path.glob("pushcli-*/a.toml")
    assert 'x = "2"' in draft.read_text()


@pytest.mark.parametrize(
    ("verdict", "status", "words"),
    [
        ({"state": "ready", "entry": "/a (.)/", "source": "server", "runs": "a 'b'"},
         ExitStatus.OK, "web01 would run: a 'b'\n  by the entry /a (.)/ (server)\n"),
        ({"state": "ready", "entry": "a", "source": "local", "runs": ["a", "b c"]},
         ExitStatus.OK, "web01 would run: a 'b c'\n  by the entry a (local)\n"),
        ({"state": "ready", "entry": "/a (.)/", "source": "server",
          "runs": ["/bin/sh", "-c", 'b "${1}"', "sh", "it's"]}, ExitStatus.OK,
         "web01 would run: /bin/sh -c 'b \"${1}\"' sh 'it'\"'\"'s'\n"
         "  by the entry /a (.)/ (server)\n"),
        ({"state": "nacked", "reason": "only bob may"},
         ExitStatus.WOULD_NOT_RUN, "web01 would run nothing (nacked): only bob may\n"),
        ({"state": "unknown"},
         ExitStatus.WOULD_NOT_RUN, "web01 would run nothing (unknown): no reason given\n"),
    ],
)  # fmt: skip
def test_what_a_node_would_run(
    server: Server, key_file: Path, verdict: Any, status: int, words: str
) -> None:
    server.verdict = verdict
    assert run(key_file, "test", "web01", "a b") == (status, words)
    _, out = run(key_file, "test", "web01", "a b", "-F", "json")
    assert json.loads(out)["state"] == verdict["state"]


def test_editors_are_vouched_for_and_taken_back(
    server: Server, key_file: Path, tmp_path: Path
) -> None:
    key = keys.generate()
    file = tmp_path / "bob.pem"
    file.write_text(keys.public_pem(key))
    _, out = run(key_file, "editors", "add", "bob", str(file))
    fingerprint = public_numbers(key).fingerprint
    assert out == f"bob ({fingerprint}) is now an editor: signed by ann\n"
    _, out = run(key_file, "editors", "list")
    assert out.split("\t")[:4] == ["bob", fingerprint, "vouched for", "ann"]
    run(key_file, "editors", "remove", "bob")
    said = [Statement(**statement) for statement in server.statements]
    assert [one.removed for one in said] == [False, True]
    assert said[1].version > said[0].version
    assert all(editor_statement_holds(one, server.key) for one in said)
    with pytest.raises(NotFound, match="carl"):
        run(key_file, "editors", "remove", "carl")


def test_a_refusal_of_our_server_is_not_taken_for_a_chef_servers(
    server: Server, key_file: Path
) -> None:
    with pytest.raises(NotFound, match="no such node: a"):
        run(key_file, "show", "a", "x")
    server._handle = lambda *_: (401, {"error": ["who?"]})  # type: ignore[method-assign]
    with pytest.raises(AuthenticationError):
        run(key_file, "list", "a")
    server._handle = lambda *_: (409, {"error": ["'x' is set at override"]})  # type: ignore[method-assign]
    with pytest.raises(RequestRefused, match="set at override"):
        run(key_file, "add", "x", "y", "a")
