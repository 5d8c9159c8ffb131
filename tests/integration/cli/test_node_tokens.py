"""`pushcli node token`, and enrolling with what it gives, against the real server."""

import json
from pathlib import Path

import pytest

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli_agent.whitelist import editors
from tests.integration.cli.operated import Operated
from tests.integration.cli.program import Result, assert_one_line

pytestmark = pytest.mark.timeout(60)


def enroll(operated: Operated, node: str, *options: str, **env: str) -> Result:
    """`pushcli agent enroll` into a directory named as the node."""
    return operated.run(
        "agent", "enroll", "--server", operated.fleet.url, "--node-name", node,
        "--dir", str(operated.place / node), *options, **env,
    )  # fmt: skip


def test_a_token_enrolls_one_node_and_no_second(operated: Operated) -> None:
    made = operated.run("node", "token", "create")
    token = made.stdout.strip()
    assert "one enrolment" in made.stderr
    assert token not in made.stderr
    enrolled = enroll(operated, "t1", PUSHCLI_ENROLL_TOKEN=token)
    assert enrolled.status == ExitStatus.OK, enrolled
    assert "t1 is enrolled" in enrolled.stdout
    assert token not in enrolled.stdout + enrolled.stderr
    place = operated.place / "t1"
    assert sorted(f.name for f in place.iterdir()) == ["agent.toml", "client.pem", "editors.json"]
    for file in place.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
    assert "t1" in operated.json("client", "list")
    refused = enroll(operated, "t2", "--token", token)
    assert_one_line(refused, ExitStatus.NOT_ALLOWED, "pushcli node token create")
    assert token not in refused.stderr
    assert not (operated.place / "t2").exists()


def test_the_editors_are_pinned_and_shown(operated: Operated) -> None:
    token = operated.ok("node", "token", "create").strip()
    shown = enroll(operated, "t3", "--token", token).stdout
    operator = keys.load_private_key(Path(operated.fleet.profile.client_key))
    fingerprint = keys.fingerprint(operator)
    assert f"operator  {fingerprint}" in shown
    assert set(editors.load(operated.place / "t3" / "editors.json").trusted) == {fingerprint}
    content = json.loads((operated.place / "t3" / "editors.json").read_text())
    assert content["editors"] == [
        {"name": "operator", "public_key": keys.public_pem(operator), "fingerprint": fingerprint}
    ]


def test_those_who_are_trusted_by_hand_are_the_only_ones(operated: Operated) -> None:
    token = operated.ok("node", "token", "create", "--uses", "2").strip()
    pair = keys.generate()
    (operated.place / "grace.pub").write_text(keys.public_pem(pair))
    shown = enroll(operated, "t4", "--token", token, "--trust-editor", "grace.pub").stdout
    assert f"grace  {keys.fingerprint(pair)}" in shown
    assert "operator" not in shown
    pinned = editors.load(operated.place / "t4" / "editors.json").trusted
    assert set(pinned) == {keys.fingerprint(pair)}


def test_the_validators_way_pins_them_too(operated: Operated) -> None:
    validator = operated.fleet.server_directory / "keys" / "sandbox-validator.pem"
    enrolled = enroll(operated, "t5", "--validator", str(validator))
    assert "operator  SHA256:" in enrolled.stdout
    assert len(editors.load(operated.place / "t5" / "editors.json").trusted) == 1


def test_a_token_for_one_node_is_for_no_other(operated: Operated) -> None:
    made = operated.json("node", "token", "create", "--node", "t6", "--expires", "90s")
    (operated.place / "token").write_text(made["token"] + "\n")
    refused = enroll(operated, "t7", "--token-file", "token")
    assert refused.status == ExitStatus.NOT_ALLOWED
    assert enroll(operated, "t6", "--token-file", "token").status == ExitStatus.OK


def test_a_name_that_is_taken_costs_no_use(operated: Operated) -> None:
    token = operated.ok("node", "token", "create").strip()
    taken = enroll(operated, "sandbox-validator", "--token", token)
    assert_one_line(taken, ExitStatus.USAGE, "already registered")
    assert enroll(operated, "t8", "--token", token).status == ExitStatus.OK


def test_tokens_are_listed_without_their_secrets_and_deleted(operated: Operated) -> None:
    made = operated.json("node", "token", "create", "--uses", "5", "--expires", "2d")
    secret = made["token"].partition(".")[2]
    listed = operated.ok("node", "token", "list")
    row = next(line for line in listed.splitlines() if line.startswith(made["id"]))
    assert row.split("\t")[1] == "5"
    assert row.split("\t")[3:] == ["any", "operator"]
    assert secret not in listed
    assert secret not in json.dumps(operated.json("node", "token", "list"))
    operated.ok("node", "token", "delete", made["id"], "-y")
    assert made["id"] not in operated.ok("node", "token", "list")
    gone = operated.run("node", "token", "delete", made["id"], "-y")
    assert_one_line(gone, ExitStatus.NOT_FOUND)
    assert enroll(operated, "t9", "--token", made["token"]).status == ExitStatus.NOT_ALLOWED


@pytest.mark.parametrize(
    "options", [("--uses", "0"), ("--expires", "31d"), ("--expires", "0"), ("--node", "a/b")]
)
def test_what_no_token_can_be_is_refused(operated: Operated, options: tuple[str, str]) -> None:
    refused = operated.run("node", "token", "create", *options)
    assert_one_line(refused, ExitStatus.USAGE, options[0])


def test_one_way_in_must_be_given(operated: Operated) -> None:
    assert_one_line(enroll(operated, "x1"), ExitStatus.USAGE, "PUSHCLI_ENROLL_TOKEN")
    both = enroll(operated, "x1", "--token", "a", "--validator", "b")
    assert_one_line(both, ExitStatus.USAGE, "cannot be combined")
