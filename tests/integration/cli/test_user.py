"""`pushcli user` against the real server."""

import pytest

from pushcli import keys
from pushcli.exit_status import ExitStatus
from tests.integration.cli.operated import Operated
from tests.integration.cli.program import assert_one_line
from tests.support import key_files

pytestmark = pytest.mark.timeout(60)
"""The first test starts the server."""


def test_a_superuser_creates_users_who_can_sign_and_belong_to_the_organization(
    operated: Operated,
) -> None:
    created = operated.ok(
        "user", "create", "ann", "--email", "ann@example.com", "--display-name", "Ann A.",
        *operated.superuser,
    )  # fmt: skip
    file = operated.place / "ann.pem"
    assert str(file) in created
    assert "PRIVATE" not in created
    assert file.stat().st_mode & 0o777 == 0o600
    assert operated.json("user", "list") == ["ann", "operator"]
    shown = operated.ok("user", "show", "ann", "-u", "ann", "-k", str(file))
    pem = keys.public_pem(key_files.read(file))
    for words in ("Ann A.", "ann@example.com", keys.fingerprint(keys.load_public_key(pem))):
        assert words in shown
    assert operated.json("user", "show", "ann")["public_key"] == pem
    # In no group, she may not look at jobs.
    refused = operated.run("job", "list", "-u", "ann", "-k", str(file))
    assert_one_line(refused, ExitStatus.NOT_ALLOWED)
    operated.ok("group", "add", "pushy_job_readers", "--user", "ann")
    operated.ok("job", "list", "-u", "ann", "-k", str(file))


def test_somebody_elses_public_key_is_registered(operated: Operated) -> None:
    pair = keys.generate()
    (operated.place / "bob.pub").write_text(keys.public_pem(pair))
    operated.ok("user", "create", "bob", "--public-key", "bob.pub", "--no-associate",
                *operated.superuser)  # fmt: skip
    assert not (operated.place / "bob.pem").exists()
    assert "bob" not in operated.json("user", "list")
    assert "bob" in operated.json("user", "list", "--all", *operated.superuser)
    operated.ok("user", "add", "bob")
    assert "bob" in operated.json("user", "list")
    operated.ok("user", "remove", "bob", "-y")
    assert "bob" not in operated.json("user", "list")
    operated.ok("user", "delete", "bob", "-y", *operated.superuser)
    assert "bob" not in operated.json("user", "list", "--all", *operated.superuser)


def test_who_exists_already_is_said_and_how_to_take_them_in(operated: Operated) -> None:
    refused = operated.run("user", "create", "operator", "--key-file", "x", *operated.superuser)
    assert_one_line(refused, ExitStatus.USAGE, "already exists", "pushcli user add operator")
    assert not (operated.place / "x").exists()


def test_an_administrator_of_an_organization_creates_no_users(operated: Operated) -> None:
    refused = operated.run("user", "create", "eve", "--key-file", "eve.pem")
    assert_one_line(
        refused, ExitStatus.NOT_ALLOWED, "superuser", "-u pivotal -k DIR/keys/pivotal.pem"
    )
    assert not (operated.place / "eve.pem").exists()


def test_the_last_administrator_stays(operated: Operated) -> None:
    refused = operated.run("user", "remove", "operator", "-y")
    assert_one_line(refused, ExitStatus.NOT_ALLOWED, "admin")
    assert "operator" in operated.json("user", "list")


def test_deleting_asks_first(operated: Operated) -> None:
    operated.ok("user", "create", "carl", *operated.superuser)
    assert_one_line(
        operated.run("user", "delete", "carl", *operated.superuser), ExitStatus.USAGE, "-y"
    )
    for answer in ("\n", "n\n"):
        status, written = operated.typed(answer, "user", "delete", "carl", *operated.superuser)
        assert status == ExitStatus.OK
        assert "Delete the user carl? [y/N]" in written
        assert "nothing was changed" in written
    status, _ = operated.typed("y\n", "user", "delete", "carl", *operated.superuser)
    assert status == ExitStatus.OK
    assert_one_line(operated.run("user", "show", "carl"), ExitStatus.NOT_FOUND)


@pytest.mark.parametrize("name", ["a/b", "", "..", "a b", "ä"])
def test_names_are_checked_before_anything_is_asked(operated: Operated, name: str) -> None:
    for command in (("user", "show"), ("client", "create"), ("group", "delete")):
        refused = operated.run(*command, name, "--server-url", "http://127.0.0.1:1/organizations/x")
        assert_one_line(refused, ExitStatus.USAGE, f"invalid {command[0]} name")


def test_keys_come_and_go(operated: Operated) -> None:
    operated.ok("user", "create", "dora", *operated.superuser)
    dora = ("-u", "dora", "-k", "dora.pem")
    added = operated.json("user", "key", "add", "dora", "--key-name", "laptop", "--expires", "1h",
                          *dora)  # fmt: skip
    assert added["key_file"] == str(operated.place / "dora-laptop.pem")
    listed = operated.ok("user", "key", "list", "dora", "-u", "dora", "-k", "dora-laptop.pem")
    names = [line.split("\t")[:3] for line in listed.splitlines()]
    assert names[0] == ["default", "valid", "never"]
    assert names[1][:2] == ["laptop", "valid"]
    assert added["fingerprint"] in listed
    again = operated.run("user", "key", "add", "dora", "--key-name", "laptop", "--key-file", "z",
                         *dora)  # fmt: skip
    assert_one_line(again, ExitStatus.USAGE, "--key-name")
    operated.ok("user", "key", "delete", "dora", "default", "-y", "-u", "dora", "-k",
                "dora-laptop.pem")  # fmt: skip
    assert operated.run("user", "key", "list", "dora", *dora).status == ExitStatus.NOT_ALLOWED
    last = operated.run("user", "key", "delete", "dora", "laptop", "-y", "-u", "dora", "-k",
                        "dora-laptop.pem")  # fmt: skip
    assert last.status in {ExitStatus.NOT_ALLOWED, ExitStatus.USAGE}
    assert "last" in last.stderr


def test_others_keys_are_none_of_anybodys_business(operated: Operated) -> None:
    refused = operated.run("user", "key", "add", "pivotal", "--key-file", "mine.pem")
    assert_one_line(refused, ExitStatus.NOT_ALLOWED)
    assert not (operated.place / "mine.pem").exists()
