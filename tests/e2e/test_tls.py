"""The whole chain over TLS with a pinned certificate, from the first day."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcli.exit_status import ExitStatus
from pushcli.sandbox.sandbox import Sandbox
from tests.support.fleet import SlowFleet

pytestmark = pytest.mark.timeout(60)
WRONG = "SHA256:" + ":".join(["00"] * 32)


@pytest.fixture(scope="module")
def tls_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    directory = tmp_path_factory.mktemp("tls")
    with SlowFleet(directory, ["n1"], whitelist={"true": "true"}, with_tls=True) as fleet:
        yield fleet


def test_a_job_runs_over_tls_with_a_pinned_certificate(tls_fleet: Sandbox) -> None:
    assert tls_fleet.profile.fingerprint is not None
    assert tls_fleet.url.startswith("https://")
    assert tls_fleet.cli("job", "start", "true", "n1").returncode == ExitStatus.OK


def test_another_certificate_than_the_pinned_one_is_refused(tls_fleet: Sandbox) -> None:
    done = tls_fleet.cli("node", "status", "--fingerprint", WRONG)
    assert done.returncode == ExitStatus.UNREACHABLE
    assert "pinned" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_self_signed_certificate_can_be_given_as_ca_file_too(tls_fleet: Sandbox) -> None:
    profile = tls_fleet.profile
    certificate = tls_fleet.server_directory / "tls" / "cert.pem"
    common = ("--server-url", tls_fleet.url, "--user", profile.client_name)
    key = ("--key", str(profile.client_key))
    done = tls_fleet.cli("node", "status", *common, *key, "--ca-file", str(certificate))
    assert done.returncode == ExitStatus.OK, done.stderr


def test_a_node_cannot_be_enrolled_against_a_wrong_pin(tls_fleet: Sandbox, tmp_path: Path) -> None:
    validator = tls_fleet.server_directory / "keys" / "sandbox-validator.pem"
    done = tls_fleet.cli(
        "agent", "enroll", "--server", tls_fleet.url, "--validator", str(validator),
        "--node-name", "n2", "--dir", str(tmp_path / "a"), "--fingerprint", WRONG,
    )  # fmt: skip
    assert done.returncode == ExitStatus.UNREACHABLE
    assert not (tmp_path / "a" / "agent.toml").exists()


def test_plain_http_beyond_loopback_is_refused_by_all(tls_fleet: Sandbox, tmp_path: Path) -> None:
    url = "http://192.0.2.1:10003/organizations/acme"
    assert tls_fleet.cli("node", "status", "--server-url", url).returncode == ExitStatus.CONFIG
    validator = tls_fleet.server_directory / "keys" / "sandbox-validator.pem"
    enroll = ("agent", "enroll", "--server", url, "--validator", str(validator))
    done = tls_fleet.cli(*enroll, "--node-name", "n2", "--dir", str(tmp_path / "a"))
    assert done.returncode == ExitStatus.CONFIG
    init = ("server", "init", "--dir", str(tmp_path / "s"), "--org", "x", "--admin", "y")
    done = tls_fleet.cli(*init, "--no-tls", "--set", "api_listen_address=0.0.0.0")
    assert done.returncode == ExitStatus.CONFIG
    assert "in the clear" in done.stderr
