"""Identities, nodes and search on a Chef Infra Server, which has no extension of ours."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from pushcli import keys
from pushcli.errors import (
    Conflict,
    KeyFileError,
    NotFound,
    PermissionDenied,
    ServerError,
    ServerUnreachable,
    UsageError,
)
from tests.integration.cli.in_process import OLD_SERVER, run
from tests.integration.cli.played_server import ROOT, URL, Play, Reply, Request, playing


class Chef:
    """Says what a test tells it to, and remembers the requests."""

    def __init__(self) -> None:
        self.calls: list[Request] = []
        self.plays: dict[tuple[str, str], Play] = {}

    def answer(self, request: Request) -> Reply | None:
        self.calls.append(request)
        return self.plays[request.method, request.path](request)


@pytest.fixture
def chef() -> Iterator[Chef]:
    chef = Chef()
    with playing(chef.answer):
        yield chef


def play(chef: Chef, method: str, path: str, answer: Play) -> None:
    """Answers below the organization, or outside for a path with a leading slash."""
    whole = path if path.startswith("/") else f"/organizations/acme/{path}"
    chef.plays[method, whole] = answer


def say(chef: Chef, method: str, path: str, value: object, status: int = 200) -> None:
    """The same answer each time."""
    play(chef, method, path, lambda _: (status, OLD_SERVER, json.dumps(value)))


def sent(chef: Chef, number: int = -1) -> Any:
    """The body of a request."""
    return json.loads(chef.calls[number].body)


def test_members_are_added_by_writing_the_whole_group(chef: Chef, key_file: Path) -> None:
    group = {
        "actors": ["pivotal", "bob", "web01"], "users": ["pivotal", "bob"], "clients": ["web01"],
        "groups": ["billing"], "orgname": "acme", "name": "ops", "groupname": "ops",
    }  # fmt: skip
    say(chef, "GET", "groups/ops", group)
    say(chef, "PUT", "groups/ops", group)
    run(key_file, "group", "add", "ops", "--user", "ann", "--user", "bob", "--group", "admins")
    assert sent(chef, 1) == {
        "groupname": "ops",
        "actors": {
            "users": ["ann", "bob", "pivotal"], "clients": ["web01"],
            "groups": ["admins", "billing"],
        },
    }  # fmt: skip


def test_members_are_removed_all_or_none(chef: Chef, key_file: Path) -> None:
    group = {"users": ["ann", "bob"], "clients": ["web01"], "groups": [], "name": "ops"}
    say(chef, "GET", "groups/ops", group)
    say(chef, "PUT", "groups/ops", {})
    with pytest.raises(NotFound, match="not in the group ops: carl, web02"):
        run(key_file, "group", "remove", "ops", "--user", "bob", "--user", "carl",
            "--client", "web02")  # fmt: skip
    assert {call.method for call in chef.calls} == {"GET"}
    run(key_file, "group", "remove", "ops", "--user", "bob", "--client", "web01")
    body = next(sent(chef, n) for n, c in enumerate(chef.calls) if c.method == "PUT")
    assert body["actors"] == {"users": ["ann"], "clients": [], "groups": []}


def test_a_group_without_members_to_add_is_no_command(key_file: Path) -> None:
    with pytest.raises(UsageError, match="no members"):
        run(key_file, "group", "add", "ops")


def test_lists_are_names(chef: Chef, key_file: Path) -> None:
    say(chef, "GET", "clients", {"web02": f"{URL}/clients/web02", "web01": ""})
    say(chef, "GET", "users", [{"user": {"username": "bob"}}, {"user": {"username": "ann"}}])
    say(chef, "GET", "/users", {"pivotal": "", "ann": ""})
    assert run(key_file, "client", "list").stdout == "web01\nweb02\n"
    assert run(key_file, "user", "list").stdout == "ann\nbob\n"
    listed = run(key_file, "user", "list", "--all", "-F", "json").stdout
    assert json.loads(listed) == ["ann", "pivotal"]


def test_a_user_who_is_elsewhere_is_shown_to_those_who_may_look(chef: Chef, key_file: Path) -> None:
    pem = keys.public_pem(keys.load_private_key(key_file))
    say(chef, "GET", "users/bob", {"error": ["Cannot find a user bob in organization acme"]}, 404)
    say(chef, "GET", "/users/bob", {"username": "bob", "email": "b@x\x1b[2J", "public_key": pem})
    shown = run(key_file, "user", "show", "bob")
    assert "SHA256:" in shown.stdout
    assert r"b@x\x1b[2J" in shown.stdout
    assert "does not belong to this organization" in shown.stderr
    say(chef, "GET", "users/carl", {"error": ["Cannot find a user carl"]}, 404)
    say(chef, "GET", "/users/carl", {"error": ["missing read permission"]}, 403)
    with pytest.raises(NotFound, match="carl"):
        run(key_file, "user", "show", "carl")


def test_a_client_is_created_with_a_key_made_here(
    chef: Chef, key_file: Path, tmp_path: Path
) -> None:
    say(chef, "POST", "clients", {"uri": f"{URL}/clients/web01"}, 201)
    file = tmp_path / "web.pem"
    shown = run(key_file, "client", "create", "web01", "--key-file", str(file), "--validator",
                "-F", "json")  # fmt: skip
    pem = keys.public_pem(keys.load_private_key(file))
    assert sent(chef) == {"name": "web01", "public_key": pem, "validator": True}
    assert json.loads(shown.stdout)["key_file"] == str(file)
    assert file.stat().st_mode & 0o777 == 0o600


REFUSALS = [(409, Conflict), (403, PermissionDenied), (500, ServerError)]


@pytest.mark.parametrize(("status", "error"), REFUSALS)
def test_a_refused_client_leaves_no_key(
    chef: Chef, key_file: Path, tmp_path: Path, status: int,
    error: type[Exception],
) -> None:  # fmt: skip
    say(chef, "POST", "clients", {"error": ["no"]}, status)
    with pytest.raises(error):
        run(key_file, "client", "create", "web01", "--key-file", str(tmp_path / "k"))
    assert list(tmp_path.iterdir()) == []


def test_the_key_stays_where_nobody_knows_whether_it_was_taken(
    chef: Chef, key_file: Path, tmp_path: Path
) -> None:
    play(chef, "POST", "clients", lambda _: None)
    with pytest.raises(ServerUnreachable, match="may have registered the new key"):
        run(key_file, "client", "create", "web01", "--key-file", str(tmp_path / "k"))
    assert [path.name for path in tmp_path.iterdir()] == ["k"]


def test_a_file_is_never_overwritten(key_file: Path, tmp_path: Path) -> None:
    (tmp_path / "k").write_text("mine")
    with pytest.raises(KeyFileError, match="already exists"):
        run(key_file, "client", "create", "web01", "--key-file", str(tmp_path / "k"))
    assert (tmp_path / "k").read_text() == "mine"


def test_a_user_who_could_not_be_associated_keeps_the_key(
    chef: Chef, key_file: Path, tmp_path: Path
) -> None:
    say(chef, "POST", "/users", {"uri": f"{ROOT}/users/bob"}, 201)
    say(chef, "POST", "users", {"error": ["missing create permission"]}, 403)
    file = tmp_path / "bob.pem"
    with pytest.raises(PermissionDenied, match=r"bob was created.*is in no organization.*user add"):
        run(key_file, "user", "create", "bob", "--key-file", str(file))
    assert file.exists()


def test_deleting_asks_and_without_a_terminal_refuses(chef: Chef, key_file: Path) -> None:
    for command in (
        ("user", "delete", "bob"), ("user", "remove", "bob"), ("client", "delete", "web01"),
        ("group", "delete", "ops"), ("user", "key", "delete", "bob", "old"),
        ("client", "key", "delete", "web01", "old"), ("node", "token", "delete", "7Qm3"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match="no terminal to confirm on: pass -y"):
            run(key_file, *command)
    assert len(chef.calls) == 0


def test_a_search_is_read_page_by_page(chef: Chef, key_file: Path) -> None:
    names = [f"web{n:02}" for n in range(5)]

    def search(request: Request) -> Reply:
        query = parse_qs(request.query)
        start = int(query["start"][0])
        wanted = json.loads(request.body) if request.body else None
        found = names if query["q"] == ["role:web"] else []
        data = [{"name": n, "fqdn": f"{n}.example.com", "tags": ["a", "b"]} for n in found]
        rows: list[Any] = data
        if wanted is not None:
            rows = [
                {"url": "", "data": {k: row.get(p[0]) for k, p in wanted.items()}} for row in data
            ]
        page = {"total": len(found), "start": start, "rows": rows[start : start + 2]}
        return 200, OLD_SERVER, json.dumps(page)

    for method in ("GET", "POST"):
        play(chef, method, "search/node", search)
    lines = run(key_file, "node", "search", "role:web", "-a", "fqdn", "-a", "tags").stdout
    assert lines.splitlines()[0] == "web00\tweb00.example.com\ta, b"
    assert len(lines.splitlines()) == 5
    assert run(key_file, "node", "search", "role:web", "-i").stdout.split() == names
    whole = json.loads(run(key_file, "node", "search", "role:web", "-F", "json").stdout)
    assert [row["name"] for row in whole] == names
    with pytest.raises(NotFound, match="no node matches 'role:db'"):
        run(key_file, "node", "search", "role:db")
    say(chef, "GET", "pushy/node_states", [])
    with pytest.raises(NotFound, match="no node matches"):
        run(key_file, "job", "start", "uptime", "web01", "-s", "role:db")


def test_a_node_is_shown(chef: Chef, key_file: Path) -> None:
    node = {
        "name": "web01", "chef_environment": "prod", "run_list": ["role[web]"],
        "automatic": {"fqdn": "web01.example.com", "kernel": {"release": "6.1"}},
        "normal": {"tags": ["a", "b"], "fqdn": "old"}, "default": {}, "override": {},
    }  # fmt: skip
    say(chef, "GET", "nodes/web01", node)
    say(chef, "GET", "nodes", {"web02": "", "web01": ""})
    assert run(key_file, "node", "show", "web01").stdout.splitlines() == [
        "name:        web01", "environment: prod", "run list:    role[web]",
        "fqdn:        web01.example.com", "kernel:      6.1", "tags:        a, b",
    ]  # fmt: skip
    shown = run(key_file, "node", "show", "web01", "-a", "kernel", "-a", "no.such", "-F", "json")
    assert json.loads(shown.stdout) == {"web01": {"kernel": {"release": "6.1"}, "no.such": None}}
    assert run(key_file, "node", "list").stdout == "web01\nweb02\n"
    assert json.loads(run(key_file, "node", "show", "web01", "-F", "json").stdout) == node


def test_the_state_of_thousands_that_a_search_found_is_two_requests(
    chef: Chef, key_file: Path
) -> None:
    names = [f"n{number:03}" for number in range(50)]
    rows = [{"url": "", "data": {"name": name}} for name in names]
    say(chef, "POST", "search/node", {"total": 50, "start": 0, "rows": rows})
    known = [{"node_name": "n007", "availability": "available"}]
    say(chef, "GET", "pushy/node_states", known)
    lines = run(key_file, "node", "status", "name:n*").stdout.splitlines()
    assert lines[7] == "n007\tavailable"
    assert lines[8] == "n008\tunavailable"
    assert len(lines) == 50
    assert len(chef.calls) == 2


def test_a_node_is_deleted_with_its_client(chef: Chef, key_file: Path) -> None:
    say(chef, "GET", "nodes", {"web01": "https://chef/nodes/web01", "web02": "..."})
    for name in ("web01", "web02"):
        say(chef, "DELETE", f"nodes/{name}", {"name": name})
    say(chef, "DELETE", "clients/web01", {"name": "web01"})
    # This one's client is gone already.
    say(chef, "DELETE", "clients/web02", {"error": ["Cannot load client web02"]}, 404)
    run(key_file, "node", "delete", "web01", "web02", "-y")
    assert [(call.method, call.path.rpartition("acme/")[2]) for call in chef.calls] == [
        ("GET", "nodes"), ("DELETE", "clients/web01"), ("DELETE", "nodes/web01"),
        ("DELETE", "clients/web02"), ("DELETE", "nodes/web02"),
    ]  # fmt: skip


def test_if_one_of_many_cannot_be_deleted_it_is_said_which_are(chef: Chef, key_file: Path) -> None:
    say(chef, "GET", "nodes", {"web01": "...", "web02": "..."})
    for path in ("clients/web01", "nodes/web01"):
        say(chef, "DELETE", path, {})
    say(chef, "DELETE", "clients/web02", {"error": ["missing delete permission"]}, 403)
    with pytest.raises(PermissionDenied):
        run(key_file, "node", "delete", "web01", "web02", "-y")
