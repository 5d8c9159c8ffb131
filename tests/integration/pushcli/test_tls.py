"""Whom we talk to: pins, CA files and neither, over real TLS."""

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pushcli import tls
from pushcli.errors import ConfigError, ServerUnreachable
from tests.integration.pushcli import api_server
from tests.integration.pushcli.api_server import ApiServer
from tests.integration.pushcli.conftest import Connect
from tests.support import certificates
from tests.support.certificates import Certificate
from tests.support.waiting import patient

OTHER_PIN = "SHA256:" + "AB" * 32


def handshake(url: str, trust: tls.ServerTrust) -> None:
    """Connect, and check the pin as the client does."""
    parts = urlsplit(url)
    connection = http.client.HTTPSConnection(
        parts.hostname or "", parts.port, timeout=patient(10), context=tls.ssl_context(trust)
    )
    try:
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        trust.check_pin(connection.sock)
    finally:
        connection.close()


def test_a_context_trusts_the_pin_or_the_ca_file_and_nothing_else(
    certificate: Certificate, tmp_path: Path
) -> None:
    other = certificates.self_signed(tmp_path / "other", ["127.0.0.1"])
    with api_server.running(certificate.context) as server:
        handshake(server.url, tls.ServerTrust(fingerprint=certificate.fingerprint))
        handshake(server.url, tls.ServerTrust(ca_file=certificate.file))
        with pytest.raises(tls.NotPinned):
            handshake(server.url, tls.ServerTrust(fingerprint=OTHER_PIN))
        for trust in (tls.ServerTrust(), tls.ServerTrust(ca_file=other.file)):
            with pytest.raises(ssl.SSLCertVerificationError):
                handshake(server.url, trust)


def test_a_client_talks_to_the_pinned_server(certificate: Certificate, connect: Connect) -> None:
    with api_server.running(certificate.context) as server:
        client = connect(server.url, fingerprint=certificate.fingerprint)
        assert client.jobs() == {}
        assert client.jobs() == {}
    assert len(server.requests) == 2


def test_while_a_certificate_is_renewed_two_pins_are_good(
    certificate: Certificate, connect: Connect
) -> None:
    both = f"{OTHER_PIN}, {certificate.fingerprint}"
    with api_server.running(certificate.context) as server:
        handshake(server.url, tls.ServerTrust(fingerprint=both))
        assert connect(server.url, fingerprint=both).jobs() == {}
        neither = f"{OTHER_PIN},{OTHER_PIN}"
        with pytest.raises(tls.NotPinned):
            handshake(server.url, tls.ServerTrust(fingerprint=neither))
        with pytest.raises(ServerUnreachable, match="pinned"):
            connect(server.url, fingerprint=neither).jobs()
    assert len(server.requests) == 1, "nothing was sent where the pin was wrong"
    with pytest.raises(ConfigError):
        tls.ServerTrust(fingerprint=f"{OTHER_PIN},")


def test_a_client_talks_to_a_server_that_the_ca_file_proves(
    certificate: Certificate, connect: Connect
) -> None:
    with api_server.running(certificate.context) as server:
        assert connect(server.url, ca_file=certificate.file).jobs() == {}


def test_a_certificate_for_another_name_is_not_trusted_by_ca_file(
    tmp_path: Path, connect: Connect
) -> None:
    elsewhere = certificates.self_signed(tmp_path / "elsewhere", ["elsewhere.example.com"])
    with api_server.running(elsewhere.context) as server:
        with pytest.raises(ServerUnreachable, match="certificate is not trusted"):
            connect(server.url, ca_file=elsewhere.file).jobs()
        # A pin is of the certificate itself, whatever its names.
        assert connect(server.url, fingerprint=elsewhere.fingerprint).jobs() == {}


def test_a_client_without_pin_or_ca_file_refuses_a_self_signed_server(
    certificate: Certificate, connect: Connect
) -> None:
    with (
        api_server.running(certificate.context) as server,
        pytest.raises(ServerUnreachable, match=r"not trusted.*give --ca-file or --fingerprint"),
    ):
        connect(server.url).jobs()
    assert server.requests == []


def test_another_certificate_than_the_pinned_one_gets_not_a_byte(
    certificate: Certificate, connect: Connect
) -> None:
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            accepted, _ = listening.accept()
            with certificate.context.wrap_socket(accepted, server_side=True) as connection:
                try:
                    received.append(connection.recv(65_536))
                except OSError:
                    received.append(b"")

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/organizations/acme"
        with pytest.raises(ServerUnreachable, match=r"not the pinned one.*pin the new"):
            connect(url, fingerprint=OTHER_PIN).jobs()
        thread.join()
    assert received == [b""]


@pytest.fixture
def behind_proxy(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[ApiServer, list[str]]]:
    """A server that is reached as push.example.com; what the proxy was asked for."""
    with (
        api_server.running(certificate.context) as server,
        api_server.running_proxy(urlsplit(server.url).port or 0) as (proxy, asked),
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.delenv("NO_PROXY", raising=False)
        yield server, asked


BEHIND_PROXY = "https://push.example.com/organizations/acme"


def test_a_pin_holds_through_a_proxy(
    behind_proxy: tuple[ApiServer, list[str]], certificate: Certificate, connect: Connect
) -> None:
    server, asked = behind_proxy
    with pytest.raises(ServerUnreachable, match="not the pinned one"):
        connect(BEHIND_PROXY, fingerprint=OTHER_PIN).jobs()
    assert server.requests == []
    client = connect(BEHIND_PROXY, fingerprint=certificate.fingerprint)
    assert client.jobs() == {}
    client.close()
    assert asked == ["push.example.com:443"] * 2


def test_a_bundle_of_the_environment_does_not_widen_the_trust(
    behind_proxy: tuple[ApiServer, list[str]],
    certificate: Certificate,
    connect: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, _ = behind_proxy
    other = certificates.self_signed(tmp_path / "other", ["push.example.com"])
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate.file))
    with pytest.raises(ServerUnreachable, match="not trusted"):
        connect(BEHIND_PROXY, ca_file=other.file).jobs()
    assert server.requests == []


def test_passwords_in_netrc_stay_there(
    behind_proxy: tuple[ApiServer, list[str]],
    certificate: Certificate,
    connect: Connect,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, _ = behind_proxy
    netrc = tmp_path / "netrc"
    netrc.write_text("machine push.example.com login ann password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    connect(BEHIND_PROXY, fingerprint=certificate.fingerprint).jobs()
    assert "authorization" not in server.requests[0].headers


def test_a_server_on_this_machine_is_never_asked_through_a_proxy(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with api_server.running() as server:
        assert connect(server.url).jobs() == {}


def test_a_server_with_tls_is_told_from_one_that_is_down(
    certificate: Certificate, connect: Connect
) -> None:
    with api_server.running(certificate.context) as server:
        url = server.url.replace("https:", "http:")
        with pytest.raises(ServerUnreachable) as caught:
            connect(url).jobs()
    assert str(caught.value) == f"cannot reach {url}: this is an https server: give {server.url}"
    assert server.requests == []


def test_a_server_without_tls_is_told_plainly(connect: Connect) -> None:
    with api_server.running() as server:
        url = server.url.replace("http:", "https:")
        with pytest.raises(ServerUnreachable, match=r"TLS failed: .*check that it is https"):
            connect(url, fingerprint=OTHER_PIN).jobs()


def test_plain_http_beyond_this_machine_is_refused_before_anything_is_sent(
    connect: Connect,
) -> None:
    with pytest.raises(ConfigError, match="in the clear"):
        connect("http://push.example.com/organizations/acme")
