"""What a Chef Infra Server's answers say, and what is no answer."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.protocol import chef_answers as answers
from pushcli.protocol.chef_answers import ChefAway, ChefRefuses, Group, Owner

RECORDED = Path(__file__).parents[3] / "vectors" / "chef_server.jsonl"
PEM = "-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n"
BOB = {"name": "bob", "type": "user", "public_key": PEM, "org_member": True}


def owners(body: Any, status: int = 200) -> list[Owner] | None:
    return answers.owners(status, json.dumps(body).encode(), "bob")


def test_each_valid_key_is_a_row_and_a_user_and_a_client_are_two() -> None:
    other = {**BOB, "public_key": "other"}
    client = {**BOB, "type": "client", "org_member": False}
    assert owners({"principals": [BOB, other, client]}) == [
        Owner(kind="user", public_keys=(PEM, "other"), is_member=True),
        Owner(kind="client", public_keys=(PEM,), is_member=True),
    ]


def test_version_0_has_one_object() -> None:
    assert owners(BOB) == [Owner(kind="user", public_keys=(PEM,), is_member=True)]


def test_who_is_of_no_organization_is_no_member() -> None:
    [owner] = owners({"principals": [{**BOB, "org_member": False}]}) or []
    assert not owner.is_member


def test_rows_of_other_names_and_kinds_let_nobody_in() -> None:
    rows = [{**BOB, "name": "eve"}, {**BOB, "type": "superuser"}]
    assert owners({"principals": rows}) == []


def test_a_key_that_is_too_long_is_none() -> None:
    [owner] = owners({"principals": [{**BOB, "public_key": "x" * 20_000}]}) or []
    assert owner.public_keys == ()


def test_a_row_without_a_key_is_somebody_without_one() -> None:
    [owner] = owners({"principals": [{**BOB, "public_key": None}]}) or []
    assert owner.public_keys == ()


def test_too_many_keys_are_no_answer() -> None:
    assert owners({"principals": [BOB] * 200})
    with pytest.raises(ChefRefuses, match="more than 200 keys"):
        owners({"principals": [BOB] * 201})


def test_what_is_missing_is_told_apart() -> None:
    assert owners({"not_found": "org", "error": "Cannot find org acme"}, 404) is None
    assert owners({"not_found": "principal", "error": "Cannot find principal bob"}, 404) == []
    assert owners({"error": ["Principal not found"]}, 404) == []
    with pytest.raises(ChefRefuses, match="does not say what is missing"):
        owners({}, 404)


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (401, ChefRefuses, "check chef_user and chef_key"),
        (403, ChefRefuses, "check chef_user and chef_key"),
        (302, ChefRefuses, "redirects"),
        (500, ChefAway, "failed"),
        (503, ChefAway, "failed"),
        (418, ChefRefuses, "status 418"),
        (204, ChefRefuses, "status 204"),
    ],
)
def test_other_answers_say_what_to_look_at(status: int, error: type[Exception], words: str) -> None:
    for read in (answers.owners, answers.group, answers.names):
        with pytest.raises(error, match=words):
            read(status, b"{}", "x")


def test_a_page_is_no_answer() -> None:
    # As Chef's nginx sends where nothing reaches the API.
    page = b"<html>welcome</html>"
    for status in (200, 404):
        with pytest.raises(ChefRefuses, match="check chef_server_url"):
            answers.owners(status, page, "bob")
        with pytest.raises(ChefRefuses, match="check chef_server_url"):
            answers.group(status, page, "ops")


def test_a_group_has_users_clients_and_groups() -> None:
    body = {"users": ["ann"], "clients": ["web01"], "groups": ["ops"], "actors": ["ann", "web01"]}
    assert answers.group(200, json.dumps(body).encode(), "x") == Group(
        users=frozenset({"ann"}), clients=frozenset({"web01"}), groups=("ops",)
    )
    assert answers.group(404, b'{"error":["Cannot load group x"]}', "x") is None
    with pytest.raises(ChefRefuses, match="not about a group"):
        # As of an organization that is not there, or of a proxy.
        answers.group(404, b'{"error":"Cannot find org acme"}', "x")
    with pytest.raises(ChefRefuses, match="too many members"):
        answers.group(200, json.dumps({"groups": ["g"] * 1001}).encode(), "x")


@pytest.mark.parametrize(
    ("name", "found"),
    [("ops", "ops"), ("acme::ops", "ops"), ("other::ops", None), ("::ops", None)],
)
def test_groups_of_others_are_not_ours(name: str, found: str | None) -> None:
    assert answers.within(name, "acme") == found


@given(st.integers(100, 599), st.binary(max_size=200))
def test_nothing_else_comes_of_any_answer(status: int, content: bytes) -> None:
    for read in (answers.owners, answers.group, answers.names):
        with suppress(ChefAway, ChefRefuses):
            read(status, content, "x")


def test_the_recorded_answers_are_read() -> None:
    seen = set()
    for line in RECORDED.read_text().splitlines():
        told = json.loads(line)
        content, path = json.dumps(told["response_body"]).encode(), told["path"].split("/")
        parts = path[3:]
        if (
            told["method"] != "GET"
            or path[1] != "organizations"
            or told["status"] not in (200, 404)
        ):
            continue
        match parts:
            case ["principals", name]:
                read: object = answers.owners(told["status"], content, name)
            case ["groups", name]:
                read = answers.group(told["status"], content, name)
            case ["clients"]:
                read = answers.names(told["status"], content, "clients")
            case _:
                continue
        seen.add((parts[0], told["status"], bool(read)))
    assert {("principals", 200, True), ("principals", 404, False), ("groups", 200, True),
            ("groups", 404, False), ("clients", 200, True)} <= seen  # fmt: skip
