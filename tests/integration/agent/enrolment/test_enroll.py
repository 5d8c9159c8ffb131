"""Enrolment as an operator does it, against a Chef Infra Server as it answers, or one that fails.

With our own server it is in tests/e2e and wherever a fleet is made.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import free_ports
from pushcli_agent import config
from pushcli_agent.config import Overrides
from pushcli_agent.whitelist import editors
from tests.support import in_process
from tests.support.chef_server import ChefServer, chef_server
from tests.support.identities import KEYS
from tests.support.waiting import until

CLIENTS, NODES = "/organizations/acme/clients", "/organizations/acme/nodes"


@pytest.fixture
def chef(server_key: RSAPrivateKey) -> Iterator[ChefServer]:
    """A server that knows the validator, by two names."""
    with chef_server(KEYS[3].public_key()) as chef:
        chef.organizations = {"acme"}
        chef.validators = {"acme-validator", "enroller"}
        for name in chef.validators:
            chef.keys["acme", "client", name] = [keys.public_pem(server_key)]
        yield chef


def url_of(chef: ChefServer) -> str:
    return f"{chef.url}/organizations/acme"


def registered(chef: ChefServer) -> dict[str, list[str]]:
    """The clients that are there now, with their keys."""
    return {
        name: held for (_, kind, name), held in chef.keys.items()
        if kind == "client" and name not in chef.validators
    }  # fmt: skip


@pytest.fixture
def validator(tmp_path: Path, server_key: RSAPrivateKey) -> Path:
    """Its key file."""
    path = tmp_path / "validator.pem"
    keys.write_private_key(path, server_key)
    return path


def command(directory: Path, url: str, validator: Path, *more: str) -> list[str]:
    return [
        sys.executable, "-m", "pushcli", "agent", "enroll", "--server", url,
        "--validator", str(validator), "--node-name", "web01", "--dir", str(directory), *more,
    ]  # fmt: skip


def enroll(directory: Path, url: str, validator: Path, *more: str) -> tuple[int, str, str]:
    """Exit status, standard output, standard error; the command runs in this process."""
    arguments = command(directory, url, validator, *more)[3:]
    said = in_process.outcome(os.environ, *arguments)
    return said.status, said.stdout, said.stderr


def enroll_by_program(
    directory: Path, url: str, validator: Path, *more: str
) -> tuple[int, str, str]:
    """The same, by the program."""
    done = subprocess.run(
        command(directory, url, validator, *more), capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout, done.stderr


def assert_one_line(text: str) -> None:
    assert len(text.splitlines()) == 1, text
    assert "Traceback" not in text


def test_the_node_makes_its_key_and_registers_the_public_half(
    chef: ChefServer, validator: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "new" / "agent"
    status, stdout, stderr = enroll_by_program(directory, url_of(chef), validator)
    assert (status, stderr) == (0, "")
    assert "web01 is enrolled" in stdout
    assert stdout.endswith(f"Start it: pushcli agent start --dir {directory}\n")
    key = keys.load_private_key(directory / "client.pem")
    assert registered(chef) == {"web01": [keys.public_pem(key)]}
    assert chef.signers == [("acme-validator", "POST", CLIENTS), ("web01", "POST", NODES)]
    assert directory.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in directory.iterdir()) == ["agent.toml", "client.pem"]
    for path in directory.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600
    settings = config.load(directory / "agent.toml", Overrides())
    assert (settings.node_name, settings.organization) == ("web01", "acme")
    assert settings.client_key == str(directory / "client.pem")
    # Jobs choose nothing until somebody says what.
    assert settings.open == ()
    for setting in config.OPEN.values():
        assert getattr(settings, setting) == []


def test_what_proves_the_server_and_another_validator_are_taken_over(
    chef: ChefServer, validator: Path, tmp_path: Path
) -> None:
    pin = "SHA256:" + ":".join(["AB"] * 32)
    directory = tmp_path / "agent"
    status, _, stderr = enroll_by_program(
        directory, url_of(chef), validator, "--fingerprint", pin, "--validator-name", "enroller"
    )
    assert (status, stderr) == (0, "")
    assert chef.signers[0] == ("enroller", "POST", CLIENTS)
    assert config.load(directory / "agent.toml", Overrides()).fingerprint == pin


def broken_off(chef: ChefServer, directory: Path, validator: Path) -> bytes:
    """An enrolment that the server left without an answer; the key that is kept of it."""
    chef.fault = "half"
    assert enroll(directory, url_of(chef), validator)[0] == 7
    chef.fault = ""
    return (directory / ".client.pem.new").read_bytes()


def gone() -> str:
    """A URL where nobody listens."""
    return f"http://127.0.0.1:{free_ports(1)[0]}/organizations/acme"


def test_several_urls_are_asked_in_turn_and_all_are_the_agent_s(
    chef: ChefServer, validator: Path, tmp_path: Path
) -> None:
    directory, first = tmp_path / "agent", gone()
    status, _, stderr = enroll(directory, first, validator, "--server", url_of(chef))
    assert status == 0, stderr
    assert list(registered(chef)) == ["web01"]
    settings = config.load(directory / "agent.toml", Overrides())
    assert settings.server_urls == (first, url_of(chef))


def test_urls_of_several_organizations_are_refused_before_anything_is_done(
    chef: ChefServer, validator: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "agent"
    other = f"{chef.url}/organizations/beta"
    status, _, stderr = enroll(directory, url_of(chef), validator, "--server", other)
    assert status == ExitStatus.CONFIG
    assert_one_line(stderr)
    assert "several organizations (acme, beta)" in stderr
    assert not directory.exists()
    assert registered(chef) == {}


def test_an_enrolment_that_broke_off_goes_on_with_one_url_more(
    chef: ChefServer, validator: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "agent"
    kept = broken_off(chef, directory, validator)
    status, _, stderr = enroll(directory, gone(), validator)
    assert status == ExitStatus.CONFIG
    assert "that broke off" in stderr
    assert enroll(directory, gone(), validator, "--server", url_of(chef))[0] == 0
    assert (directory / "client.pem").read_bytes() == kept


def test_a_second_enrolment_says_what_is_there_and_changes_nothing(
    chef: ChefServer, validator: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "agent"
    enroll_by_program(directory, url_of(chef), validator)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    status, _, stderr = enroll_by_program(directory, url_of(chef), validator)
    assert status == 9
    assert_one_line(stderr)
    assert "is already enrolled: it contains agent.toml" in stderr
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_a_key_without_settings_is_not_overwritten(
    chef: ChefServer, validator: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "agent"
    directory.mkdir()
    (directory / "client.pem").write_text("precious")
    status, _, stderr = enroll(directory, url_of(chef), validator)
    assert status == 9
    assert "it contains client.pem" in stderr
    assert (directory / "client.pem").read_text() == "precious"
    assert registered(chef) == {}


def test_editors_that_were_pinned_before_it_broke_off_are_told(
    chef: ChefServer, validator: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "agent"
    named = [{"name": "ann", "public_key": keys.public_pem(KEYS[0])}]
    chef.instead["POST", CLIENTS] = (201, {"uri": "u", "editors": named})
    assert enroll(directory, url_of(chef), validator)[0] == 0
    # As if it had been killed before its last step.
    (directory / "agent.toml").rename(directory / ".agent.toml.new")
    key = keys.load_private_key(directory / "client.pem")
    chef.keys["acme", "client", "web01"] = [keys.public_pem(key)]
    status, stdout, _ = enroll(directory, url_of(chef), validator)
    assert status == 0
    assert keys.fingerprint(KEYS[0]) in stdout


def test_what_somebody_laid_beside_an_enrolment_that_broke_off_stays(
    chef: ChefServer, validator: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "agent"
    kept = broken_off(chef, directory, validator)
    for content, node in ((b"precious", "web01"), (kept, "web02")):
        (directory / ".client.pem.new").unlink(missing_ok=True)
        (directory / "client.pem").unlink(missing_ok=True)
        keys.write_secret(directory / "client.pem", content)
        status, _, stderr = enroll(directory, url_of(chef), validator, "--node-name", node)
        assert status == 9
        assert_one_line(stderr)
        assert "it contains client.pem" in stderr
        assert (directory / "client.pem").read_bytes() == content
    assert registered(chef) == {}
    # What broke off with it goes on.
    assert enroll(directory, url_of(chef), validator)[0] == 0


@pytest.mark.parametrize(
    ("refusal", "status", "text"),
    [
        ((403, "missing create permission"), 6, "acme-validator may not register nodes"),
        ((404, "organization 'acme' does not exist."), 8, "does not exist"),
        ((409, "Client already exists"), 2, "web01 is already registered: choose another"),
        ((400, "Field 'name' invalid"), 2, "Field 'name' invalid"),
    ],
)
def test_a_refused_enrolment_leaves_nothing_behind(
    chef: ChefServer,
    validator: Path,
    tmp_path: Path,
    refusal: tuple[int, str],
    status: int,
    text: str,
) -> None:
    chef.instead["POST", CLIENTS] = (refusal[0], {"error": [refusal[1]]})
    directory = tmp_path / "agent"
    code, _, stderr = enroll(directory, url_of(chef), validator)
    assert code == status
    assert_one_line(stderr)
    assert text in stderr
    assert not directory.exists()


FAILURES = [
    (500, {"error": ["oops"]}, "oops"),
    (200, b"<html>Chef Server</html>", "not JSON"),
    (201, {"error": "no"}, "unexpected answer"),
    (201, [[1]], "unexpected answer"),
    (302, b"", "redirect"),
    (201, {"uri": "u", "chef_key": {"public_key": keys.public_pem(KEYS[1])}}, "another key"),
    (201, {"uri": "u", "public_key": "none"}, "another key"),
]


@pytest.mark.parametrize(("status", "answer", "text"), FAILURES)
def test_a_key_that_may_be_registered_is_kept_and_used_the_next_time(
    chef: ChefServer, validator: Path, tmp_path: Path, status: int, answer: Any, text: str
) -> None:
    chef.instead["POST", CLIENTS] = (status, answer)
    directory = tmp_path / "agent"
    code, _, stderr = enroll(directory, url_of(chef), validator)
    assert code == 10, stderr
    assert_one_line(stderr)
    assert text in stderr
    assert "enroll again" in stderr
    kept = directory / ".client.pem.new"
    assert kept.stat().st_mode & 0o777 == 0o600
    pem = kept.read_bytes()
    chef.instead.clear()
    assert enroll(directory, url_of(chef), validator)[0] == 0
    assert (directory / "client.pem").read_bytes() == pem
    assert sorted(path.name for path in directory.iterdir()) == ["agent.toml", "client.pem"]


def test_who_is_killed_while_the_server_answers_goes_on_where_he_was(
    chef: ChefServer, validator: Path, tmp_path: Path
) -> None:
    chef.delay = 60.0
    directory = tmp_path / "agent"
    running = subprocess.Popen(command(directory, url_of(chef), validator))
    until(lambda: chef.asked[CLIENTS] == 1, "it asks")
    running.send_signal(signal.SIGKILL)
    running.wait()
    chef.delay = 0.0
    # It did what was asked; nobody heard of it.
    pem = keys.public_pem(keys.load_private_key(directory / ".client.pem.new"))
    chef.keys["acme", "client", "web01"] = [pem]
    status, stdout, stderr = enroll_by_program(directory, url_of(chef), validator)
    assert (status, stderr) == (0, "")
    assert "web01 is enrolled" in stdout
    assert registered(chef) == {"web01": [pem]}
    assert keys.public_pem(keys.load_private_key(directory / "client.pem")) == pem
    assert ("acme-validator", "POST", CLIENTS) not in chef.signers


def enroll_killed_at(number: int, arguments: list[str], directory: Path) -> bool:
    """Enroll, killed at this change to the directory; False: it came to its end before."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.killed", str(directory), str(number), *arguments],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode in {0, -signal.SIGKILL}, done.stderr
    return done.returncode != 0


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", ["first", "again", "named"])
def test_whenever_it_is_killed_the_same_command_enrolls_the_one_client(
    chef: ChefServer, validator: Path, tmp_path: Path, case: str
) -> None:
    editor = tmp_path / "ann.pub"
    editor.write_text(keys.public_pem(KEYS[0]))
    more = () if case == "named" else ("--trust-editor", str(editor))
    for number in count():
        directory = tmp_path / str(number)
        chef.keys.pop(("acme", "client", "web01"), None)
        if case == "again":
            # It is registered, which nobody heard.
            chef.instead["POST", CLIENTS] = (500, {})
            assert enroll(directory, url_of(chef), validator, *more)[0] == 10
            chef.instead.clear()
            kept = keys.load_private_key(directory / ".client.pem.new")
            chef.keys["acme", "client", "web01"] = [keys.public_pem(kept)]
        if case == "named":
            named = [{"name": "ann", "public_key": keys.public_pem(KEYS[0])}]
            chef.instead["POST", CLIENTS] = (201, {"uri": "u", "editors": named})
        arguments = command(directory, url_of(chef), validator, *more)[3:]
        was_killed = enroll_killed_at(number, arguments, directory)
        if was_killed and not (directory / "agent.toml").exists():
            status, stdout, stderr = enroll(directory, url_of(chef), validator, *more)
            assert (number, status) == (number, 0), stderr
            assert keys.fingerprint(KEYS[0]) in stdout
        key = keys.load_private_key(directory / "client.pem")
        held = {} if case == "named" else {"web01": [keys.public_pem(key)]}
        assert registered(chef) == held
        assert sorted(path.name for path in directory.iterdir()) == [
            "agent.toml", "client.pem", "editors.json",
        ]  # fmt: skip
        assert len(editors.load(directory / "editors.json").trusted) == 1
        if not was_killed:
            break
    assert number > 8


def test_a_kept_key_is_not_lost_by_a_refusal_nor_used_for_another_node(
    chef: ChefServer, validator: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "agent"
    chef.fault = "half"
    assert enroll_by_program(directory, url_of(chef), validator)[0] == 7
    pem = (directory / ".client.pem.new").read_bytes()
    chef.fault = ""
    chef.instead["POST", CLIENTS] = (403, {"error": ["no"]})
    assert enroll_by_program(directory, url_of(chef), validator)[0] == 6
    assert (directory / ".client.pem.new").read_bytes() == pem
    chef.instead.clear()
    # Somebody else has the name meanwhile: that is nobody's to overwrite.
    chef.keys["acme", "client", "web01"] = [keys.public_pem(KEYS[1])]
    status, _, stderr = enroll_by_program(directory, url_of(chef), validator)
    assert status == 2
    assert "already registered" in stderr
    # Another node, or another server, takes it neither over nor away.
    for url, node in ((url_of(chef), "web02"), (f"{chef.url}/organizations/other", "web01")):
        status, _, stderr = enroll_by_program(directory, url, validator, "--node-name", node)
        assert status == 9
        assert_one_line(stderr)
        assert "an enrolment of web01 at" in stderr
        assert (directory / ".client.pem.new").read_bytes() == pem
    (directory / ".client.pem.new").unlink()
    assert enroll_by_program(directory, url_of(chef), validator, "--node-name", "web02")[0] == 0
    assert (directory / "client.pem").read_bytes() != pem
    assert registered(chef)["web01"] == [keys.public_pem(KEYS[1])]


def test_a_slash_at_the_end_of_the_url_is_the_same_server(
    chef: ChefServer, validator: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "agent"
    chef.fault = "half"
    assert enroll(directory, url_of(chef), validator)[0] == 7
    pem = (directory / ".client.pem.new").read_bytes()
    chef.fault = ""
    assert enroll(directory, f"{url_of(chef)}/", validator)[0] == 0
    assert (directory / "client.pem").read_bytes() == pem


@pytest.mark.parametrize("is_link", [False, True])
def test_a_key_that_somebody_else_laid_there_is_not_used(
    chef: ChefServer, validator: Path, tmp_path: Path, is_link: bool
) -> None:
    directory = tmp_path / "agent"
    chef.fault = "half"
    assert enroll(directory, url_of(chef), validator)[0] == 7
    chef.fault = ""
    kept = directory / ".client.pem.new"
    if is_link:
        kept.rename(tmp_path / "other.pem")
        kept.symlink_to(tmp_path / "other.pem")
    elif os.geteuid() == 0:
        os.chown(kept, 1, -1)
    else:
        pytest.skip("only root can give a file away")
    status, _, stderr = enroll(directory, url_of(chef), validator)
    assert status == 9
    assert_one_line(stderr)
    assert f"{kept} is not a file of this user" in stderr
    assert os.path.lexists(kept)
    assert registered(chef) == {}


def test_two_at_once_are_one(chef: ChefServer, validator: Path, tmp_path: Path) -> None:
    directory = tmp_path / "agent"
    chef.delay = 60.0
    running = subprocess.Popen(command(directory, url_of(chef), validator))
    try:
        until(lambda: chef.asked[CLIENTS] == 1, "it asks")
        chef.delay = 0.0
        status, _, stderr = enroll_by_program(directory, url_of(chef), validator)
        assert status == 9
        assert_one_line(stderr)
        assert "another enrolment is under way" in stderr
        assert registered(chef) == {}
    finally:
        running.kill()
        running.wait()


def test_a_server_of_version_0_is_asked_in_its_words(
    chef: ChefServer, validator: Path, tmp_path: Path
) -> None:
    chef.newest = 0
    status, _, stderr = enroll(tmp_path / "agent", url_of(chef), validator)
    assert (status, stderr) == (0, "")
    assert list(registered(chef)) == ["web01"]
    assert list(chef.nodes) == [("acme", "web01")]


def test_a_node_object_that_is_there_stays(
    chef: ChefServer, validator: Path, tmp_path: Path
) -> None:
    there = {"name": "web01", "run_list": ["role[web]"]}
    chef.nodes["acme", "web01"] = there
    status, _, stderr = enroll(tmp_path / "agent", url_of(chef), validator)
    assert (status, stderr) == (0, "")
    assert chef.nodes == {("acme", "web01"): {"name": "web01", "run_list": ["role[web]"]}}


def test_without_a_node_object_the_node_is_enrolled_and_told(
    chef: ChefServer, validator: Path, tmp_path: Path
) -> None:
    chef.instead["POST", NODES] = (403, {"error": ["missing create permission"]})
    status, stdout, stderr = enroll_by_program(tmp_path / "agent", url_of(chef), validator)
    assert status == 0
    assert "web01 is enrolled" in stdout
    assert_one_line(stderr)
    assert "web01 has no node object" in stderr
    assert "missing create permission" in stderr


def test_a_wrong_validator_key_is_told_plainly(chef: ChefServer, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    keys.write_private_key(other, keys.generate())
    code, _, stderr = enroll_by_program(tmp_path / "agent", url_of(chef), other)
    assert code == 6
    assert_one_line(stderr)
    assert "check --validator" in stderr


def test_a_directory_that_was_there_stays_when_enrolment_fails(
    chef: ChefServer, validator: Path, tmp_path: Path
) -> None:
    chef.instead["POST", CLIENTS] = (403, {"error": ["no"]})
    directory = tmp_path / "agent"
    directory.mkdir()
    keys.write_secret(directory / ".client.pem.new", b"left by a crash")
    enroll(directory, url_of(chef), validator)
    assert list(directory.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("http://192.0.2.1:10003/organizations/acme", 9),
        ("http://127.0.0.1:1/organizations/acme", 7),
        ("http://127.0.0.1:1", 9),
        ("nonsense", 9),
        ("https://[::1/organizations/acme", 9),
    ],
)
def test_a_server_that_cannot_be_used_is_one_line(
    validator: Path, tmp_path: Path, url: str, status: int
) -> None:
    code, _, stderr = enroll(tmp_path / "agent", url, validator)
    assert code == status
    assert_one_line(stderr)
    assert not (tmp_path / "agent").exists()


def test_a_place_that_cannot_be_written_is_one_line(
    chef: ChefServer, validator: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    code, _, stderr = enroll_by_program(tmp_path / "file" / "agent", url_of(chef), validator)
    assert code == 9
    assert_one_line(stderr)
    assert registered(chef) == {}
