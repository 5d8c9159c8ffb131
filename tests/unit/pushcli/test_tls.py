"""Fingerprints, certificates of our own, and URLs that may be used."""

import datetime as dt
import hashlib
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pushcli import tls
from pushcli.errors import ConfigError

DIGITS = "0123456789abcdef" * 4
PAIRS = ":".join(DIGITS[i : i + 2] for i in range(0, 64, 2))


@pytest.mark.parametrize(
    "text",
    [DIGITS, DIGITS.upper(), PAIRS, f"SHA256:{PAIRS.upper()}", f"sha256:{DIGITS}", f" {DIGITS}\n"],
)
def test_a_fingerprint_may_be_written_in_many_ways(text: str) -> None:
    assert tls.pin_digest(text) == DIGITS
    tls.ServerTrust(fingerprint=text)


@pytest.mark.parametrize(
    "text", ["", "SHA256:", DIGITS[:-1], DIGITS + "0", "x" * 64, f"SHA1:{DIGITS}", "٣" * 64]
)
def test_what_is_no_fingerprint_is_refused_at_once(text: str) -> None:
    with pytest.raises(ConfigError, match="invalid certificate fingerprint"):
        tls.ServerTrust(fingerprint=text)


def test_our_certificate_is_for_its_names_and_no_authority() -> None:
    pem, key = tls.make_self_signed(["push.example.com", "127.0.0.1", "::1"])
    certificate = x509.load_pem_x509_certificate(pem.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["push.example.com"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
    ]
    public = certificate.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert isinstance(public.curve, ec.SECP256R1)
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not basic.ca
    now = dt.datetime.now(dt.UTC)
    assert certificate.not_valid_before_utc < now
    assert certificate.not_valid_after_utc > now + dt.timedelta(days=3640)
    assert b"PRIVATE KEY" in key


def test_a_long_name_still_makes_a_certificate() -> None:
    name = ".".join(["label" * 10] * 4)
    assert tls.make_self_signed([name])


def test_a_printed_fingerprint_is_that_of_the_der_certificate() -> None:
    pem, _ = tls.make_self_signed(["localhost"])
    text = tls.certificate_fingerprint(pem)
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()
    assert tls.pin_digest(text) == digest
    assert text.startswith("SHA256:")
    assert len(text) == 7 + 64 + 31


@pytest.mark.parametrize(
    "url",
    [
        "https://push.example.com/organizations/acme",
        "HTTPS://push.example.com:10003",
        "http://127.0.0.1:10003/organizations/acme",
        "http://127.8.9.10/",
        "http://[::1]:10003/",
        "http://LOCALHOST/",
    ],
)
def test_tls_or_this_machine_is_safe(url: str) -> None:
    tls.require_safe_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://push.example.com/organizations/acme",
        "http://10.0.0.1:10003",
        "http://0.0.0.0:10003",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@evil.example.com/",
        "http://[::ffff:10.0.0.1]/",
    ],
)
def test_plain_http_over_a_network_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="in the clear: use https"):
        tls.require_safe_url(url)


@pytest.mark.parametrize(
    "url",
    ["", "push.example.com", "ftp://127.0.0.1/", "http://", "https:///organizations/acme",
     "http://[::1", "http://127.0.0.1:99999/", "https://host:port/", "file:///etc/passwd"],
)  # fmt: skip
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="invalid server URL"):
        tls.require_safe_url(url)


@pytest.mark.parametrize("content", [None, b"", b"\xff\x00", b"-----BEGIN CERTIFICATE-----\n"])
def test_a_file_without_certificates_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"cannot use the CA file .*ca.pem"):
        tls.ssl_context(tls.ServerTrust(path))


def test_without_a_pin_the_chain_and_the_name_are_checked() -> None:
    context = tls.ssl_context(tls.ServerTrust())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
