"""`pushcli migrate identities`: who is on a Chef Infra Server, in ours."""

import base64
import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pushcli import keys
from pushcli.errors import StartError
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import ORG
from pushcli_server import listener, settings
from pushcli_server.importing.chef_directory import Directory
from pushcli_server.importing.identities import run
from tests.integration.cli.program import Home, Result, assert_one_line
from tests.support import in_process
from tests.support.chef_server import SUPERUSER, ChefServer, chef_server
from tests.support.fleet import Fleet
from tests.support.identities import Signer, operator, superuser
from tests.support.waiting import patient, until

pytestmark = pytest.mark.timeout(90)
ANN, BOB, WEB = (keys.generate() for _ in range(3))
PIVOTAL = keys.generate()
LEVELS = ("automatic", "normal", "default", "override")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A server that does not run; there is its operator in it."""
    fleet = Fleet(tmp_path / "fleet", [])
    fleet.make_server()
    yield fleet
    fleet.stop()


@pytest.fixture
def home(fleet: Fleet) -> Home:
    """The home of its operator, where the key of Chef's superuser is."""
    home = Home(fleet.credentials.parent.parent)
    keys.write_private_key(home.path / "pivotal.pem", PIVOTAL)
    return home


@pytest.fixture
def chef() -> Iterator[ChefServer]:
    """Has users, clients, groups and a node."""
    with chef_server(PIVOTAL.public_key()) as chef:
        chef.keys = {
            (ORG, "user", "ann"): [keys.public_pem(ANN)],
            (ORG, "user", "bob"): [keys.public_pem(BOB), keys.public_pem(ANN)],
            (ORG, "client", "web01"): [keys.public_pem(WEB)],
        }
        chef.groups = {
            (ORG, "admins"): {"users": ["ann"]},
            (ORG, "operators"): {"users": ["bob"], "groups": ["hosts"]},
            (ORG, "hosts"): {"clients": ["web01"], "groups": ["operators"]},
            (ORG, "pushy_job_writers"): {"groups": ["operators"]},
        }
        chef.nodes[ORG, "web01"] = node("web01")
        yield chef


def node(name: str, **fields: Any) -> dict[str, Any]:
    """A node object as Chef has it."""
    return {
        "name": name, "chef_environment": "prod", "json_class": "Chef::Node", "chef_type": "node",
        "run_list": ["recipe[base]"], "automatic": {"fqdn": f"{name}.example.com"},
        "normal": {"push_jobs": {"whitelist": {"true": "true"}}}, "default": {}, "override": {},
        **fields,
    }  # fmt: skip


def command(fleet: Fleet, home: Home, chef: ChefServer) -> tuple[str, ...]:
    signed = ("-u", SUPERUSER, "-k", str(home.path / "pivotal.pem"))
    url, place = f"{chef.url}/organizations/{ORG}", str(fleet.server_directory)
    return ("migrate", "identities", url, "--dir", place, *signed)


def migrate(fleet: Fleet, home: Home, chef: ChefServer, *arguments: str) -> Result:
    """By the program."""
    return home.run(*command(fleet, home, chef), *arguments)


def told(fleet: Fleet, home: Home, chef: ChefServer, *arguments: str) -> dict[str, Any]:
    """What the command says to programs, run in this one."""
    said = in_process.run(home.env, *command(fleet, home, chef), "-y", "-F", "json", *arguments)
    answer: dict[str, Any] = json.loads(said.stdout)
    return answer


def remarks(answer: dict[str, Any]) -> set[tuple[str, str, str, str]]:
    return {(one["kind"], one["what"], one["why"], one["example"]) for one in answer["remarks"]}


def of(new: int, there: int = 0, others: int = 0) -> dict[str, int]:
    return {"new": new, "there": there, "others": others}


def test_whoever_was_in_chef_may_work_with_ours(fleet: Fleet, home: Home, chef: ChefServer) -> None:
    done = migrate(fleet, home, chef, "-y", "-F", "json")
    assert done.status == ExitStatus.OK, done
    answer = json.loads(done.stdout)
    assert answer["users"] == of(2)
    assert answer["clients"] == of(1)
    assert answer["groups"] == of(2, there=2)
    assert answer["nodes"] == of(1)
    assert (answer["keys"], answer["members"]) == (4, 6)
    assert remarks(answer) == {("differs", "groups", "has a user here alone", "admins: operator")}
    fleet.start_server()
    shown = fleet.api.get("nodes/web01")
    assert shown == node("web01")
    assert fleet.api.get("groups/hosts")["clients"] == ["web01"]
    assert fleet.api.get("users/bob")["email"] == "bob@x.example"
    for name, key in (("bob", BOB), ("bob", ANN), ("web01", WEB)):
        # In the group of those who may start jobs, through others.
        spec = {"command": "true", "nodes": ["web01"]}
        assert Signer(fleet, name, key).post("pushy/jobs", spec)["uri"]
    assert Signer(fleet, "ann", BOB)("GET", "pushy/jobs").status == 401


def test_a_second_run_and_a_dry_run_change_nothing(
    fleet: Fleet, home: Home, chef: ChefServer
) -> None:
    dry = migrate(fleet, home, chef, "--dry-run")
    assert "Would take over 2 users, 1 clients, 2 groups, 1 nodes; 4 keys" in dry.stdout, dry
    asked = migrate(fleet, home, chef)
    assert asked.status == ExitStatus.USAGE
    assert told(fleet, home, chef)["users"] == of(2)
    again = told(fleet, home, chef)
    parts = [again[kind] for kind in ("users", "clients", "groups", "nodes")]
    assert parts == [of(0, 2), of(0, 1), of(0, 4), of(0, 1)]
    assert (again["keys"], again["members"]) == (0, 0)


def test_nothing_is_overwritten_and_a_namesake_gets_no_rights(
    fleet: Fleet, home: Home, chef: ChefServer
) -> None:
    """`operator` is here with another key: whoever has that is not who Chef means."""
    chef.keys[ORG, "user", "operator"] = [keys.public_pem(BOB)]
    chef.keys[ORG, "client", f"{ORG}-validator"] = [keys.public_pem(BOB)]
    chef.groups[ORG, "secret"] = {"users": ["operator", "ann"], "clients": [f"{ORG}-validator"]}
    assert told(fleet, home, chef)["nodes"] == of(1)
    chef.nodes[ORG, "web01"] = node("web01", run_list=["recipe[other]"])
    chef.keys[ORG, "client", "web01"] = [keys.public_pem(BOB)]
    answer = told(fleet, home, chef)
    keys_differ = "here are other keys under the name"
    assert remarks(answer) >= {
        ("differs", "users", keys_differ, "operator"),
        ("differs", "clients", keys_differ, f"{ORG}-validator"),
        ("differs", "nodes", "the node object here says something else", "web01"),
        ("left out", "members of groups", "user that was not taken over", "secret: operator"),
    }
    fleet.start_server()
    assert fleet.api.get("groups/secret")["users"] == ["ann"]
    assert fleet.api.get("nodes/web01")["run_list"] == ["recipe[base]"]


def test_whoever_is_on_our_server_already_joins_the_organization(
    fleet: Fleet, home: Home, chef: ChefServer
) -> None:
    """As of another organization that came before; and validators stay what they are."""
    fleet.start_server()
    superuser(fleet).post("/users", {"username": "ann", "public_key": keys.public_pem(ANN)})
    for name in ("web01", "maker"):
        operator(fleet).post("clients", {"name": name, "public_key": keys.public_pem(WEB)})
    fleet.end_server()
    chef.keys[ORG, "client", "maker"] = [keys.public_pem(WEB)]
    chef.validators = {"maker"}
    answer = told(fleet, home, chef)
    assert answer["users"] == of(2)
    assert answer["keys"] == 2
    assert answer["clients"] == of(0, there=1, others=1)
    assert ("differs", "clients", "only one of the two is a validator", "maker") in remarks(answer)
    assert told(fleet, home, chef)["users"] == of(0, there=2)
    fleet.start_server()
    assert Signer(fleet, "ann", ANN).get("groups/admins")["users"] == ["ann", "operator"]


def test_a_name_has_as_many_keys_as_ours_may_have(
    fleet: Fleet, home: Home, chef: ChefServer
) -> None:
    chef.keys[ORG, "user", "ann"] = [keys.public_pem(ANN)] * 22
    chef.keys[ORG, "user", "bob"] = [keys.public_pem(BOB)] * 201
    answer = told(fleet, home, chef)
    assert answer["users"] == of(1, others=1)
    counts = {(one["what"], one["why"]): one["count"] for one in answer["remarks"]}
    assert counts["keys of users", "more than 20 of one name"] == 2
    assert counts["users", "it has more than 200 keys"] == 1
    assert told(fleet, home, chef)["users"] == of(0, there=1, others=1)


def test_keys_of_every_age_are_read_and_others_named(
    fleet: Fleet, home: Home, chef: ChefServer
) -> None:
    pkcs1 = ANN.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode()
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    chef.keys = {
        (ORG, "user", "pkcs1"): [pkcs1],
        (ORG, "user", "certified"): [certificate(BOB)],
        (ORG, "user", "short"): [keys.public_pem(short)],
        (ORG, "user", "mixed"): ["nonsense", keys.public_pem(WEB), "-----BEGIN CERTIFICATE-----"],
        (ORG, "user", "passing"): [keys.public_pem(ANN), keys.public_pem(BOB), pkcs1],
    }
    place = f"/organizations/{ORG}/users/passing/keys"
    lines = [{"name": name, "uri": "", "expired": name == "key2"} for name in
             ("default", "key1", "key2", "key3")]  # fmt: skip
    chef.instead["GET", place] = (200, lines)
    chef.instead["GET", f"{place}/default"] = (200, {
        "name": "default", "public_key": keys.public_pem(ANN),
        "expiration_date": "2099-01-01T00:00:00Z",
    })  # fmt: skip
    chef.instead["GET", f"{place}/key3"] = (200, {
        "name": "key3", "public_key": keys.public_pem(ANN),
        "expiration_date": "2001-01-01T00:00:00Z",
    })  # fmt: skip
    chef.groups, chef.nodes = {}, {}
    answer = told(fleet, home, chef)
    assert answer["users"] == of(4, others=1)
    assert remarks(answer) == {
        ("left out", "users", "no key that counts here", "short"),
        ("left out", "keys of users", "not an RSA key of at least 2048 bits", "short"),
        ("left out", "keys of users", "not a public key", "mixed"),
        ("left out", "keys of users", "expired", "passing"),
    }
    counts = {one["why"]: one["count"] for one in answer["remarks"]}
    assert (counts["expired"], counts["not a public key"]) == (2, 2)
    fleet.start_server()
    for name, key in (
        ("pkcs1", ANN), ("certified", BOB), ("mixed", WEB), ("passing", ANN), ("passing", BOB),
    ):  # fmt: skip
        # He is known, and is in no group.
        assert Signer(fleet, name, key)("GET", "pushy/jobs").status == 403
    # What expires there expires here.
    kept = superuser(fleet).get("/users/passing/keys/default")
    assert kept["expiration_date"] == "2099-01-01T00:00:00Z"


def certificate(key: rsa.RSAPrivateKey) -> str:
    """As old entries have one in place of a key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "x")])
    made = x509.CertificateBuilder(
        issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=1,
        not_valid_before=datetime(2020, 1, 1, tzinfo=UTC),
        not_valid_after=datetime(2030, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def test_what_makes_no_sense_costs_one_thing_each(
    fleet: Fleet, home: Home, chef: ChefServer
) -> None:
    root = f"/organizations/{ORG}"
    deep: Any = "x"
    for _ in range(120):
        deep = {"a": deep}
    chef.keys |= {
        (ORG, "client", name): [keys.public_pem(WEB)] for name in ("gone", "odd", "forbidden")
    }
    chef.keys[ORG, "client", "no such/name"] = [keys.public_pem(WEB)]
    chef.nodes |= {(ORG, name): node(name) for name in ("deep", "wide", "liar", "text")}
    chef.groups[ORG, "foreign"] = {"groups": ["::server", "other::x", f"{ORG}::hosts"]}
    for path, said in (
        ("clients/gone", (404, {"error": ["Cannot load client gone"]})),
        ("clients/odd", (200, {"validator": 5})),
        ("clients/forbidden/keys", (403, {"error": ["missing read permission"]})),
        ("nodes/deep", (200, node("deep", normal=deep))),
        ("nodes/wide", (200, node("wide", normal={"a": "x" * 1_000_001}))),
        ("nodes/liar", (200, node("web01"))),
        ("nodes/text", (200, node("text", normal="text"))),
    ):
        chef.instead["GET", f"{root}/{path}"] = said
    answer = told(fleet, home, chef)
    assert answer["clients"] == of(1, others=4)
    assert answer["nodes"] == of(1, others=4)
    whys = {(what, example): why for _, what, why, example in remarks(answer)}
    assert whys["clients", "gone"] == "it no longer exists"
    assert whys["clients", "odd"].startswith("the server's answer about clients is not one")
    assert whys["clients", "forbidden"] == "missing read permission"
    assert whys["clients", "no such/name"] == "none of ours can have the name"
    assert whys["nodes", "deep"] == "nested more than 100 deep"
    assert whys["nodes", "wide"] == "it has more than 1,000,000 bytes"
    assert whys["nodes", "liar"] == "the server answers with another node"
    assert "object" in whys["nodes", "text"]
    assert (
        whys["members of groups", "foreign"] == "a group of another organization, or of the server"
    )
    fleet.start_server()
    assert fleet.api.get("groups/foreign")["groups"] == ["hosts"]


@pytest.mark.parametrize(
    ("fault", "status"),
    [("half", ExitStatus.UNREACHABLE), ("garbage", ExitStatus.ERROR),
     ("nonsense", ExitStatus.ERROR), ("redirect", ExitStatus.ERROR), ("failing", ExitStatus.ERROR)],
)  # fmt: skip
def test_a_server_that_fails_is_one_line(
    fleet: Fleet, home: Home, chef: ChefServer, fault: str, status: ExitStatus
) -> None:
    chef.fault = fault
    assert_one_line(migrate(fleet, home, chef, "-y"), status)


def test_an_import_that_broke_off_goes_on(fleet: Fleet, home: Home, chef: ChefServer) -> None:
    clients = [f"n{number:03}" for number in range(60)]
    chef.keys |= {(ORG, "client", name): [keys.public_pem(WEB)] for name in clients}
    path = f"/organizations/{ORG}/nodes"
    chef.instead["GET", path] = (502, {"error": ["bad gateway"]})
    broken = migrate(fleet, home, chef, "-y")
    assert broken.status == ExitStatus.ERROR
    assert "the server failed (502)" in broken.stderr
    del chef.instead["GET", path]
    answer = told(fleet, home, chef)
    assert answer["clients"] == of(0, there=61)
    assert answer["nodes"] == of(1)


def test_whoever_interrupts_it_does_not_wait_for_a_silent_server(
    fleet: Fleet, home: Home, chef: ChefServer
) -> None:
    chef.delay = 30
    process = home.start(
        "migrate", "identities", f"{chef.url}/organizations/{ORG}", "-u", SUPERUSER,
        "-k", "pivotal.pem", "--dir", str(fleet.server_directory), "-y",
    )  # fmt: skip
    try:
        until(lambda: chef.asked.total() > 0, "it asks")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=patient(3))
    finally:
        process.kill()
        process.wait()
    assert process.returncode == ExitStatus.INTERRUPTED
    assert said == "INTERRUPTED: what was taken over stays; run it again: it goes on\n"


def test_it_is_refused_where_it_cannot_be(fleet: Fleet, home: Home, chef: ChefServer) -> None:
    place = str(fleet.server_directory)
    signed = ("-u", SUPERUSER, "-k", "pivotal.pem", "-y")
    other = home.run(
        "migrate", "identities", f"{chef.url}/organizations/other", "--dir", place, *signed
    )
    assert_one_line(other, ExitStatus.CONFIG, "there is no organization 'other'")
    odd = home.run("migrate", "identities", chef.url, "--dir", place, *signed)
    assert_one_line(odd, ExitStatus.USAGE, "URL is not an organization's")
    fleet.start_server()
    assert_one_line(migrate(fleet, home, chef, "-y"), ExitStatus.ERROR, "the server is running")
    assert migrate(fleet, home, chef, "--dry-run").status == ExitStatus.OK
    file = fleet.server_directory / settings.FILE
    beside = {
        "identity": "chef", "chef_server_url": chef.url, "chef_key": f"{home.path}/pivotal.pem",
    }  # fmt: skip
    config = settings.load(fleet.server_directory)
    values = [f"{name}={value}" for name, value in beside.items()]
    file.write_text(settings.render(settings.with_values(config, values, "the test")))
    refused = migrate(fleet, home, chef, "--dry-run")
    assert_one_line(refused, ExitStatus.CONFIG, "identity = 'chef'")


def test_a_server_that_is_started_meanwhile_finds_its_port_taken(fleet: Fleet) -> None:
    config = settings.load(fleet.server_directory)

    class Asked(Directory):
        """Somebody starts the server just then."""

        def users(self) -> list[str]:
            with pytest.raises(StartError, match="cannot listen"):
                listener.listen(config.listen_host, config.api_port, ("", ""))
            return []

        def names(self, kind: str) -> list[str]:
            return []

    source = Asked(fleet.api, ORG, 0.0)
    assert run(fleet.server_directory, source, ORG, lambda *_: None, write=True).is_empty


def test_a_certificate_with_an_unknown_kind_of_key_costs_that_key(
    fleet: Fleet, home: Home, chef: ChefServer
) -> None:
    whole = x509.load_pem_x509_certificate(certificate(BOB).encode()).public_bytes(Encoding.DER)
    rsa_key = bytes.fromhex("2a864886f70d010101")
    assert whole.count(rsa_key) == 1
    odd = base64.encodebytes(whole.replace(rsa_key, rsa_key[:-1] + b"\x63")).decode()
    pem = f"-----BEGIN CERTIFICATE-----\n{odd}-----END CERTIFICATE-----\n"
    chef.keys[ORG, "user", "odd"] = [pem, keys.public_pem(WEB)]
    answer = told(fleet, home, chef)
    assert answer["users"] == of(3)
    assert ("left out", "keys of users", "not a public key", "odd") in remarks(answer)


def test_whoever_has_a_key_that_a_proxy_did_not_get_comes_whole_with_the_next_run(
    fleet: Fleet, home: Home, chef: ChefServer
) -> None:
    way = ("GET", f"/organizations/{ORG}/users/bob/keys/key1")
    chef.instead[way] = (502, b"<html></html>")
    answer = told(fleet, home, chef)
    assert answer["users"] == of(1, others=1)
    assert [why for _, what, why, who in remarks(answer) if (what, who) == ("users", "bob")]
    del chef.instead[way]
    assert told(fleet, home, chef)["users"] == of(1, there=1)


def test_the_key_called_default_comes_before_others(
    fleet: Fleet, home: Home, chef: ChefServer
) -> None:
    place = f"/organizations/{ORG}/users/ann/keys"
    others = [f"a{number:02}" for number in range(20)]
    lines = [{"name": name, "uri": "", "expired": False} for name in
             (*others, "default", "no such/key")]  # fmt: skip
    chef.instead["GET", place] = (200, lines)
    for name in others:
        key = {"name": name, "public_key": keys.public_pem(BOB), "expiration_date": "infinity"}
        chef.instead["GET", f"{place}/{name}"] = (200, key)
    chef.groups[ORG, "crowd"] = {"groups": [f"g{number}" for number in range(1001)]}
    said = remarks(told(fleet, home, chef))
    assert said >= {
        ("left out", "keys of users", "more than 20 of one name", "ann"),
        ("left out", "keys of users", "no key can have the name", "ann"),
        ("left out", "members of groups", "it has too many members", "crowd"),
    }
    fleet.start_server()
    kept = superuser(fleet).get("/users/ann/keys/default")
    assert kept["public_key"] == keys.public_pem(ANN)
