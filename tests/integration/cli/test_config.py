"""`pushcli config add-profile`, and what `user create` and `client create` print for it."""

import json
import shlex
import stat
import subprocess
from pathlib import Path

import pytest

from pushcli import keys
from pushcli.client.credentials import profiles
from pushcli.exit_status import ExitStatus
from tests.integration.cli.operated import Operated
from tests.integration.cli.program import PUSHCLI, Home, Result, assert_one_line
from tests.integration.cli.responder import Responder
from tests.support.key_files import damaged_key
from tests.support.waiting import patient

pytestmark = pytest.mark.timeout(60)
"""The first test starts the server."""


@pytest.fixture
def other(tmp_path: Path) -> Home:
    """The home of a colleague, on a machine without a profile."""
    return Home(tmp_path)


def sent(home: Home, text: str, *arguments: str) -> Result:
    """`pushcli config add-profile ARGUMENTS`, with a text on standard input."""
    done = subprocess.run(
        [*PUSHCLI, "config", "add-profile", *arguments], env=home.env, cwd=home.path, text=True,
        input=text, capture_output=True, timeout=patient(15), check=False,
    )  # fmt: skip
    return Result(done.returncode, done.stdout, done.stderr)


def credentials(home: Home) -> Path:
    return home.path / ".pushcli" / "credentials"


def test_a_colleague_has_a_profile_in_one_command(operated: Operated, other: Home) -> None:
    snippet = operated.ok("user", "create", "bob", "--print-profile", *operated.superuser)
    assert not (operated.place / "bob.pem").exists()
    operated.ok("group", "add", "pushy_job_readers", "--user", "bob")
    added = sent(other, snippet)
    assert added.status == ExitStatus.OK, added
    assert added.stderr == ""
    for file in ("credentials", "default.pem"):
        assert stat.S_IMODE((other.path / ".pushcli" / file).stat().st_mode) == 0o600
    assert "PRIVATE" not in credentials(other).read_text()
    assert other.run("node", "status").status == ExitStatus.OK
    # Nothing is overwritten: neither a profile nor a key.
    before = credentials(other).read_bytes()
    again = sent(other, snippet, "default")
    assert_one_line(again, ExitStatus.USAGE, "already has a profile 'default'")
    (other.path / ".pushcli" / "sandbox.pem").touch()
    assert_one_line(sent(other, snippet), ExitStatus.CONFIG, "sandbox.pem already exists")
    assert credentials(other).read_bytes() == before
    assert sent(other, snippet, "second").status == ExitStatus.OK
    assert list(profiles(credentials(other))) == ["default", "second"]


@pytest.mark.parametrize("kind", ["user", "client"])
def test_what_is_printed_for_them_works(operated: Operated, other: Home, kind: str) -> None:
    who = operated.superuser if kind == "user" else ()
    result = operated.run(kind, "create", f"eve-{kind}", *who)
    assert result.status == ExitStatus.OK
    file = operated.place / f"eve-{kind}.pem"
    (other.path / file.name).write_bytes(file.read_bytes())
    (other.path / file.name).chmod(0o600)
    adding = result.stderr.rpartition("pushcli config")[2].strip()
    added = other.run("config", *shlex.split(adding))
    assert added.status == ExitStatus.OK, added
    # The key is accepted; what its owner may not do yet is said, with the group.
    assert "pushcli group add pushy_job_readers" in added.stderr
    for line in result.stderr.splitlines():
        if "pushcli group" in line:
            operated.ok(*shlex.split(line.partition("pushcli ")[2]))
    assert other.run("node", "status").status == ExitStatus.OK


def test_programs_are_given_the_profile_too(operated: Operated) -> None:
    made = operated.json("client", "create", "ci", "--print-profile")
    assert made["key_file"] is None
    assert made["profile"]["client_key"].startswith("-----BEGIN")
    kept = operated.json("client", "create", "ci2", "--print-profile", "--key-file", "k.pem")
    assert kept["profile"]["client_key"] == "k.pem"
    assert (operated.place / "k.pem").exists()


def test_a_profile_that_does_not_work_is_not_added(operated: Operated, other: Home) -> None:
    pair = keys.generate()
    keys.write_private_key(other.path / "k.pem", pair)
    options = ("--server-url", operated.fleet.url, "-u", "operator", "-k", "k.pem")
    refused = other.run("config", "add-profile", *options)
    assert_one_line(refused, ExitStatus.NOT_ALLOWED, "--no-check")
    gone = operated.fleet.url.replace(str(operated.fleet.ports[0]), "1")
    assert_one_line(
        other.run("config", "add-profile", *options, "--server-url", gone),
        ExitStatus.UNREACHABLE, "--no-check",
    )  # fmt: skip
    assert not credentials(other).exists()
    assert other.run("config", "add-profile", *options, "--no-check").status == ExitStatus.OK
    assert profiles(credentials(other))["default"]["client_key"] == str(other.path / "k.pem")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "standard input is not a profile"),
        ("[a]\n[b]\n", "standard input is not a profile"),
        ("[a", "standard input is not a profile"),
        ('[a]\nclient_name = "x"\n', "has no chef_server_url"),
        ('[a]\nclient_name = "x"\nclient_key = "k"\nchef_server_url = "http://x"\n',
         "organization"),
        ('[a]\nclient_name = "x"\nclient_key = "-----BEGIN x"\n'
         'chef_server_url = "http://127.0.0.1:1/organizations/x"\n', "private key"),
    ],
)  # fmt: skip
def test_what_is_no_profile_is_refused(other: Home, text: str, words: str) -> None:
    result = sent(other, text, "--no-check")
    assert result.status in {ExitStatus.USAGE, ExitStatus.CONFIG}
    assert_one_line(result, result.status, words)
    assert not credentials(other).exists()


def test_of_what_is_no_key_of_ours_only_texts_are_kept(operated: Operated, other: Home) -> None:
    """Lists that other programs put there are none that we could write."""
    snippet = operated.ok("client", "create", "listed", "--print-profile")
    odd = 'note = "kept"\nratios = [inf]\nplugins = [{name = "x"}]\n'
    assert sent(other, snippet + odd, "--no-check").status == ExitStatus.OK
    [profile] = profiles(credentials(other)).values()
    assert profile["note"] == "kept"
    assert not {"ratios", "plugins"} & set(profile)


def test_a_key_that_others_can_read_is_refused(other: Home, responder: Responder) -> None:
    keys.write_private_key(other.path / "k.pem", keys.generate())
    (other.path / "k.pem").chmod(0o644)
    options = ("--server-url", responder.url, "-u", "ann", "-k", "k.pem", "--no-check")
    refused = other.run("config", "add-profile", *options)
    assert_one_line(refused, ExitStatus.CONFIG, "chmod 600")
    (other.path / "k.pem").chmod(0o600)
    added = other.run("config", "add-profile", "acme", *options, "-F", "json")
    said = json.loads(added.stdout)
    assert said == {"profile": "acme", "file": str(credentials(other)), "checked": False}


def test_a_key_whose_numbers_are_none_is_refused(other: Home, responder: Responder) -> None:
    keys.write_private_key(other.path / "k.pem", damaged_key())
    options = ("--server-url", responder.url, "-u", "ann", "-k", "k.pem", "--no-check")
    refused = other.run("config", "add-profile", *options)
    assert_one_line(refused, ExitStatus.CONFIG, "no readable private key in ")
    assert not credentials(other).exists()
