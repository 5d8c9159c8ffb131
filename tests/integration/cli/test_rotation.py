"""Keys are replaced without a moment in which none works, whatever fails on the way."""

import fcntl
import io
import json
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from pushcli.cli import root
from pushcli.errors import ConfigError, KeyFileError, PushcliError
from pushcli.exit_status import ExitStatus
from pushcli.terminal.context import App
from tests.integration.cli.operated import Operated
from tests.support import key_files
from tests.support.between import BROKEN, Between, Reply, Request, between
from tests.support.fleet import Fleet
from tests.support.identities import Signer, new_user, superuser

pytestmark = pytest.mark.timeout(60)
"""The first test starts the server."""


class Ann:
    """A user of the real server, whose requests a test may break on their way.

    Args:
        file: her key.
    """

    def __init__(self, user: Signer, way: Between, file: Path) -> None:
        self._user = user
        self.way = way
        self.file = file

    @property
    def keys(self) -> dict[str, float]:
        """When her keys end, by name, as the server has them."""
        root, folder = superuser(self._user.fleet), f"/users/{self._user.name}/keys"
        names = [one["name"] for one in root.get(folder)]
        return {name: end_of(root.get(f"{folder}/{name}")) for name in names}

    def accepts(self, key: RSAPrivateKey) -> bool:
        """Whether the server accepts requests that this key signs."""
        status = self._user.signing_with(key)("GET", f"/users/{self._user.name}/keys").status
        assert status in {200, 401}
        return status == 200

    def rotate(self, *arguments: str, key: Path | str | None = None) -> str:
        """`pushcli user rotate-key` as she, in this process; what it printed."""
        out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        env = {
            "PUSHCLI_SERVER_URL": self.way.url, "PUSHCLI_USER": self._user.name,
            "PUSHCLI_KEY": str(key or self.file), "HOME": str(self.file.parent),
        }  # fmt: skip
        err = io.StringIO()
        app = App(stdout=out, stderr=err, stdin=None, env=env)
        with root.make_context("pushcli", ["user", "rotate-key", *arguments], obj=app) as context:
            root.invoke(context)
        self.noted = err.getvalue()
        assert isinstance(out.buffer, io.BytesIO)
        return out.buffer.getvalue().decode()


def end_of(key: dict[str, Any]) -> float:
    date = key["expiration_date"]
    return math.inf if date == "infinity" else datetime.fromisoformat(date).timestamp()


@pytest.fixture
def ann(operated: Operated, tmp_path: Path) -> Iterator[Ann]:
    """A user and a key of its own for each test."""
    pair, file = key_files.another(), tmp_path / "ann.pem"
    keys.write_private_key(file, pair)
    with between(operated.fleet.url) as way:
        yield Ann(new_user(operated.fleet, pair), way, file)


def load(path: Path) -> RSAPrivateKey:
    return key_files.read(path)


def files(beside: Path) -> list[str]:
    return sorted(path.name for path in beside.parent.iterdir())


def test_the_new_key_works_and_the_former_one_for_a_while(ann: Ann) -> None:
    former, began = load(ann.file), time.time()
    shown = json.loads(ann.rotate("--overlap", "2h", "-F", "json"))
    assert keys.public_pem(load(ann.file)) != keys.public_pem(former)
    assert keys.public_pem(load(ann.file.with_name("ann.pem.old"))) == keys.public_pem(former)
    assert ann.accepts(load(ann.file))
    assert ann.accepts(former)
    assert began + 7_199 <= ann.keys["default"] <= time.time() + 7_201
    assert files(ann.file) == ["ann.pem", "ann.pem.old"]
    for file in ann.file.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
    assert shown["former"] == "default"
    assert shown["key"] in ann.keys
    assert "PRIVATE" not in json.dumps(shown)


def test_without_an_overlap_the_former_key_is_gone(ann: Ann) -> None:
    former = load(ann.file)
    said = ann.rotate("--overlap", "0")
    assert "is no longer valid" in said
    # The previous one signs nothing any more.
    assert "ask another editor to run `pushcli whitelist editors add" in ann.noted
    assert "previous" not in ann.noted
    assert not ann.accepts(former)
    assert ann.accepts(load(ann.file))
    ann.rotate("--overlap", "0")
    assert len(ann.keys) == 1


def test_a_symbolic_link_goes_on_leading_to_the_key(ann: Ann) -> None:
    link = ann.file.with_name("link.pem")
    link.symlink_to("ann.pem")
    ann.rotate(key=link)
    assert link.is_symlink()
    assert ann.accepts(load(link))


def interrupt(_: Request) -> Reply:
    """Ctrl-C, while an answer is waited for."""
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    return BROKEN


FAILURES: dict[str, Callable[[Request], Reply]] = {
    "refused": lambda _: Reply(403, b'{"error": ["no"]}'),
    "failing": lambda _: Reply(500, b'{"error": ["broken"]}'),
    "broken": lambda _: BROKEN,
    "interrupted": interrupt,
    "nonsense": lambda _: Reply(200, b'["what?"]'),
}


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("at", range(6))
def test_whatever_fails_the_file_has_a_key_that_works(ann: Ann, at: int, failure: str) -> None:
    def interfere(request: Request) -> Reply | None:
        return FAILURES[failure](request) if len(ann.way.requests) - 1 == at else None

    ann.way.interfere = interfere
    try:
        ann.rotate()
        # The answers to changes are not looked at: the next request shows whether they held.
        assert failure == "nonsense" or at > 4
    except (PushcliError, KeyboardInterrupt):
        assert at < len(ann.way.requests)
    ann.way.interfere = lambda _: None
    assert ann.accepts(load(ann.file))
    assert [name for name in files(ann.file) if name.startswith(".")] == []
    ann.rotate()
    assert ann.accepts(load(ann.file))


def test_a_server_that_does_not_take_the_new_key_changes_nothing(ann: Ann) -> None:
    before = ann.file.read_bytes()
    ann.way.interfere = lambda request: (
        Reply(401, b'{"error": ["Invalid signature"]}')
        if request.method == "GET" and "/keys/rotated-" in request.target
        else None
    )
    with pytest.raises(PushcliError, match="nothing was changed"):
        ann.rotate()
    assert ann.file.read_bytes() == before
    assert list(ann.keys) == ["default"]
    assert files(ann.file) == ["ann.pem"]


def test_an_end_that_the_server_refuses_is_said(ann: Ann) -> None:
    ann.way.interfere = lambda request: (
        Reply(403, b'{"error": ["no"]}') if request.method == "PUT" else None
    )
    with pytest.raises(PushcliError, match="the new key is in use, but the previous one, default"):
        ann.rotate()
    assert ann.accepts(load(ann.file))


def test_two_at_once_and_keys_in_the_credentials_are_refused(ann: Ann) -> None:
    with ann.file.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(KeyFileError, match="being replaced right now"):
            ann.rotate()
    with pytest.raises(ConfigError, match="file of its own"):
        ann.rotate(key=ann.file.read_text())
    assert ann.way.requests == []


def test_a_directory_that_cannot_be_written_changes_nothing(ann: Ann) -> None:
    ann.file.with_name("ann.pem.old").mkdir()
    with pytest.raises(KeyFileError, match="cannot replace"):
        ann.rotate()
    assert list(ann.keys) == ["default"]
    assert ann.accepts(load(ann.file))


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
        # What the former key let in is out with it, and the same agent is back by the new one.
        fleet.wait_available(["n1"])
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
