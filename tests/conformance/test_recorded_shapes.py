"""The answers of `tests/support/chef_server.py` have the shapes of those that were recorded."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from tests.support.chef_server import ChefServer, chef_server

RECORDED = Path(__file__).parents[1] / "vectors" / "chef_server.jsonl"
_REAL = re.compile(r"(?P<status>\d{3}) (?P<body>\{.*?\})(?= for |$)")
_BY_NAME = {"", "users", "clients", "groups", "nodes"}
"""Lists of these are objects of names and URLs."""


class Case(NamedTuple):
    """What was asked, and what a Chef Infra Server says."""

    method: str
    path: str
    version: int
    asked: Any
    status: int
    body: Any

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.version}"


def cases() -> Iterator[Case]:
    """Those recorded requests that the double knows."""
    for line in RECORDED.read_text().splitlines():
        one = json.loads(line)
        version = one["request_headers"].get("x-ops-server-api-version", "")
        if one["server"] != "chef-zero" or version not in {"0", "1", "2"} or one["query"]:
            continue
        if not is_known(one["method"], one["path"].split("/")[1:]):
            continue
        if one["status"] == 201 and "private_key" in str(one["response_body"]):
            # Ours never ask for keys that the server makes.
            continue
        status, body = one["status"], one["response_body"]
        if real := _REAL.match(one.get("real_chef_server", "")):
            status, body = int(real["status"]), json.loads(real["body"])
        if status < 500 and status != 400:
            yield Case(one["method"], one["path"], int(version), one["request_body"], status, body)


def is_known(method: str, parts: list[str]) -> bool:
    match method, parts:
        case "GET", ["organizations"] | ["organizations", _]:
            return True
        case "GET", ["organizations", _, "users" | "clients" | "groups" | "nodes"]:
            return True
        case "GET", ["organizations", _, "principals" | "groups" | "nodes", _]:
            return True
        case "GET", ["organizations", _, "users" | "clients", _, *rest]:
            return rest in ([], ["keys"]) or rest[:1] == ["keys"]
        case "POST", ["organizations", _, "clients" | "nodes"]:
            return True
    return False


CASES = list(cases())


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return keys.generate()


def chef_of(case: Case, key: RSAPrivateKey) -> ChefServer:
    """One where what was asked for is there, if it was so."""
    pem = keys.public_pem(key.public_key())
    chef = ChefServer(key.public_key())
    chef.organizations, chef.validators = {"acme", "other"}, {"ann"}
    is_there = case.status in {200, 409}
    if case.status == 201:
        return chef
    match [unquote(part) for part in case.path.split("/")[2:]]:
        case [org, "principals", name] if is_there:
            rows = case.body["principals"] if case.version else [case.body]
            for row in rows:
                where = org if row["org_member"] else ""
                chef.keys[where, row["type"], name] = [pem]
        case [org, "users" | "clients" as kind, name, *_] if is_there:
            chef.keys[org, kind[:-1], name] = [pem, pem]
            if name.endswith("-validator"):
                chef.validators.add(name)
        case [org, "groups", name] if is_there:
            chef.groups[org, name] = {"users": ["ann"], "groups": ["others"]}
        case [org, "nodes", name] if is_there:
            chef.nodes[org, name] = case.body
        case [org, "nodes"] if is_there and case.method == "POST":
            chef.nodes[org, case.asked["name"]] = case.asked
        case [org, "clients"] if is_there and case.method == "POST":
            chef.keys[org, "client", case.asked["name"]] = [pem]
        case [org, *_]:
            chef.keys[org, "user", "ann"] = [pem]
            chef.keys[org, "client", "web01"] = [pem]
            chef.groups[org, "ops"] = {}
            chef.nodes[org, "web01"] = {"name": "web01"}
    return chef


def shape(value: Any) -> Any:
    """Names of fields and kinds of values; of a list one of each shape."""
    match value:
        case dict() if value and all(map(is_url, value.values())) and "uri" not in value:
            return "names and URLs"
        case dict():
            return {name: shape(part) for name, part in value.items()}
        case list():
            return sorted({json.dumps(shape(part), sort_keys=True) for part in value})
    return type(value).__name__


def is_url(value: object) -> bool:
    return isinstance(value, str) and re.match("https?://", value) is not None


@pytest.mark.parametrize("case", CASES, ids=str)
def test_recorded_shapes(case: Case, key: RSAPrivateKey) -> None:
    chef = chef_of(case, key)
    if case.method == "GET":
        status, body = chef.answer(case.path.replace("/second", "/key1"), case.version)
    else:
        status, body = chef.make(case.path, {"public_key": "", **case.asked}, "ann", case.version)
    assert status == case.status
    assert chef.unexpected == []
    found, wanted = shape(body), shape(case.body)
    if isinstance(wanted, dict):
        for spared in spared_of(case):
            wanted.pop(spared, None)
            found.pop(spared, None)
    assert found == wanted


def spared_of(case: Case) -> set[str]:
    """Fields in which chef-zero is not as a Chef Infra Server, or that are somebody's choice."""
    if case.path.count("/") == 2:
        # Real ones have name, full_name and guid alone.
        return {"assigned_at", "org_type", "clientname", "billing_plan"}
    if "/users/" in case.path:
        return {"create_key"} | ({"public_key"} if case.version else set())
    if case.path.endswith("-validator"):
        return {"admin"}
    # Which of these lists are empty is the state of that day.
    return {"users", "clients", "groups", "actors"} if "/groups/" in case.path else set()


def test_a_version_that_is_not_known_is_refused_as_it_was_recorded(key: RSAPrivateKey) -> None:
    lines = map(json.loads, RECORDED.read_text().splitlines())
    recorded = next(one for one in lines if "min_api_version" in (one["response_body"] or ()))
    with (
        chef_server(key.public_key()) as chef,
        closing(HTTPConnection("127.0.0.1", chef.port, timeout=10)) as connection,
    ):
        headers = {"X-Ops-Server-API-Version": "9", "X-Chef-Version": "16.12.3"}
        connection.request("GET", "/organizations/acme/nodes", headers=headers)
        answer = connection.getresponse()
        assert answer.status == recorded["status"]
        assert shape(json.load(answer)) == shape(recorded["response_body"])


def test_each_answer_of_the_double_was_recorded() -> None:
    """But for refusals of signatures and of rights, whose texts are their own."""
    kinds = {(case.method, re.sub(r"(?<=s/)[^/]+", "X", case.path), case.status) for case in CASES}
    org = "/organizations/X"
    assert kinds >= {
        ("GET", "/organizations", 200), ("GET", org, 200), ("GET", org, 404),
        ("GET", f"{org}/principals/X", 200), ("GET", f"{org}/principals/X", 404),
        ("GET", f"{org}/groups", 200), ("GET", f"{org}/groups/X", 200),
        ("GET", f"{org}/groups/X", 404), ("GET", f"{org}/users", 200),
        ("GET", f"{org}/users/X", 200), ("GET", f"{org}/users/X", 404),
        ("GET", f"{org}/users/X/keys", 200), ("GET", f"{org}/users/X/keys/X", 200),
        ("GET", f"{org}/users/X/keys", 404), ("GET", f"{org}/clients", 200),
        ("GET", f"{org}/clients/X", 200), ("GET", f"{org}/clients/X", 404),
        ("GET", f"{org}/clients/X/keys", 200), ("GET", f"{org}/clients/X/keys/X", 200),
        ("GET", f"{org}/clients/X/keys", 404), ("GET", f"{org}/nodes", 200),
        ("GET", f"{org}/nodes/X", 200), ("GET", f"{org}/nodes/X", 404),
        ("POST", f"{org}/clients", 201), ("POST", f"{org}/clients", 409),
        ("POST", f"{org}/nodes", 201), ("POST", f"{org}/nodes", 409),
    }  # fmt: skip
