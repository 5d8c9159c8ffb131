"""Enrolment with one-time tokens, by nodes that nobody knows yet."""

import hashlib
import itertools
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from pushcli import keys
from pushcli.protocol import enrolment
from pushcli.sandbox.sandbox import ADMIN, Sandbox
from tests.support.identities import (
    KEYS,
    Signer,
    new_client,
    new_name,
    new_user,
    of_directory,
    operator,
    superuser,
)
from tests.support.stored import everything
from tests.support.waiting import patient

pytestmark = pytest.mark.timeout(60)
KEY, OTHER = KEYS[:2]
REFUSED = ["this enrolment token is unknown, used up or expired, or it is for another node"]


_numbers = itertools.count()


def token(server: Sandbox, **wanted: Any) -> str:
    # Equal requests of one second get one token.
    wanted.setdefault("expires_in", 3600 + next(_numbers))
    made: str = operator(server).post("tokens", wanted)["token"]
    return made


def wanted(given: str, name: str, **more: Any) -> dict[str, Any]:
    proof = enrolment.prove(KEY, org="sandbox", name=name, token=given)
    pem = keys.public_pem(KEY)
    return {"token": given, "name": name, "public_key": pem, "proof": proof, **more}


def enroll(server: Sandbox, body: Any, **headers: str) -> requests.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {"Content-Type": "application/json", **headers}
    return requests.post(f"{server.url}/enroll", data=content, headers=sent, timeout=patient(10))


def of_trail(server: Sandbox, target: str) -> list[tuple[str, str, str]]:
    found = operator(server).get("audit", query=f"?target={target}")["records"]
    return [(one["actor_kind"], one["actor"], one["action"]) for one in found]


def test_a_node_enrolls_with_a_token_once(server: Sandbox) -> None:
    name, given = new_name("node"), token(server)
    answer = enroll(server, wanted(given, name))
    own = keys.load_public_key(keys.public_pem(operator(server).raw.key))
    editor = {
        "name": ADMIN, "public_key": keys.public_pem(own), "fingerprint": keys.fingerprint(own),
    }  # fmt: skip
    uri = f"{server.url}/clients/{name}"
    assert (answer.status_code, answer.json()) == (201, {"uri": uri, "editors": [editor]})
    assert Signer(server, name, KEY).get(f"clients/{name}")["validator"] is False
    states = operator(server).get("pushy/node_states")
    assert name in {state["node_name"] for state in states}
    again = enroll(server, wanted(given, new_name("node")))
    assert (again.status_code, again.json()) == (403, {"error": REFUSED})
    token_id = given.partition(".")[0]
    assert of_trail(server, token_id) == [
        ("user", ADMIN, "token create"), ("node", name, "token use"),
    ]  # fmt: skip
    assert of_trail(server, name) == [("node", name, "client create")]


def test_a_token_for_several_is_counted_down_and_listed_without_its_secret(server: Sandbox) -> None:
    given = token(server, uses=3, expires_in=60)
    token_id, _, secret = given.partition(".")
    for left in (3, 2, 1):
        [listed] = [one for one in operator(server).get("tokens") if one["id"] == token_id]
        expires = listed.pop("expires_at")
        assert 30 < expires - time.time() <= 61
        assert listed == {"id": token_id, "uses": left, "node": None, "created_by": ADMIN}
        assert enroll(server, wanted(given, new_name("node"))).status_code == 201
    assert token_id not in {one["id"] for one in operator(server).get("tokens")}
    stored = everything(server)
    assert secret.encode() not in stored
    assert hashlib.sha256(secret.encode()).hexdigest().encode() in stored


@pytest.mark.parametrize("uses", [1, 5])
def test_of_many_that_enroll_at_once_as_many_win_as_there_are_uses(
    server: Sandbox, uses: int
) -> None:
    given = token(server, uses=uses)
    bodies = [wanted(given, new_name("node")) for _ in range(24)]
    with ThreadPoolExecutor(24) as pool:
        codes = [
            answer.status_code for answer in pool.map(lambda body: enroll(server, body), bodies)
        ]
    assert sorted(codes) == [201] * uses + [403] * (24 - uses)
    names = operator(server).get("clients")
    assert [body["name"] in names for body in bodies] == [code == 201 for code in codes]


def test_every_token_that_does_not_count_is_refused_in_the_same_words(server: Sandbox) -> None:
    mine, name = new_name("node"), new_name("node")
    bound, short = token(server, node=mine), token(server, expires_in=0.05)
    deleted, good = token(server), token(server)
    assert operator(server)("DELETE", f"tokens/{deleted.partition('.')[0]}").status == 200
    swapped = f"{good.partition('.')[0]}.{bound.partition('.')[2]}"
    time.sleep(0.1)
    before = operator(server).get("audit")["records"]
    for wrong in (
        bound, short, deleted, swapped, f"{'0' * 16}.{'A' * 43}", "", ".", "x" * 255, good[:-1],
        f"{good}=", good.upper(), f"{good}\n",
    ):  # fmt: skip
        answer = enroll(server, wanted(wrong, name))
        assert (answer.status_code, answer.json()) == (403, {"error": REFUSED}), wrong
    assert operator(server).get("audit")["records"] == before
    assert enroll(server, wanted(bound, mine)).status_code == 201
    assert enroll(server, wanted(good, name)).status_code == 201


def test_a_refused_enrolment_costs_no_use(server: Sandbox) -> None:
    given, taken = token(server), new_client(server)
    name = new_name("node")
    elsewhere = enrolment.prove(KEY, org="other", name=name, token=given)
    others = enrolment.prove(OTHER, org="sandbox", name=name, token=given)
    another = enrolment.prove(KEY, org="sandbox", name="another", token=given)
    for bad in (elsewhere, others, another, "", "AAAA", "\u2603"):
        answer = enroll(server, wanted(given, name, proof=bad))
        assert (answer.status_code, "proof" in answer.json()["error"][0]) == (400, True)
    known = enroll(server, wanted(given, taken.name))
    assert (known.status_code, known.json()) == (409, {"error": ["Client already exists"]})
    assert taken("GET", f"clients/{taken.name}").status == 200
    assert enroll(server, wanted(given, name)).status_code == 201


RESERVED = (
    "pivotal", "Pivotal", "admin", "ADMIN", "root", "server", "sandbox-Validator",
    "other-validator", "Sandbox-Validator", "admins", "users", "clients", "pushy_job_writers",
)  # fmt: skip


def test_nobody_registers_himself_under_a_name_that_another_is_known_by(server: Sandbox) -> None:
    given, user = token(server), new_user(server)
    stranger = new_user(server, associated=False)
    validator = of_directory(server, "sandbox-validator")
    users = (ADMIN, ADMIN.upper(), user.name, stranger.name, stranger.name.title())
    before = operator(server).get("audit")["records"]
    for name in (*RESERVED, *users):
        refused = enroll(server, wanted(given, name))
        assert refused.status_code == 400, name
        made = validator("POST", "clients", {"name": name, "public_key": keys.public_pem(KEY)})
        assert (made.status, made.json) == (400, refused.json())
        [text] = made.error
        assert "choose another" in text
        assert name in text
    assert operator(server).get("audit")["records"] == before
    assert enroll(server, wanted(given, new_name("pivotal-db"))).status_code == 201, "no use lost"
    for name in RESERVED:
        assert operator(server)("POST", "tokens", {"node": name}).status == 400


def test_an_administrator_may_still_give_a_client_a_users_name(server: Sandbox) -> None:
    """As on a Chef server: the key that fits tells them apart, and the audit trail their kind."""
    user, admin = new_user(server), operator(server)
    admin.post("clients", {"name": user.name, "public_key": keys.public_pem(KEYS[2])})
    client = Signer(server, user.name, KEYS[2])
    assert (
        client("PUT", f"clients/{user.name}", {"public_key": keys.public_pem(KEYS[2])}).status
        == 200
    )
    assert of_trail(server, user.name)[-1] == ("client", user.name, "client update")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../x"},
        {"name": ""},
        {"name": None},
        {"public_key": "no key"},
        {"public_key": None},
        {"token": None},
        {"token": "x" * 300},
        {"proof": 1},
    ],
)
def test_what_is_no_enrolment_is_refused(server: Sandbox, change: dict[str, Any]) -> None:
    assert enroll(server, wanted(token(server), "fine") | change).status_code == 400


def test_an_enrolment_is_checked_like_everything_else(server: Sandbox) -> None:
    body = wanted(token(server), new_name("node"))
    url = f"{server.url}/enroll"
    assert requests.get(url, timeout=patient(10)).status_code == 405
    assert enroll(server, body, Accept="text/html").status_code == 406
    assert enroll(server, body, **{"Content-Type": "text/plain"}).status_code == 415
    elsewhere = url.replace("sandbox", "nosuch")
    missing = requests.post(elsewhere, json=body, timeout=patient(10))
    assert (missing.status_code, missing.json()) == (
        404, {"error": ["organization 'nosuch' does not exist."]},
    )  # fmt: skip
    assert enroll(server, body).status_code == 201
    for garbage in (b"", b"[", b"[]", b"\xff", b"[" * 5000, b"null"):
        assert enroll(server, garbage).status_code == 400


def test_an_enrolments_body_is_small(server: Sandbox) -> None:
    big = enroll(server, b" " * 20_001)
    assert big.status_code == 413
    assert big.json() == {"error": "JSON must be no more than 20000 bytes."}
    host, port = "127.0.0.1", server.ports[0]
    with socket.create_connection((host, port), timeout=patient(10)) as connection:
        # Refused by what it says, before any of it came.
        connection.sendall(
            b"POST /organizations/sandbox/enroll HTTP/1.1\r\nHost: x\r\n"
            b"Content-Type: application/json\r\nContent-Length: 900000\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 413")


def test_tokens_have_bounds(server: Sandbox) -> None:
    admin = operator(server)
    for bad in (
        {"uses": 0}, {"uses": 100_001}, {"uses": "1"}, {"expires_in": 0}, {"expires_in": -1},
        {"expires_in": 31 * 86_400}, {"node": "a/b"}, {"more": 1},
    ):  # fmt: skip
        assert admin("POST", "tokens", bad).status == 400, bad
    assert admin("DELETE", "tokens/nosuch").status == 404
    made = admin.post("tokens", {"uses": 100_000, "expires_in": 30 * 86_400, "node": "a"})
    assert made.keys() == {"id", "token", "uses", "expires_at", "node"}
    assert admin("DELETE", f"tokens/{made['id']}").status == 200


def test_nested_administrators_are_editors_with_each_of_their_keys(server: Sandbox) -> None:
    admin, user, robot = operator(server), new_user(server), new_client(server)
    group = new_name("group")
    admin.post("groups", {"groupname": group})
    admin.post(f"groups/{group}/members", {"users": [user.name], "clients": [robot.name]})
    admin.post("groups/admins/members", {"groups": [group]})
    user.post(f"/users/{user.name}/keys", {"name": "next", "public_key": keys.public_pem(KEYS[2])})
    user.post(
        f"/users/{user.name}/keys",
        {"name": "old", "public_key": keys.public_pem(KEYS[3]),
         "expiration_date": "2020-01-01T00:00:00Z"},
    )  # fmt: skip
    editors = enroll(server, wanted(token(server), new_name("node"))).json()["editors"]
    fingerprints = {editor["fingerprint"] for editor in editors if editor["name"] == user.name}
    assert fingerprints == {keys.fingerprint(KEYS[1]), keys.fingerprint(KEYS[2])}
    assert {editor["name"] for editor in editors} == {ADMIN, user.name}
    superuser(server)("DELETE", f"/users/{user.name}")
    admin("DELETE", f"groups/{group}")
