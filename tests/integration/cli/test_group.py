"""`pushcli group` against the real server."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pushcli.exit_status import ExitStatus
from tests.integration.cli.operated import Operated
from tests.integration.cli.program import assert_one_line

pytestmark = pytest.mark.timeout(90)


def test_groups_are_created_filled_emptied_and_deleted(operated: Operated) -> None:
    operated.ok("group", "create", "ops")
    assert_one_line(operated.run("group", "create", "ops"), ExitStatus.USAGE, "already exists")
    assert {"admins", "ops", "pushy_job_writers"} <= set(operated.json("group", "list"))
    shown = operated.ok(
        "group", "add", "ops", "--user", "operator", "--client", "sandbox-validator",
        "--group", "admins",
    )  # fmt: skip
    assert shown.splitlines() == [
        "name:    ops", "users:   operator", "clients: sandbox-validator", "groups:  admins",
    ]  # fmt: skip
    content = operated.json("group", "remove", "ops", "--client", "sandbox-validator")
    assert (content["users"], content["clients"]) == (["operator"], [])
    operated.ok("group", "delete", "ops", "-y")
    assert_one_line(operated.run("group", "show", "ops"), ExitStatus.NOT_FOUND, "ops")


def test_unknown_members_and_strangers_change_nothing(operated: Operated) -> None:
    operated.ok("group", "create", "few")
    unknown = operated.run("group", "add", "few", "--user", "operator", "--user", "nobody")
    assert_one_line(unknown, ExitStatus.NOT_FOUND, "not in the organization: user nobody")
    assert operated.json("group", "show", "few")["users"] == []
    operated.ok("group", "add", "few", "--user", "operator")
    strange = operated.run("group", "remove", "few", "--user", "operator", "--group", "admins")
    assert_one_line(strange, ExitStatus.NOT_FOUND, "admins")
    assert operated.json("group", "show", "few")["users"] == ["operator"]
    assert_one_line(operated.run("group", "add", "few"), ExitStatus.USAGE, "--user")


def test_the_signers_name_and_a_members_are_two_things(operated: Operated) -> None:
    operated.ok("group", "create", "mine")
    refused = operated.run("group", "add", "mine", "--user", "operator", "-u", "nobody")
    assert_one_line(refused, ExitStatus.NOT_ALLOWED, "nobody")


def test_admins_stays_and_keeps_somebody(operated: Operated) -> None:
    assert_one_line(operated.run("group", "delete", "admins", "-y"), ExitStatus.NOT_ALLOWED)
    last = operated.run("group", "remove", "admins", "--user", "operator")
    assert_one_line(last, ExitStatus.NOT_ALLOWED)
    assert "operator" in operated.json("group", "show", "admins")["users"]


def test_those_who_change_a_group_at_once_lose_nothing(operated: Operated) -> None:
    operated.ok("group", "create", "busy")
    names = [f"c{n}" for n in range(4)]
    for name in names:
        operated.ok("client", "create", name)
    with ThreadPoolExecutor(4) as pool:
        done = pool.map(lambda n: operated.run("group", "add", "busy", "--client", n).status, names)
        assert set(done) == {ExitStatus.OK}
    assert operated.json("group", "show", "busy")["clients"] == names


def test_who_is_out_already_is_said_when_somebody_must_stay(operated: Operated) -> None:
    operated.ok("client", "create", "helper", "--admin")
    operated.ok("client", "create", "other", "--admin")
    names = ("--client", "helper", "--client", "other", "--user", "operator")
    left = operated.run("group", "remove", "admins", *names)
    assert left.status == ExitStatus.NOT_ALLOWED
    still = operated.json("group", "show", "admins", *operated.superuser)
    for name in ("helper", "other", "operator"):
        is_in = name in still["actors"]
        assert is_in != (name in left.stderr.partition("out already:")[2])
