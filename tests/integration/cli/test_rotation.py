"""Keys are replaced without a moment in which none works, whatever fails on the way."""

import fcntl
import io
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from pushcli.cli import root
from pushcli.errors import ConfigError, KeyFileError, PushcliError
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.fleet import Fleet
from pushcli.terminal.context import App
from tests.integration.cli.key_server import NOTHING, KeyServer, Wish, goes_on
from tests.integration.cli.operated import Operated
from tests.integration.cli.played_server import URL, playing


@pytest.fixture
def key_path(tmp_path: Path) -> Path:
    """A key of its own for each test."""
    path = tmp_path / "ann.pem"
    keys.write_private_key(path, keys.generate())
    return path


@pytest.fixture
def server(key_path: Path) -> Iterator[KeyServer]:
    """Knows that key."""
    server = KeyServer(keys.load_private_key(key_path))
    with playing(server.answer):
        yield server


def rotate(key: Path | str, *arguments: str, home: Path | None = None) -> str:
    """`pushcli user rotate-key` as ann, in this process; what it printed."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    profile = {"PUSHCLI_SERVER_URL": URL, "PUSHCLI_USER": "ann", "PUSHCLI_KEY": str(key)}
    app = App(stdout=out, stderr=io.StringIO(), stdin=None, env={**profile, "HOME": str(home)})
    with root.make_context("pushcli", ["user", "rotate-key", *arguments], obj=app) as context:
        root.invoke(context)
    assert isinstance(out.buffer, io.BytesIO)
    return out.buffer.getvalue().decode()


def load(path: Path) -> RSAPrivateKey:
    return keys.load_private_key(path)


def files(beside: Path) -> list[str]:
    return sorted(path.name for path in beside.parent.iterdir())


def test_the_new_key_works_and_the_former_one_for_a_while(
    server: KeyServer, key_path: Path
) -> None:
    former = load(key_path)
    shown = json.loads(rotate(key_path, "--overlap", "2h", "-F", "json"))
    assert keys.public_pem(load(key_path)) != keys.public_pem(former)
    assert keys.public_pem(load(key_path.with_name("ann.pem.old"))) == keys.public_pem(former)
    assert server.accepts(load(key_path))
    assert server.accepts(former)
    end = datetime.fromisoformat(server.keys["default"]["expiration_date"]).timestamp()
    assert abs(end - (time.time() + 7_200)) < 60
    assert files(key_path) == ["ann.pem", "ann.pem.old"]
    for file in key_path.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
    assert shown["former"] == "default"
    assert shown["key"] in server.keys
    assert "PRIVATE" not in json.dumps(shown)


def test_without_an_overlap_the_former_key_is_gone(server: KeyServer, key_path: Path) -> None:
    former = load(key_path)
    said = rotate(key_path, "--overlap", "0")
    assert "is no longer valid" in said
    assert not server.accepts(former)
    assert server.accepts(load(key_path))
    rotate(key_path, "--overlap", "0")
    assert len(server.keys) == 1


def test_a_symbolic_link_goes_on_leading_to_the_key(server: KeyServer, key_path: Path) -> None:
    link = key_path.with_name("link.pem")
    link.symlink_to("ann.pem")
    rotate(link)
    assert link.is_symlink()
    assert server.accepts(load(link))


def interrupted() -> None:
    """Ctrl-C while the answer is awaited; none comes."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


FAILURES: dict[str, Callable[[], Wish | None]] = {
    "refused": lambda: (403, {"error": ["no"]}),
    "failing": lambda: (500, {"error": ["broken"]}),
    "broken": lambda: None,
    "interrupted": interrupted,
    "nonsense": lambda: (200, ["what?"]),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("at", range(6))
def test_whatever_fails_the_file_has_a_key_that_works(
    server: KeyServer, key_path: Path, at: int, failure: str
) -> None:
    seen = 0

    def interfere(_request: str) -> Wish | None:
        nonlocal seen
        seen += 1
        return FAILURES[failure]() if seen - 1 == at else NOTHING

    server.interfere = interfere
    try:
        rotate(key_path)
        # The answers to changes are not looked at: the next request shows whether they held.
        assert failure == "nonsense" or at > 4
    except (PushcliError, KeyboardInterrupt):
        pass
    server.interfere = goes_on
    assert server.accepts(load(key_path))
    assert [name for name in files(key_path) if name.startswith(".")] == []
    rotate(key_path)
    assert server.accepts(load(key_path))


def test_a_server_that_does_not_take_the_new_key_changes_nothing(
    server: KeyServer, key_path: Path
) -> None:
    before = key_path.read_bytes()
    server.interfere = lambda r: (
        (401, {"error": ["Invalid signature"]}) if r.startswith("GET rotated-") else NOTHING
    )
    with pytest.raises(PushcliError, match="nothing was changed"):
        rotate(key_path)
    assert key_path.read_bytes() == before
    assert list(server.keys) == ["default"]
    assert files(key_path) == ["ann.pem"]


def test_an_end_that_the_server_refuses_is_said(server: KeyServer, key_path: Path) -> None:
    server.interfere = lambda r: (403, {"error": ["no"]}) if r.startswith("PUT") else NOTHING
    with pytest.raises(PushcliError, match="the new key is in use, but the previous one, default"):
        rotate(key_path)
    assert server.accepts(load(key_path))


def test_two_at_once_and_keys_in_the_credentials_are_refused(
    server: KeyServer, key_path: Path
) -> None:
    with key_path.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(KeyFileError, match="being replaced right now"):
            rotate(key_path)
    with pytest.raises(ConfigError, match="file of its own"):
        rotate(key_path.read_text())
    assert server.requests == []


def test_a_directory_that_cannot_be_written_changes_nothing(
    server: KeyServer, key_path: Path
) -> None:
    key_path.with_name("ann.pem.old").mkdir()
    with pytest.raises(KeyFileError, match="cannot replace"):
        rotate(key_path)
    assert list(server.keys) == ["default"]
    assert server.accepts(load(key_path))


@pytest.mark.timeout(90)
def test_an_operators_key_on_the_real_server(operated: Operated) -> None:
    file = Path(operated.fleet.profile.client_key)
    former = file.read_bytes()
    done = operated.json("user", "rotate-key", "--overlap", "1h")
    assert file.read_bytes() != former
    old = ("-k", f"{file}.old")
    assert "operator" in operated.json("user", "list")
    assert "operator" in operated.json("user", "list", *old)
    keys_now = operated.json("user", "key", "list", "operator")
    assert {key["name"]: key["expired"] for key in keys_now} == {
        "default": False, done["key"]: False,
    }  # fmt: skip
    operated.ok("user", "rotate-key", "--overlap", "0")
    assert operated.run("user", "list", *old).status == ExitStatus.NOT_ALLOWED
    assert "operator" in operated.json("user", "list")


@pytest.mark.timeout(90)
def test_a_running_agent_goes_on_with_its_new_key(tmp_path: Path) -> None:
    with Fleet(tmp_path, ["n1"], whitelist={"true": "true"}) as fleet:
        place = fleet.agent_directory("n1")
        former = (place / "client.pem").read_bytes()
        done = fleet.cli("agent", "rotate-key", "--dir", str(place), "--overlap", "0")
        assert done.returncode == ExitStatus.OK, done.stderr
        assert (place / "client.pem").read_bytes() != former
        assert (place / "client.pem.old").read_bytes() == former
        # It goes on, and every later configuration is asked for with the new key.
        os.kill(fleet.pid("n1"), signal.SIGUSR1)
        assert fleet.cli("job", "start", "true", "n1").returncode == ExitStatus.OK
        fleet.end_agent("n1")
        fleet.start_agent("n1")
        fleet.wait_available(["n1"])
        assert "Invalid signature" not in fleet.log("n1").read_text()


@pytest.mark.timeout(90)
def test_agents_take_edits_of_a_new_key_that_the_former_one_vouches_for(tmp_path: Path) -> None:
    with Fleet(tmp_path, ["n1"]) as fleet:
        add = ("whitelist", "add", "greet", "echo greetings", "n1")
        rotated = fleet.cli("user", "rotate-key", "--overlap", "0", "--vouch")
        assert rotated.returncode == ExitStatus.OK, rotated.stderr
        done = fleet.cli(*add)
        assert done.returncode == ExitStatus.OK, done.stdout + done.stderr
        rotated = fleet.cli("user", "rotate-key", "--overlap", "0")
        assert "whitelist editors add" in rotated.stderr
        assert fleet.cli(*add).returncode == ExitStatus.NOT_IN_FORCE
