"""Several keys of a user or client: how one is renewed without a gap, and how one ends."""

import time
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from pushcli import keys
from pushcli.protocol.timestamps import format_iso8601
from pushcli.sandbox.sandbox import Sandbox
from pushcli_server.store.identity_keys import MAX_KEYS
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
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(60)
PEMS = [keys.public_pem(key) for key in KEYS]


@pytest.fixture(params=["client", "user"])
def owner(request: pytest.FixtureRequest, server: Sandbox) -> Signer:
    """Somebody with one key, `KEYS[0]`."""
    make = new_client if request.param == "client" else new_user
    return make(server, KEYS[0])


def folder(owner: Signer) -> str:
    """Where its keys are; its name says what it is."""
    is_user = owner.name.startswith("user")
    return f"/users/{owner.name}/keys" if is_user else f"clients/{owner.name}/keys"


def itself(owner: Signer) -> str:
    return folder(owner).removesuffix("/keys")


def url(owner: Signer, key: str) -> str:
    base = owner.fleet.url.partition("/organizations")[0]
    place = folder(owner)
    return f"{base}{place}/{key}" if place.startswith("/") else f"{owner.fleet.url}/{place}/{key}"


def test_a_key_is_added_listed_shown_and_deleted(owner: Signer) -> None:
    place = folder(owner)
    new = {"name": "next", "public_key": PEMS[1], "expiration_date": "infinity"}
    assert owner.post(place, new) == {"uri": url(owner, "next")}
    assert owner.get(place) == [
        {"name": name, "uri": url(owner, name), "expired": False} for name in ("default", "next")
    ]
    assert owner.get(f"{place}/next") == new
    renewed = owner.signing_with(KEYS[1])
    # Both count.
    assert (owner("GET", place).status, renewed("GET", place).status) == (200, 200)
    again = owner("POST", place, new)
    assert (again.status, again.error) == (409, ["Key already exists"])
    assert owner("DELETE", f"{place}/default").json["public_key"] == PEMS[0]
    assert (owner("GET", place).status, renewed("GET", place).status) == (401, 200)
    assert renewed.get(itself(owner))["public_key"] == PEMS[1]
    assert renewed("GET", f"{place}/default").status == 404
    assert renewed("DELETE", f"{place}/default").status == 404


def test_a_pair_that_the_server_makes(owner: Signer) -> None:
    made = owner.post(folder(owner), {"name": "made", "create_key": True})
    assert made.keys() == {"uri", "private_key"}
    key = keys.private_key(made["private_key"].encode(), "test")
    assert owner.signing_with(key)("GET", itself(owner)).status == 200


def test_a_key_ends_at_its_time(owner: Signer) -> None:
    place, renewed = folder(owner), owner.signing_with(KEYS[1])
    owner.post(place, {"name": "short", "public_key": PEMS[1], "expiration_date": "infinity"})
    assert renewed("GET", place).status == 200
    at = format_iso8601(time.time() + 2)
    assert owner("PUT", f"{place}/short", {"expiration_date": at}).status == 200
    until(lambda: renewed("GET", place).status != 200, "its time is over")
    refused = renewed("GET", place)
    assert (refused.status, refused.error) == (
        401, [f"Invalid signature for user or client '{owner.name}'"],
    )  # fmt: skip
    listed = {one["name"]: one["expired"] for one in owner.get(place)}
    assert listed == {"default": False, "short": True}
    # It comes back with a later end.
    later = owner("PUT", f"{place}/short", {"expiration_date": "infinity"})
    assert (later.status, later.json["expiration_date"]) == (200, "infinity")
    assert renewed("GET", place).status == 200


def test_the_last_valid_key_stays(owner: Signer) -> None:
    place, past = folder(owner), "2020-01-01T00:00:00Z"
    owner.post(place, {"name": "old", "public_key": PEMS[1], "expiration_date": past})
    text = [f"this is the last valid key of {owner.name}"]
    for answer in (
        owner("DELETE", f"{place}/default"),
        owner("PUT", f"{place}/default", {"expiration_date": past}),
    ):
        assert (answer.status, answer.error) == (403, text)
    assert owner("DELETE", f"{place}/old").status == 200
    owner.post(place, {"name": "next", "public_key": PEMS[1]})
    ended = owner("PUT", f"{place}/default", {"expiration_date": past})
    assert (ended.status, ended.json["expiration_date"]) == (200, past)
    assert owner("GET", place).status == 401


def test_a_key_is_replaced_under_its_name(owner: Signer) -> None:
    path = f"{folder(owner)}/default"
    changed = owner("PUT", path, {"name": "default", "public_key": PEMS[2]})
    assert (changed.status, changed.json["public_key"]) == (200, PEMS[2])
    # The answer came; from now on the former one is nothing.
    assert owner("GET", path).status == 401
    renewed = owner.signing_with(KEYS[2])
    made = renewed("PUT", path, {"create_key": True}).json
    assert renewed("GET", path).status == 401
    fresh = owner.signing_with(keys.private_key(made["private_key"].encode(), "test"))
    renamed = fresh("PUT", path, {"name": "other"})
    assert (renamed.status, renamed.error) == (400, ["a key cannot be renamed"])


@pytest.mark.parametrize(
    "new",
    [
        {},
        {"name": "x"},
        {"name": "a/b", "public_key": PEMS[1]},
        {"name": "x", "public_key": "no key"},
        {"name": "x", "public_key": PEMS[1], "expiration_date": "tomorrow"},
        {"name": "x", "public_key": PEMS[1], "expiration_date": "0001-01-01T00:00:00+23:59"},
        {"name": "x", "public_key": PEMS[1], "expiration_date": None},
        {"name": "x", "create_key": False},
    ],
)
def test_what_is_no_key_is_refused(owner: Signer, new: dict[str, Any]) -> None:
    assert owner("POST", folder(owner), new).status == 400
    assert len(owner.get(folder(owner))) == 1


def test_a_key_that_is_too_short_or_too_long_is_refused(server: Sandbox) -> None:
    client = new_client(server)
    small = keys.public_pem(rsa.generate_private_key(public_exponent=65537, key_size=1024))
    huge = rsa.RSAPublicNumbers(65537, 2**9000 + 1).public_key()
    for pem in (small, keys.public_pem(huge)):
        answer = client("PUT", f"clients/{client.name}", {"public_key": pem})
        assert (answer.status, "bits" in answer.error[0]) == (400, True)


def test_a_key_that_would_be_slow_to_verify_with_is_refused(server: Sandbox) -> None:
    client = new_client(server)
    modulus = KEYS[1].public_key().public_numbers().n
    slow = keys.public_pem(rsa.RSAPublicNumbers(2**1024 + 1, modulus).public_key())
    places = ("PUT", f"clients/{client.name}"), ("POST", folder(client))
    for method, place in places:
        answer = client(method, place, {"name": client.name, "public_key": slow})
        assert (answer.status, answer.error) == (400, ["public_key: its exponent is too large"])


def test_nobody_has_keys_without_number(server: Sandbox) -> None:
    client = new_client(server)
    for number in range(MAX_KEYS - 1):
        client.post(folder(client), {"name": f"k{number}", "public_key": PEMS[1]})
    answer = client("POST", folder(client), {"name": "more", "public_key": PEMS[1]})
    assert (answer.status, "more than 20 keys" in answer.error[0]) == (409, True)


def test_nobody_but_administrators_has_to_do_with_others_keys(server: Sandbox) -> None:
    client, other, user = new_client(server), new_client(server), new_user(server)
    for signer, place in ((other, folder(client)), (user, folder(client)), (client, folder(user))):
        new = {"name": new_name("k"), "public_key": PEMS[1]}
        # A client is nobody outside of its organization.
        assert signer("POST", place, new).status in {401, 403}
    assert operator(server)("GET", folder(user)).status == 403
    assert operator(server)("GET", folder(client)).status == 200
    assert superuser(server)("GET", folder(user)).status == 200
    validator = of_directory(server, "sandbox-validator")
    assert validator("GET", folder(validator)).status == 403
    assert operator(server)("GET", "clients/nosuch/keys").status == 404
    assert superuser(server)("GET", "/users/nosuch/keys").status == 404


def test_keys_of_a_user_and_a_client_of_one_name_stay_apart(server: Sandbox) -> None:
    client = new_client(server, KEYS[0])
    root = superuser(server)
    root.post("/users", {"username": client.name, "public_key": PEMS[1]})
    place = f"/users/{client.name}/keys"
    root.post(place, {"name": "next", "public_key": PEMS[2]})
    assert [key["name"] for key in client.get(f"clients/{client.name}/keys")] == ["default"]
    assert root("DELETE", f"/users/{client.name}").status == 200
    assert client("GET", f"clients/{client.name}").status == 200
    root.post("/users", {"username": client.name, "public_key": PEMS[1]})
    assert [key["name"] for key in root.get(place)] == ["default"]
    root("DELETE", f"/users/{client.name}")


def test_a_user_and_a_client_of_one_name_are_not_each_other(server: Sandbox) -> None:
    user = new_user(server, KEYS[1])
    operator(server).post("clients", {"name": user.name, "public_key": PEMS[2]})
    client, path = user.signing_with(KEYS[2]), f"clients/{user.name}"
    for method, place, body in (
        ("GET", path, None), ("PUT", path, {"public_key": PEMS[3]}), ("GET", f"{path}/keys", None),
        ("POST", f"{path}/keys", {"name": "mine", "public_key": PEMS[3]}),
        ("PUT", f"nodes/{user.name}", {"name": user.name}),
    ):  # fmt: skip
        assert user(method, place, body).status == 403, (method, place)
    for method in ("GET", "DELETE"):
        assert client(method, f"users/{user.name}").status == 403, method
    assert client.get(path)["public_key"] == PEMS[2]
    assert user.get(f"users/{user.name}")["username"] == user.name
