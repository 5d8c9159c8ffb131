"""Enrolment as an operator does it, against a Chef Infra Server as it answers, or one that fails.

With our own server it is in tests/e2e and wherever a fleet is made.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from pushcli.protocol import verification
from pushcli_agent import config
from pushcli_agent.config import Overrides


class Registry:
    """Takes clients that the validator registers."""

    def __init__(self, validator: RSAPrivateKey) -> None:
        self.validator = validator.public_key()
        self.refuse: tuple[int, str] | None = None
        self.clients: dict[str, str] = {}
        self.signers: list[str] = []
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self.http.server_port}/organizations/acme"

    def take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any]:
        """Answer one POST."""
        signed = verification.parse_headers(headers, time.time())
        self.signers.append(signed.user)
        if not verification.verify(signed, self.validator, method="POST", path=path, body=body):
            return 401, {"error": ["Invalid signature for user or client"]}
        if self.refuse is not None:
            return self.refuse[0], {"error": [self.refuse[1]]}
        value = json.loads(body)
        if path != "/organizations/acme/clients" or set(value) != {"name", "public_key"}:
            return 400, {"error": ["unexpected"]}
        if value["name"] in self.clients:
            return 409, {"error": ["Client already exists"]}
        self.clients[value["name"]] = value["public_key"]
        return 201, {"uri": f"{self.url}/clients/{value['name']}"}


def _handler(registry: Registry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, value = registry.take(self.path, headers, body)
            answer = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


@pytest.fixture
def registry(server_key: RSAPrivateKey) -> Iterator[Registry]:
    """A server that knows the validator."""
    running = Registry(server_key)
    thread = threading.Thread(target=running.http.serve_forever, args=(0.05,))
    thread.start()
    yield running
    running.http.shutdown()
    thread.join()
    running.http.server_close()


@pytest.fixture
def validator(tmp_path: Path, server_key: RSAPrivateKey) -> Path:
    """Its key file."""
    path = tmp_path / "validator.pem"
    keys.write_private_key(path, server_key)
    return path


def enroll(directory: Path, url: str, validator: Path, *more: str) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "pushcli", "agent", "enroll", "--server", url,
         "--validator", str(validator), "--node-name", "web01", "--dir", str(directory), *more],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def assert_one_line(text: str) -> None:
    assert len(text.splitlines()) == 1, text
    assert "Traceback" not in text


def test_the_node_makes_its_key_and_registers_the_public_half(
    registry: Registry, validator: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "new" / "agent"
    status, stdout, stderr = enroll(directory, registry.url, validator)
    assert (status, stderr) == (0, "")
    assert "web01 is enrolled" in stdout
    assert stdout.endswith(f"Start it: pushcli agent start --dir {directory}\n")
    key = keys.load_private_key(directory / "client.pem")
    assert registry.clients == {"web01": keys.public_pem(key)}
    assert registry.signers == ["acme-validator"]
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
    registry: Registry, validator: Path, tmp_path: Path
) -> None:
    pin = "SHA256:" + ":".join(["AB"] * 32)
    directory = tmp_path / "agent"
    status, _, stderr = enroll(
        directory, registry.url, validator, "--fingerprint", pin, "--validator-name", "enroller"
    )
    assert (status, stderr) == (0, "")
    assert registry.signers == ["enroller"]
    assert config.load(directory / "agent.toml", Overrides()).fingerprint == pin


def test_a_second_enrolment_says_what_is_there_and_changes_nothing(
    registry: Registry, validator: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "agent"
    enroll(directory, registry.url, validator)
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    status, _, stderr = enroll(directory, registry.url, validator)
    assert status == 9
    assert_one_line(stderr)
    assert "is already enrolled: it contains agent.toml" in stderr
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_a_key_without_settings_is_not_overwritten(
    registry: Registry, validator: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "agent"
    directory.mkdir()
    (directory / "client.pem").write_text("precious")
    status, _, stderr = enroll(directory, registry.url, validator)
    assert status == 9
    assert "it contains client.pem" in stderr
    assert (directory / "client.pem").read_text() == "precious"
    assert registry.clients == {}


@pytest.mark.parametrize(
    ("refusal", "status", "text"),
    [
        ((403, "no access"), 6, "no access"),
        ((409, "Client already exists"), 2, "web01 is already registered"),
        ((500, "oops"), 10, "oops"),
    ],
)
def test_a_refused_enrolment_leaves_nothing_behind(
    registry: Registry,
    validator: Path,
    tmp_path: Path,
    refusal: tuple[int, str],
    status: int,
    text: str,
) -> None:
    registry.refuse = refusal
    directory = tmp_path / "agent"
    code, _, stderr = enroll(directory, registry.url, validator)
    assert code == status
    assert_one_line(stderr)
    assert text in stderr
    assert not directory.exists()


def test_a_wrong_validator_key_is_told_plainly(registry: Registry, tmp_path: Path) -> None:
    other = tmp_path / "other.pem"
    keys.write_private_key(other, keys.generate())
    code, _, stderr = enroll(tmp_path / "agent", registry.url, other)
    assert code == 6
    assert_one_line(stderr)
    assert "check --validator" in stderr


def test_a_directory_that_was_there_stays_when_enrolment_fails(
    registry: Registry, validator: Path, tmp_path: Path
) -> None:
    registry.refuse = (500, "oops")
    directory = tmp_path / "agent"
    directory.mkdir()
    (directory / ".client.pem.new").write_text("left by a crash")
    enroll(directory, registry.url, validator)
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
    registry: Registry, validator: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    code, _, stderr = enroll(tmp_path / "file" / "agent", registry.url, validator)
    assert code == 9
    assert_one_line(stderr)
    assert registry.clients == {}
