"""What a job's caller chooses must not turn a whitelisted command into one of his own.

Each attack is real: on a node without lists, as version 0.1.0 enrolled it, it succeeds. A
node with lists does not run it for our command line, and for old clients runs it unharmed.
"""

import json
import os
import re
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from pushcli import keys
from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from pushcli_agent.config import OPEN
from tests.e2e.conftest import FAST
from tests.support.fleet import Fleet
from tests.support.waiting import job_is, patient, start, until

pytestmark = pytest.mark.timeout(60)
URL = "https://localhost:1/install.sh"
"""Nobody answers there: what comes back is what a proxy of the caller's says."""
FETCH = f"import urllib.request as u; print(u.urlopen({URL!r}).read().decode())"
WHITELIST: dict[str, Any] = {
    "python-install": f'"{sys.executable}" -c "{FETCH}" | sh',
    "curl-install": f"curl -s {URL} | sh",
    "build": f"make -s -f {Path(__file__).parent}/callers_choice.mk app",
    "parse": [sys.executable, "-c", "import json"],
    "relative": ["./deploy"],
    "checkout": 'echo "on branch [$BRANCH]"',
}


@dataclass
class Proxy:
    """Answers every request for any host with a script, under a certificate of its own."""

    script: str
    certificate: Path
    authority: str
    accepted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with suppress(OSError), connection:
                connection.settimeout(patient(5))
                self.accepted.append(connection.recv(4096).decode().partition("\r")[0])
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                with self._context.wrap_socket(connection, server_side=True) as secure:
                    secure.recv(4096)
                    body = self.script.encode()
                    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
                    secure.sendall(head.encode() + body)


def certificate(directory: Path) -> tuple[Path, str]:
    """A key with its certificate in one file, and the certificate alone as text."""
    key = keys.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "evil")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    pem = made.public_bytes(serialization.Encoding.PEM).decode()
    file = directory / "proxy.pem"
    keys.write_private_key(file, key)
    with file.open("a") as appended:
        appended.write(pem)
    return file, pem


@dataclass(frozen=True)
class Attacker:
    """His files, his proxy, and the file that his code leaves behind."""

    marker: Path
    directory: Path
    proxy: Proxy

    def job(self, attack: str) -> dict[str, Any]:
        """What he sends beside the command."""
        if attack in ("parse", "relative"):
            return {"dir": str(self.directory)}
        if attack == "build":
            return {"env": {"CC": f"touch {self.marker};", "CFLAGS": "-x"}}
        return {
            "env": {
                "https_proxy": self.proxy.url,
                "SSL_CERT_FILE": "/proc/self/environ",
                # What curl reads first, and the agent may have set.
                "CURL_CA_BUNDLE": "/proc/self/environ",
                "NOTES": f"\n{self.proxy.authority}",
            }
        }


ATTACKS = ("python-install", "curl-install", "build", "parse", "relative")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A node that was enrolled by version 0.1.0, and one that the present version enrolled."""
    directory = tmp_path_factory.mktemp("fleet")
    fleet = Fleet(directory, ["open", "closed"], whitelist=WHITELIST, settings=FAST)
    try:
        fleet.make_server()
        fleet.start_server()
        fleet.enroll(fleet.nodes)
        file = fleet.agent_directory("open") / "agent.toml"
        lists = "|".join(OPEN.values())
        text, count = re.subn(rf"(?m)^({lists}) = \[\]\n", "", file.read_text())
        assert count == len(OPEN)
        file.write_text(text)
        for node in fleet.nodes:
            fleet.start_agent(node)
        fleet.wait_available(fleet.nodes)
        yield fleet
    finally:
        fleet.stop()


@pytest.fixture
def attacker(tmp_path: Path) -> Iterator[Attacker]:
    """Nothing of his has run yet."""
    marker, place = tmp_path / "marker", tmp_path / "place"
    place.mkdir()
    (place / "json.py").write_text(f"open({str(marker)!r}, 'w')\n")
    (place / "deploy").write_text(f"#!/bin/sh\ntouch {marker}\n")
    (place / "deploy").chmod(0o755)
    proxy = Proxy(f"touch {marker}\n", *certificate(tmp_path))
    yield Attacker(marker, place, proxy)
    proxy.close()


@pytest.mark.parametrize("attack", ATTACKS)
def test_without_lists_an_attack_succeeds_as_it_did_in_0_1_0(
    fleet: Sandbox, attacker: Attacker, attack: str
) -> None:
    job = start(fleet, attack, "open", **attacker.job(attack))
    job_is(fleet, job, "complete")
    assert attacker.marker.exists()


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_node_with_lists_refuses_it_and_says_what_would_allow_it(
    fleet: Sandbox, attacker: Attacker, attack: str
) -> None:
    sent = attacker.job(attack)
    options = ["--with-env", json.dumps(sent["env"])] if "env" in sent else []
    options += ["--in-dir", sent["dir"]] if "dir" in sent else []
    for more in ((), ("--dry-run",)):
        done = fleet.cli("job", "start", attack, "closed", *options, *more)
        assert done.returncode == ExitStatus.QUORUM_FAILED, done.stdout + done.stderr
        setting = OPEN["env" if "env" in sent else "dir"]
        assert re.search(rf"closed \(.* not allowed: allow it with {setting} = \[", done.stdout)
    assert not attacker.marker.exists()
    assert attacker.proxy.accepted == []


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_node_with_lists_does_not_fall_for_it_when_an_old_client_sends_it(
    fleet: Sandbox, attacker: Attacker, attack: str
) -> None:
    sent = attacker.job(attack)
    job = job_is(fleet, start(fleet, attack, "closed", **sent), "complete", "quorum_failed")
    # Renamed as the old agent does it; a directory has no other name.
    assert job["status"] == ("quorum_failed" if "dir" in sent else "complete")
    assert not attacker.marker.exists()
    assert attacker.proxy.accepted == []


def test_a_job_of_an_old_client_gets_its_variables_renamed(fleet: Sandbox) -> None:
    add = ("whitelist", "add", "renamed", 'echo "[$BRANCH] [$CHEF_PUSH_ENV_BRANCH]"', "closed")
    assert fleet.cli(*add).returncode == ExitStatus.OK
    job = start(fleet, "renamed", "closed", env={"BRANCH": "main"}, capture_output=True)
    job_is(fleet, job, "complete")
    assert fleet.api.job_output(job, "closed", "stdout") == b"[] [main]\n"


def test_a_job_of_ours_never_runs_with_an_empty_variable(fleet: Sandbox) -> None:
    ours = ("job", "start", "--capture", "checkout", "closed", "--with-env", '{"BRANCH": "main"}')
    done = fleet.cli(*ours)
    assert done.returncode == ExitStatus.QUORUM_FAILED
    assert 'or env = ["BRANCH"] in the entry' in done.stdout
    # As the message says; the entry of the server has another name, for a local one wins.
    add = ("whitelist", "add", "switch", WHITELIST["checkout"], "closed", "--allow-env", "BRANCH")
    assert fleet.cli(*add).returncode == ExitStatus.OK
    done = fleet.cli(*(word.replace("checkout", "switch") for word in ours))
    assert done.returncode == ExitStatus.OK, done.stdout
    assert "on branch [main]" in done.stdout


def test_an_entry_says_where_and_as_whom_it_runs(fleet: Sandbox, tmp_path: Path) -> None:
    add = ("whitelist", "add", "where", "pwd; id -un", "closed", "--in-dir", "/usr/bin")
    more = ("--allow-dir", "/etc", "--as-user", "nobody")
    assert fleet.cli(*add, *more).returncode == ExitStatus.OK
    shown = json.loads(fleet.cli("whitelist", "show", "closed", "where", "-F", "json").stdout)
    assert shown["entry"]["value"] == {
        "command_line": "pwd; id -un", "dir": "/usr/bin", "dirs": ["/etc"], "user": "nobody"
    }  # fmt: skip
    for options, printed in (
        ((), "/usr/bin"),
        (("--in-dir", "/usr/bin"), "/usr/bin"),
        (("--in-dir", "/etc", "--as-user", "nobody"), "/etc"),
    ):
        done = fleet.cli("job", "start", "--capture", "where", "closed", *options)
        assert done.returncode == ExitStatus.OK, done.stdout
        assert f"{printed}\n" in done.stdout
        assert "nobody" in done.stdout
    for options in (("--in-dir", "/"), ("--as-user", "daemon")):
        done = fleet.cli("job", "start", "where", "closed", *options)
        assert done.returncode == ExitStatus.QUORUM_FAILED
        assert "not allowed: allow it with" in done.stdout


def test_nodes_that_are_open_are_told_found_and_warned_of(fleet: Sandbox) -> None:
    done = fleet.cli("node", "status")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [(row[0], row[1], row[4]) for row in rows] == [
        ("closed", "available", ""), ("open", "available", "env, dir, user")
    ]  # fmt: skip
    assert done.stderr.count("open: env, dir, user") == 1
    assert "open: open: env, dir, user" in done.stderr
    states = {
        n["node_name"]: n for n in json.loads(fleet.cli("node", "status", "-F", "json").stdout)
    }
    assert {name: state["open"] for name, state in states.items()} == {
        "open": ["env", "dir", "user"], "closed": [],
    }  # fmt: skip
    for query in (*(f"pushcli_open:{kind}" for kind in OPEN), "pushcli_open:*"):
        until(
            lambda query=query: fleet.cli("node", "search", "-i", query).stdout.split() == ["open"],  # type: ignore[misc]
            query,
        )
    warned = fleet.log("open").read_text()
    assert warned.count("open: env, dir, user") == 1
    assert "agent.toml has no allowed_overwritable_env_vars, allowed_dirs, allowed_users" in warned
    assert "open:" not in fleet.log("closed").read_text()


def test_a_node_that_is_closed_by_a_reload_is_reported_as_closed(fleet: Sandbox) -> None:
    file = fleet.agent_directory("open") / "agent.toml"
    text = file.read_text()
    file.write_text("".join(f"{key} = []\n" for key in OPEN.values()) + text)
    os.kill(fleet.pid("open"), signal.SIGUSR1)
    until(lambda: fleet.api.get("pushy/node_status/open").get("open") == [], "it says so")
    until(lambda: not fleet.cli("node", "search", "-i", "pushcli_open:*").stdout, "search says so")
