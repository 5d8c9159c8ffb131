"""`pushcli client` against the real server."""

import pytest

from pushcli import keys
from pushcli.exit_status import ExitStatus
from tests.integration.cli.operated import Operated
from tests.integration.cli.program import assert_one_line

pytestmark = pytest.mark.timeout(60)


def test_clients_are_created_shown_and_deleted(operated: Operated) -> None:
    made = operated.json("client", "create", "deployer", "--admin")
    assert made["key_file"] == str(operated.place / "deployer.pem")
    assert {"deployer", "sandbox-validator"} <= set(operated.json("client", "list"))
    shown = operated.ok("client", "show", "deployer")
    assert [line.split(":")[0] for line in shown.splitlines()] == [
        "name", "organization", "admin", "validator", "key",
    ]  # fmt: skip
    assert made["fingerprint"] in shown
    assert "admin:        yes" in shown
    # It signs, and may what administrators may.
    operated.ok("client", "list", "-u", "deployer", "-k", "deployer.pem")
    operated.ok("client", "delete", "deployer", "-y")
    gone = operated.run("client", "list", "-u", "deployer", "-k", "deployer.pem")
    assert_one_line(gone, ExitStatus.NOT_ALLOWED)
    assert_one_line(operated.run("client", "show", "deployer"), ExitStatus.NOT_FOUND, "deployer")


def test_a_taken_name_is_said_and_leaves_no_key(operated: Operated) -> None:
    refused = operated.run("client", "create", "sandbox-validator", "--key-file", "k.pem")
    assert_one_line(refused, ExitStatus.USAGE, "already exists")
    assert not (operated.place / "k.pem").exists()


def test_a_public_key_is_one(operated: Operated) -> None:
    keys.write_private_key(operated.place / "private.pem", keys.generate())
    refused = operated.run("client", "create", "x", "--public-key", "private.pem")
    assert_one_line(refused, ExitStatus.CONFIG, "is a private key", "-pubout")
    both = operated.run("client", "create", "x", "--public-key", "a", "--key-file", "b")
    assert_one_line(both, ExitStatus.USAGE, "give one of the two")


def test_a_clients_keys(operated: Operated) -> None:
    operated.ok("client", "create", "program")
    added = operated.ok("client", "key", "add", "program", "--expires", "7d")
    name = added.split()[4].rstrip(",")
    assert name.startswith("key-")
    own = ("-u", "program", "-k", f"program-{name}.pem")
    assert [key["name"] for key in operated.json("client", "key", "list", "program", *own)] == [
        "default", name,
    ]  # fmt: skip
    operated.ok("client", "key", "delete", "program", "default", "-y")
    assert len(operated.json("client", "key", "list", "program")) == 1


def test_the_validator_can_be_switched_off(operated: Operated) -> None:
    operated.ok("client", "create", "other-validator", "--validator")
    enroll = (
        "agent", "enroll", "--server", operated.fleet.url, "--validator", "other-validator.pem",
        "--validator-name", "other-validator",
    )  # fmt: skip
    operated.ok(*enroll, "--node-name", "v1", "--dir", str(operated.place / "v1"))
    operated.ok("client", "delete", "other-validator", "-y")
    refused = operated.run(*enroll, "--node-name", "v2", "--dir", str(operated.place / "v2"))
    assert_one_line(refused, ExitStatus.NOT_ALLOWED, "--validator")
    assert not (operated.place / "v2").exists()


def test_a_client_that_is_no_node_is_not_deleted_as_one(operated: Operated) -> None:
    refused = operated.run("node", "delete", "sandbox-validator", "ghost", "-y")
    assert_one_line(
        refused, ExitStatus.NOT_FOUND, "no such node: sandbox-validator, ghost", "client delete"
    )
    assert "sandbox-validator" in operated.json("client", "list")
    unasked = operated.run("node", "delete", "ghost")
    assert unasked.status == ExitStatus.NOT_FOUND


def test_a_node_without_a_client_is_deleted_after_asking(operated: Operated) -> None:
    operated.fleet.api.post("nodes", {"name": "bare"})
    unasked = operated.run("node", "delete", "bare")
    assert_one_line(unasked, ExitStatus.USAGE, "no terminal to confirm on", "-y")
    status, shown = operated.typed("y\n", "node", "delete", "bare")
    assert (status, "Delete the node bare, with client and keys?" in shown) == (0, True)
    assert "bare" not in operated.fleet.api.get("nodes")
    assert operated.json("client", "list")
