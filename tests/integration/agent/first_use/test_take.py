"""The process that takes editors on first use, against a Chef Infra Server that may be hostile."""

import json
import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from pushcli import keys
from pushcli.identities.new_key import fingerprint
from pushcli_agent.child import Child
from pushcli_agent.first_use import decisions, pins
from pushcli_agent.first_use.request import TakeReply, TakeRequest
from pushcli_agent.whitelist import editors
from tests.support import certificates
from tests.support.chef_server import SUPERUSER, ChefServer, chef_server
from tests.support.identities import KEYS

ANN, BOB = keys.public_pem(KEYS[0]), keys.public_pem(KEYS[1])
NODE = KEYS[2]


@pytest.fixture
def chef() -> Iterator[ChefServer]:
    """One that nodes may ask for groups; who administrates there are ann, bob and its superuser."""
    with chef_server(KEYS[3].public_key()) as chef:
        fill(chef)
        yield chef


def fill(chef: ChefServer) -> None:
    chef.organizations = {"acme"}
    chef.groups_are_open = True
    chef.keys["acme", "client", "n1"] = [keys.public_pem(NODE)]
    chef.keys["acme", "user", "ann"] = [ANN]
    chef.keys["acme", "user", "bob"] = ["no key", BOB]
    chef.keys["acme", "client", "bob"] = [keys.public_pem(NODE)]
    chef.keys["", "user", SUPERUSER] = [keys.public_pem(KEYS[3])]
    chef.groups["acme", "admins"] = {
        "users": ["ann", SUPERUSER, "ghost"], "clients": ["n1"], "groups": ["inner"],
    }  # fmt: skip
    chef.groups["acme", "inner"] = {"users": ["bob"], "groups": ["admins"]}


def take(
    chef: ChefServer, directory: Path, *, to: Path | None = None, fingerprint: str | None = None
) -> TakeReply:
    """What the process prints that pins in the agent's directory, or elsewhere."""
    directory.mkdir(exist_ok=True)
    key_file = directory / "client.pem"
    if not key_file.exists():
        keys.write_private_key(key_file, NODE)
    request = TakeRequest(
        directory=str(to or directory), server_urls=(f"{chef.url}/organizations/acme",),
        node_name="n1", client_key=str(key_file), ca_file=None, fingerprint=fingerprint,
        signing_version="1.3",
    )  # fmt: skip
    child = Child("pushcli_agent.first_use.take", msgspec.json.encode(request))
    while True:
        assert select.select([child.fd], [], [], 19.0)[0]
        if (ended := child.receive()) is not None:
            break
    assert ended[1] == 0
    return msgspec.json.decode(ended[0], type=TakeReply)


def test_the_users_of_admins_are_pinned_with_how_they_came(
    chef: ChefServer, tmp_path: Path
) -> None:
    place = tmp_path / "agent"
    reply = take(chef, place)
    assert reply.error is None
    assert reply.pinned == [("ann", fingerprint(ANN)), ("bob", fingerprint(BOB))]
    pinned = editors.load(place / editors.FILE)
    assert {key: (pin.name, pin.first_use) for key, pin in pinned.trusted.items()} == {
        fingerprint(ANN): ("ann", True), fingerprint(BOB): ("bob", True),
    }  # fmt: skip
    mark = json.loads((place / pins.MARK).read_text())
    assert mark["chef_server_url"] == f"{chef.url}/organizations/acme"
    assert [one["name"] for one in mark["editors"]] == ["ann", "bob"]
    assert sorted(path.name for path in place.iterdir()) == [
        "client.pem", "editors.json", "first_use.json",
    ]  # fmt: skip
    for path in place.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    # Who is killed in between has pins without a mark, not a mark without pins.
    written = [(place / name).stat().st_ctime_ns for name in (editors.FILE, pins.MARK)]
    assert written == sorted(written)


def test_a_key_that_the_agent_cannot_go_by_is_not_pinned(chef: ChefServer, tmp_path: Path) -> None:
    unusable = [
        public_key(2**16_384 - 1, 65_537), public_key(2**2_048 - 1, 2**64 + 1),
    ]  # fmt: skip
    chef.keys["acme", "user", "bob"] = [*unusable, BOB]
    place = tmp_path / "agent"
    assert take(chef, place).pinned == [("ann", fingerprint(ANN)), ("bob", fingerprint(BOB))]
    assert set(editors.load(place / editors.FILE).trusted) == {fingerprint(ANN), fingerprint(BOB)}


def public_key(modulus: int, exponent: int) -> str:
    return keys.public_pem(rsa.RSAPublicNumbers(exponent, modulus).public_key())


def test_what_was_pinned_meanwhile_stays(chef: ChefServer, tmp_path: Path) -> None:
    place = tmp_path / "agent"
    place.mkdir()
    (place / editors.FILE).write_text('{"editors":[]}')
    assert take(chef, place) == TakeReply()
    assert (place / editors.FILE).read_text() == '{"editors":[]}'
    assert "editors" not in json.loads((place / pins.MARK).read_text())


def test_where_nodes_may_not_look_at_groups_and_nobody_names_them_the_remedy_is_told(
    chef: ChefServer, tmp_path: Path
) -> None:
    chef.groups_are_open = False
    chef.instead["GET", "/organizations/acme/pushy/administrators"] = (404, {"error": ["no"]})
    reply = take(chef, tmp_path / "agent")
    assert "knife acl add group clients groups admins read" in (reply.error or "")
    assert not (tmp_path / "agent" / editors.FILE).exists()


def test_what_our_server_names_is_bounded_and_has_its_keys_from_chef(
    chef: ChefServer, tmp_path: Path
) -> None:
    chef.groups_are_open = False
    named = ("GET", "/organizations/acme/pushy/administrators")
    many = [f"u{n}" for n in range(decisions.MAX_USERS + 1)]
    odds: list[tuple[Any, str]] = [
        ({"users": 5}, "unexpected answer"),
        ([], "unexpected answer"),
        ({"users": many}, "more than"),
    ]
    for odd, why in odds:
        chef.instead[named] = (200, odd)
        assert why in (take(chef, tmp_path / "agent").error or "")
    chef.instead[named] = (200, {"users": ["bob", "../ann", "n1", SUPERUSER]})
    assert take(chef, tmp_path / "agent").pinned == [("bob", fingerprint(BOB))]


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("half", "connection broke"),
        ("garbage", "not an answer of Chef's API"),
        ("nonsense", "not an answer of Chef's API"),
        ("redirect", "redirect"),
        ("failing", "500"),
        ("endless", "larger than"),
    ],
)
def test_nothing_is_pinned_of_what_is_no_answer(
    chef: ChefServer, tmp_path: Path, fault: str, text: str
) -> None:
    chef.fault = fault
    reply = take(chef, tmp_path / "agent")
    assert text in (reply.error or "")
    assert "\n" not in (reply.error or "")
    assert [path.name for path in (tmp_path / "agent").iterdir()] == ["client.pem"]


def test_whom_nobody_vouches_for_is_asked_nothing(tmp_path: Path) -> None:
    certificate = certificates.self_signed(tmp_path / "certificate", ["127.0.0.1"])
    with chef_server(KEYS[3].public_key(), certificate.context) as chef:
        fill(chef)
        reply = take(chef, tmp_path / "agent")
        assert "certificate is not trusted" in (reply.error or "")
        assert "agent.toml" in (reply.error or "")
        other = take(chef, tmp_path / "agent", fingerprint="SHA256:" + ":".join(["AB"] * 32))
        assert "not the pinned one" in (other.error or "")
        assert not chef.asked
        assert take(chef, tmp_path / "agent", fingerprint=certificate.fingerprint).pinned


def test_a_failure_half_way_pins_nobody(chef: ChefServer, tmp_path: Path) -> None:
    chef.instead["GET", "/organizations/acme/principals/bob"] = (500, {"error": ["oops"]})
    assert "500" in (take(chef, tmp_path / "agent").error or "")
    assert not (tmp_path / "agent" / editors.FILE).exists()


@pytest.mark.parametrize("path", ["principals/bob", "groups/inner"])
def test_a_page_that_is_not_found_is_not_somebody_who_is_not_there(
    chef: ChefServer, tmp_path: Path, path: str
) -> None:
    chef.instead["GET", f"/organizations/acme/{path}"] = (404, b"<html>nginx</html>")
    assert f"it answers {path} with" in (take(chef, tmp_path / "agent").error or "")
    assert not (tmp_path / "agent" / editors.FILE).exists()


def test_whoever_answers_with_a_page_is_no_chef(chef: ChefServer, tmp_path: Path) -> None:
    chef.instead["GET", "/organizations/acme/groups/admins"] = (200, b"<html>Chef</html>")
    assert "not an answer" in (take(chef, tmp_path / "agent").error or "")


def test_too_many_groups_are_not_followed(chef: ChefServer, tmp_path: Path) -> None:
    chef.groups["acme", "inner"] = {"groups": [f"g{n}" for n in range(decisions.MAX_GROUPS)]}
    assert "more than" in (take(chef, tmp_path / "agent").error or "")
    assert len([path for path in chef.asked if "/groups/" in path]) == 2


def test_without_a_usable_key_nobody_is_pinned(chef: ChefServer, tmp_path: Path) -> None:
    chef.groups["acme", "admins"] = {"users": [SUPERUSER, "ghost"]}
    assert "no user" in (take(chef, tmp_path / "agent").error or "")
    assert not (tmp_path / "agent" / pins.MARK).exists()


def test_a_directory_that_cannot_be_written_is_one_line(chef: ChefServer, tmp_path: Path) -> None:
    reply = take(chef, tmp_path / "agent", to=tmp_path / "gone")
    assert reply == TakeReply(
        error="cannot write in the agent's directory: No such file or directory"
    )


def test_whatever_has_the_name_of_the_mark_ends_the_first_use(tmp_path: Path) -> None:
    assert not pins.is_done(tmp_path)
    (tmp_path / pins.MARK).symlink_to(tmp_path / "nowhere")
    assert pins.is_done(tmp_path)
