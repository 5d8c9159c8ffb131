"""Signed writes that somebody read and sends again: byte for byte, or what he may change."""

import base64
import http.client
import itertools
import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pushcli import keys
from pushcli.protocol.timestamps import format_iso8601
from pushcli.sandbox.sandbox import ORG, Sandbox
from pushcli.whitelist import chain, statements
from pushcli.whitelist.statements import Change
from pushcli_server import rest
from pushcli_server.rest.routes import Operation, Repeat, routes
from tests.support.captured import Captured, captured
from tests.support.fleet import Fleet
from tests.support.identities import KEYS, Signer, new_client, new_user, operator, superuser
from tests.support.raw_http import Answer

pytestmark = pytest.mark.timeout(90)
CARRIED_OUT = (409, ["this request was already carried out"])
PEM = keys.public_pem(KEYS[0])
LATE = 1.1
"""Seconds after which an equal request is none of its own."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Fleet(tmp_path_factory.mktemp("fleet"), []) as fleet:
        yield fleet


def job(command: str) -> dict[str, Any]:
    return {"command": command, "nodes": ["nosuch"]}


def jobs(fleet: Sandbox, command: str) -> list[str]:
    return [one["id"] for one in fleet.api.jobs() if one["command"] == command]


def trail(fleet: Sandbox) -> tuple[Any, Any]:
    """All that is told of changes."""
    org = operator(fleet).get("audit")["records"]
    return org, superuser(fleet).get("/audit")["records"]


# --- every write that there is


def edit(by: Signer, node: str) -> dict[str, Any]:
    changes = [Change("captured", "true")]
    signed = statements.sign(
        by.raw.key, org=ORG, nodes=[node], changes=changes, signer=by.name,
        version=statements.next_version(time.time()),
    )  # fmt: skip
    said = [{"name": "captured", "value": "true"}]
    return {"nodes": [node], "changes": said, **msgspec.to_builtins(signed)}


def statement(by: Signer) -> dict[str, Any]:
    made = statements.editor_statement(
        by.raw.key, org=ORG, signer=by.name, editor="bob", editor_key=KEYS[3].public_key(),
        version=statements.next_version(time.time()), removed=False,
    )  # fmt: skip
    return {"statement": msgspec.to_builtins(made)}


def link(by: Signer) -> dict[str, Any]:
    signer = chain.Signer(by.raw.key, org=ORG, name=by.name)
    place = {
        "previous": by.get("pushy/editors")["end"], "version": statements.next_version(time.time()),
    }  # fmt: skip
    return {"statement": signer.add("bob", KEYS[3].public_key(), **place)}


def all_writes(fleet: Sandbox) -> list[Captured]:
    """One request for each write of the API, in an order in which all of them work."""
    ann, root = operator(fleet), superuser(fleet)
    job_id = fleet.api.start_job(job("to abort"))
    rows: list[tuple[Signer, str, str, Any]] = [
        (ann, "POST", "pushy/jobs", job("captured")),
        (ann, "POST", f"pushy/jobs/{job_id}/abort", {}),
        (ann, "POST", "clients", {"name": "c1", "create_key": True}),
        (ann, "PUT", "clients/c1", {"create_key": True}),
        (ann, "POST", "nodes", {"name": "c1"}),
        (ann, "PUT", "nodes/c1", {"name": "c1", "normal": {"a": 1}}),
        (ann, "POST", "pushy/whitelist", lambda: edit(ann, "c1")),
        (ann, "POST", "pushy/whitelist_editors", lambda: statement(ann)),
        (ann, "POST", "pushy/editors", lambda: link(ann)),
        (ann, "PUT", "pushy/freeze", {"reason": "captured"}),
        (ann, "DELETE", "pushy/freeze", None),
        (ann, "POST", "pushy/pauses", {"nodes": ["c1"], "reason": "captured", "seconds": 60}),
        (ann, "POST", "pushy/resumes", {"nodes": ["c1"]}),
        (ann, "POST", "clients/c1/keys", {"name": "k", "create_key": True}),
        (ann, "PUT", "clients/c1/keys/k", {"create_key": True}),
        (ann, "DELETE", "clients/c1/keys/k", None),
        (root, "POST", "/users", {"username": "u1", "create_key": True}),
        (root, "PUT", "/users/u1", {"private_key": True}),
        (root, "POST", "/users/u1/keys", {"name": "k", "create_key": True}),
        (root, "PUT", "/users/u1/keys/k", {"create_key": True}),
        (root, "DELETE", "/users/u1/keys/k", None),
        (ann, "POST", "users", {"username": "u1"}),
        (ann, "POST", "groups", {"groupname": "g1"}),
        (ann, "POST", "groups/g1/members", {"users": ["u1"]}),
        (ann, "PUT", "groups/g1", {"actors": {"users": [], "clients": ["c1"]}}),
        (ann, "DELETE", "groups/g1/members/clients/c1", None),
        (ann, "DELETE", "groups/g1", None),
        (ann, "DELETE", "users/u1", None),
        (root, "DELETE", "/users/u1", None),
        (ann, "DELETE", "nodes/c1", None),
        (ann, "DELETE", "clients/c1", None),
        (ann, "POST", "tokens", {"uses": 3}),
        (root, "POST", "/organizations", {"name": "captured"}),
        (root, "DELETE", "/organizations/captured", None),
    ]  # fmt: skip
    made, secrets = [], set[str]()
    for by, method, path, body in rows:
        made.append(captured(by, method, path, body() if callable(body) else body))
        answer = made[-1].send()
        assert answer.status in {200, 201}, (made[-1], answer)
        if hands_out_a_secret(answer):
            secrets.add(f"{method} {path}")
            again = made[-1].send()
            assert (again.status, again.error) == CARRIED_OUT, made[-1]
            assert not hands_out_a_secret(again)
        if path == "tokens":
            made.append(captured(ann, "DELETE", f"tokens/{answer.json['id']}"))
            assert made[-1].send().status == 200
    assert secrets == {
        "POST clients", "PUT clients/c1", "POST clients/c1/keys", "PUT clients/c1/keys/k",
        "POST /users", "PUT /users/u1", "POST /users/u1/keys", "PUT /users/u1/keys/k",
        "POST tokens", "POST /organizations",
    }  # fmt: skip
    return made


def hands_out_a_secret(answer: Answer) -> bool:
    said = answer.json if isinstance(answer.json, dict) else {}
    return b"PRIVATE" in answer.body or any(
        word in name for name in said for word in ("private", "token", "secret", "session_key")
    )


def writes_of_the_server() -> list[tuple[str, re.Pattern[str], Repeat]]:
    class Nothing:
        """Handlers only keep what they are given, until they are called."""

        def __getattr__(self, name: str) -> None:
            return None

    return [
        (method, route.pattern, operation.repeated(method))
        for route in routes(Nothing(), None)  # type: ignore[arg-type]
        for method, operation in route.methods.items()
        if isinstance(operation, Operation)
    ]


HARMLESS = {
    "POST /organizations/a/search/node",
    "POST /organizations/a/pushy/checks",
    "POST /organizations/a/pushy/node_changes",
}
"""All that is no GET, and changes nothing."""
NOT_HERE = "/pushy/servers"
"""What needs PostgreSQL is tried with it, by the tests of `pushcli server join`."""


def test_every_write_is_carried_out_once(fleet: Sandbox) -> None:
    made = all_writes(fleet)
    for method, pattern, repeat in writes_of_the_server():
        covered = any(
            one.method == method and pattern.fullmatch(one.target.partition("?")[0]) for one in made
        )
        if repeat is Repeat.HARMLESS:
            harmless = any(
                pattern.fullmatch(path) for path in (one.partition(" ")[2] for one in HARMLESS)
            )
            assert method in {"GET", "HEAD"} or harmless, (method, pattern.pattern)
        elif repeat is not Repeat.TOLD and pattern.pattern != NOT_HERE:
            assert covered, f"add {method} {pattern.pattern}"
    time.sleep(LATE)
    before = trail(fleet)
    for one in made:
        again = one.send()
        if one.target.endswith("/pushy/jobs"):
            [started] = jobs(fleet, "captured")
            assert (again.status, again.json) == (201, {"uri": again.json["uri"]})
            assert again.json["uri"].endswith(started)
        else:
            assert (again.status, again.error) == CARRIED_OUT, one
            assert b"PRIVATE" not in again.body
    assert trail(fleet) == before


def test_what_is_written_is_written_with_its_signature() -> None:
    """Handlers write through their call alone: what they wrote otherwise could be repeated."""
    for module in Path(rest.__file__).parent.glob("*.py"):
        if module.name != "enroll.py":
            assert not re.search(r"store\.(write|submit)\(", module.read_text()), module.name


# --- equal requests


def test_equal_starts_of_one_moment_are_jobs_of_their_own_up_to_five(fleet: Sandbox) -> None:
    start = captured(operator(fleet), "POST", "pushy/jobs", job("equal"))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: start.send(), range(8)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["uri"] for answer in answers}) == 5
    assert len(jobs(fleet, "equal")) == 5
    time.sleep(LATE)
    first = start.send().json["uri"]
    assert all(start.send().json["uri"] == first for _ in range(20))
    assert len(jobs(fleet, "equal")) == 5


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "1.3"])
def test_a_captured_start_with_another_request_id_starts_nothing(
    fleet: Sandbox, version: str
) -> None:
    command = f"request ids {version}"
    start = captured(
        operator(fleet),
        "POST",
        "pushy/jobs",
        job(command),
        version,
        **{"X-Pushcli-Request-Id": f"first {version}".replace(" ", "-")},
    )
    first = start.send()
    time.sleep(LATE)
    others = [start.send(**{"X-Pushcli-Request-Id": str(number)}) for number in range(2, 6)]
    others.append(Captured(start.raw, start.method, start.target, {
        name: value for name, value in start.headers.items() if "Request" not in name
    }, start.body).send())  # fmt: skip
    assert {answer.json["uri"] for answer in others} == {first.json["uri"]}
    assert len(jobs(fleet, command)) == 1


def test_a_retry_that_is_signed_anew_cannot_be_used_again_either(fleet: Sandbox) -> None:
    ann, name = operator(fleet), "X-Pushcli-Request-Id"
    first = captured(ann, "POST", "pushy/jobs", job("retried"), **{name: "r"}).send()
    later = format_iso8601(time.time() + 5)
    retry = captured(ann, "POST", "pushy/jobs", job("retried"), timestamp=later, **{name: "r"})
    assert retry.send().json == first.json
    time.sleep(LATE)
    assert retry.send(**{name: "other"}).json == first.json
    assert len(jobs(fleet, "retried")) == 1


def test_a_users_request_id_is_not_that_of_a_client_of_his_name(fleet: Sandbox) -> None:
    user = new_user(fleet, KEYS[1])
    ann = operator(fleet)
    ann.post("clients", {"name": user.name, "public_key": keys.public_pem(KEYS[2])})
    members = {"users": [user.name], "clients": [user.name]}
    ann.post("groups/pushy_job_writers/members", members)
    client = Signer(fleet, user.name, KEYS[2])
    both = [
        captured(one, "POST", "pushy/jobs", job(user.name), **{"X-Pushcli-Request-Id": "x"}).send()
        for one in (user, client)
    ]
    assert len({answer.json["uri"] for answer in both}) == 2


def test_no_key_is_handed_out_twice_however_soon(fleet: Sandbox) -> None:
    client, root = new_client(fleet), superuser(fleet)
    user = new_user(fleet)
    for request in (
        captured(operator(fleet), "PUT", f"clients/{client.name}", {"create_key": True}),
        captured(root, "PUT", f"/users/{user.name}", {"private_key": True}),
        captured(root, "PUT", f"/users/{user.name}/keys/default", {"create_key": True}),
    ):
        assert "private_key" in request.send().json
        assert (again := request.send()).status == 409
        assert b"PRIVATE" not in again.body


def test_a_removed_member_is_not_put_back(fleet: Sandbox) -> None:
    ann, user = operator(fleet), new_user(fleet)
    ann.post("groups", {"groupname": "back"})
    put = captured(ann, "PUT", "groups/back", {"actors": {"users": [user.name]}})
    assert put.send().status == 200
    assert ann("PUT", "groups/back", {"actors": {"users": []}}).status == 200
    time.sleep(LATE)
    assert (put.send().status, put.send().error) == CARRIED_OUT
    assert ann.get("groups/back")["users"] == []


def test_what_failed_may_be_sent_again(fleet: Sandbox) -> None:
    """Clients repeat what an unavailable server refused, byte for byte."""
    ann, user = operator(fleet), new_user(fleet)
    add = captured(ann, "POST", "groups/later/members", {"users": [user.name]})
    assert add.send().status == 404
    ann.post("groups", {"groupname": "later"})
    time.sleep(LATE)
    assert add.send().status == 200
    assert (add.send().status, ann.get("groups/later")["users"]) == (200, [user.name])
    time.sleep(LATE)
    assert (add.send().status, add.send().error) == CARRIED_OUT


def test_a_read_may_be_repeated(fleet: Sandbox) -> None:
    read = captured(operator(fleet), "GET", "pushy/jobs")
    parts = captured(operator(fleet), "POST", "search/node", {"n": ["name"]})
    assert {one.send().status for one in (read, parts)} == {200}
    time.sleep(LATE)
    assert {one.send().status for one in (read, parts)} == {200}


def test_a_read_is_answered_with_any_query_for_that_is_not_signed(fleet: Sandbox) -> None:
    one = captured(operator(fleet), "GET", "search/node", query="?q=name:nosuch")
    name = new_client(fleet).name
    operator(fleet).post("nodes", {"name": name})
    assert one.send().json["total"] == 0
    wider = one._replace(target=one.target.replace("name:nosuch", f"name:{name}")).send()
    assert [row["name"] for row in wider.json["rows"]] == [name]
    elsewhere = one._replace(target=one.target.replace("search/node", "pushy/jobs"))
    assert elsewhere.send().status == 401


# --- one signature, told in other ways


def disguises(one: Captured) -> Iterator[dict[str, str]]:
    """The same signature in other headers."""
    names = [f"X-Ops-Authorization-{number}" for number in range(1, 20)]
    text = "".join(one.headers.get(name, "") for name in names)
    rest = {name: value for name, value in one.headers.items() if name not in names}

    def with_lines(lines: list[str]) -> dict[str, str]:
        return {**rest, **dict(zip(names, lines, strict=False))}

    yield with_lines([text])
    yield with_lines([text[begin : begin + 30] for begin in range(0, len(text), 30)])
    yield with_lines([f"  {text[:60]}\t", f"{text[60:]}   "])
    assert text.endswith("==")
    # The last character has four bits that say nothing.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    spare = alphabet[alphabet.index(text[-3]) | 1]
    assert base64.b64decode(f"{text[:-3]}{spare}==") == base64.b64decode(text)
    yield with_lines([f"{text[:-3]}{spare}=="])
    yield {**{name.lower(): value for name, value in one.headers.items()}, "x-other": "1"}
    version = one.headers["X-Ops-Sign"]
    yield {**one.headers, "X-Ops-Sign": f" {version.replace(';', ' ; ')} "}
    yield {**one.headers, "X-Ops-Timestamp": f"  {one.headers['X-Ops-Timestamp']}  "}


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "1.3"])
def test_the_same_signature_in_other_words_is_the_same(fleet: Sandbox, version: str) -> None:
    command = f"disguised {version}"
    start = captured(operator(fleet), "POST", "pushy/jobs", job(command), version)
    first = start.send()
    assert first.status == 201
    time.sleep(LATE)
    for headers in disguises(start):
        again = start._replace(headers=headers).send()
        assert (again.status, again.json) == (201, first.json), headers
    doubled = start._replace(target=start.target.replace("/pushy", "//pushy") + "/?x=1")
    assert doubled.send().json == first.json
    assert len(jobs(fleet, command)) == 1


@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "1.3"])
def test_a_signature_without_its_leading_zero_is_none(fleet: Sandbox, version: str) -> None:
    ann = operator(fleet)
    for number in itertools.count():
        command = f"leading zero {version} {number}"
        start = captured(ann, "POST", "pushy/jobs", job(command), version)
        lines = [value for name, value in start.headers.items() if name.startswith("X-Ops-Auth")]
        whole = base64.b64decode("".join(lines))
        if whole[0] == 0:
            break
    rest = {k: v for k, v in start.headers.items() if not k.startswith("X-Ops-Auth")}
    for other in (whole[1:], b"\0" + whole):
        text = base64.b64encode(other).decode()
        refused = start._replace(headers={**rest, "X-Ops-Authorization-1": text}).send()
        assert refused.status == 401
    assert start.send().status == 201


# --- over restarts


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_forgets_nothing(tmp_path_factory: Any, number: int) -> None:
    with Fleet(tmp_path_factory.mktemp("restarted"), []) as fleet:
        ann = operator(fleet)
        start = captured(ann, "POST", "pushy/jobs", job("kept"))
        group = captured(ann, "POST", "groups", {"groupname": "kept"})
        first = start.send().json
        assert group.send().status == 201
        fleet.end_server(number)
        fleet.start_server()
        assert ann("DELETE", "groups/kept").status == 200
        assert (start.send().status, start.send().json) == (201, first)
        assert (group.send().status, group.send().error) == CARRIED_OUT
        assert len(jobs(fleet, "kept")) == 1
        assert "kept" not in ann.get("groups")


def test_a_kill_in_the_midst_leaves_a_write_with_its_signature_or_neither(
    tmp_path_factory: Any,
) -> None:
    """What a client got no answer to it repeats: that must do it, if it was not done."""
    with Fleet(tmp_path_factory.mktemp("killed"), []) as fleet:
        ann = operator(fleet)
        for turn in range(4):
            requests = [
                captured(ann, "POST", "groups", {"groupname": f"g{turn}-{number}"})
                for number in range(40)
            ] + [
                captured(ann, "POST", "pushy/jobs", job(f"j{turn}-{number}"))
                for number in range(40)
            ]
            statuses: dict[int, int] = {}

            def send(
                at: int, requests: list[Captured] = requests, statuses: dict[int, int] = statuses
            ) -> None:
                try:
                    statuses[at] = requests[at].send().status
                except (OSError, http.client.HTTPException):
                    statuses[at] = 0

            with ThreadPoolExecutor(8) as pool:
                sending = [pool.submit(send, at) for at in range(len(requests))]
                threading.Event().wait(0.05 + turn * 0.04)
                fleet.end_server(signal.SIGKILL)
                for sent in sending:
                    sent.result()
            fleet.start_server()
            groups = set(ann.get("groups"))
            for at, one in enumerate(requests):
                name = f"{'gj'[at >= 40]}{turn}-{at % 40}"
                there = name in groups or bool(jobs(fleet, name))
                assert there or statuses[at] != 201, "what was confirmed is there"
                again = one.send()
                if at < 40:
                    assert again.status == (409 if there else 201), (there, again)
                else:
                    assert again.status == 201
                    assert len(jobs(fleet, name)) == 1
