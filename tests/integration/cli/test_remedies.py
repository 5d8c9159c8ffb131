"""Refusals say what to do, to whoever reads them."""

import pytest

from pushcli import keys
from pushcli.exit_status import ExitStatus
from tests.integration.cli.operated import Operated
from tests.integration.cli.program import Home, assert_one_line

pytestmark = pytest.mark.timeout(60)
"""The first test starts the server."""


def test_a_query_that_cannot_be_read_comes_with_one_that_can(operated: Operated) -> None:
    refused = operated.run("node", "search", "role:(")
    assert_one_line(refused, ExitStatus.USAGE, "invalid search query", "'role:web* AND NOT")


def test_an_administrator_is_not_sent_to_an_administrator(operated: Operated) -> None:
    operated.ok("user", "create", "root2", *operated.superuser)
    as_root2 = ("-u", "root2", "-k", str(operated.place / "root2.pem"))
    refused = operated.run("node", "status", *as_root2)
    assert_one_line(refused, ExitStatus.NOT_ALLOWED, "ask an administrator to run `pushcli group")
    operated.ok("group", "add", "admins", "--user", "root2")
    refused = operated.run("node", "status", *as_root2)
    command = "pushcli group add pushy_job_readers --user root2"
    assert_one_line(refused, ExitStatus.NOT_ALLOWED, f"you are an administrator: run `{command}`")
    operated.ok(*command.split()[1:])
    assert operated.run("node", "status", *as_root2).status == ExitStatus.OK


def test_a_refusal_names_the_group_that_gives_the_right(operated: Operated) -> None:
    operated.ok("user", "create", "carl", *operated.superuser)
    me = ("-u", "carl", "-k", str(operated.place / "carl.pem"))
    for group in ("readers", "writers"):
        operated.run("group", "remove", f"pushy_job_{group}", "--user", "carl")
    for words, action, group in (
        (("job", "list"), "look at jobs, output and node states", "pushy_job_readers"),
        (("job", "start", "x", "n", "--allow-unknown", "-q", "0"), "start and abort jobs",
         "pushy_job_writers"),
        (("node", "token", "list"), "make tokens for nodes", "admins"),
    ):  # fmt: skip
        refused = operated.run(*words, *me)
        command = f"pushcli group add {group} --user carl"
        assert_one_line(
            refused, ExitStatus.NOT_ALLOWED, f"carl may not {action}", f"(group {group})",
            f"ask an administrator to run `{command}`",
        )  # fmt: skip
        operated.ok(*command.split()[1:])
        assert operated.run(*words, *me).status == ExitStatus.OK
        operated.ok("group", "remove", group, "--user", "carl")
    refused = operated.run("user", "list", "--all", *me)
    assert_one_line(
        refused, ExitStatus.NOT_ALLOWED, "carl may not look at and change users of the server",
        "only superusers of the server may", "-u NAME -k KEY",
    )  # fmt: skip


def test_who_signs_with_a_key_that_nobody_vouches_for_is_told_what_to_do(
    operated: Operated,
) -> None:
    pair = keys.generate()
    (operated.place / "new.pub").write_text(keys.public_pem(pair))
    for command in ("add", "remove"):
        result = operated.run("whitelist", "editors", command, "newone", "new.pub")
        assert result.status == ExitStatus.OK, result
        assert "pushcli whitelist editors add operator FILE" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("job", "status", "zz"), "see `pushcli job list`"),
        (("user", "key", "add", "ann", "--expires", "90"), "write 90s, 90m, 90h or 90d"),
        (("user", "rotate-key", "--overlap", "24"), "write 24s, 24m, 24h or 24d"),
        (("audit", "--since", "2"), "write 2s, 2m, 2h or 2d"),
        (("node", "token", "create", "--expires", "30"), "write 30s"),
    ],
)
def test_each_remedy_stands_once(home: Home, arguments: tuple[str, ...], words: str) -> None:
    result = home.run(*arguments)
    assert_one_line(result, ExitStatus.USAGE, words)
    assert result.stderr.count("see `") <= 1
