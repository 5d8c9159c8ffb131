"""Whom we trust at the other end: a CA file, a pinned certificate, or the system's CAs.

A pin (SHA-256 of the certificate) is checked before a byte of ours is sent.
"""

import datetime as dt
import hashlib
import hmac
import ipaddress
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from pushcli.errors import ConfigError

if TYPE_CHECKING:
    from cryptography.x509 import GeneralName

_LIFETIME = dt.timedelta(days=3650)


class NotPinned(ssl.SSLError):
    """The server's certificate is not the pinned one."""


class ServerTrust(msgspec.Struct, frozen=True):
    """What proves the server: a file of CAs, or a fingerprint; neither: the system's CAs.

    Several fingerprints, with commas between them, are right while a certificate is renewed.

    Raises:
        ConfigError: the fingerprint is none.
    """

    ca_file: Path | None = None
    fingerprint: str | None = None

    def __post_init__(self) -> None:
        if self.fingerprint is not None:
            for part in self.fingerprint.split(","):
                pin_digest(part)

    @property
    def pins(self) -> list[str]:
        """The digests of the certificates that are trusted, 64 hex digits each."""
        return [pin_digest(part) for part in (self.fingerprint or "").split(",")]

    def check_pin(self, sock: ssl.SSLSocket) -> None:
        """After the handshake and before anything is sent.

        Raises:
            NotPinned: the certificate is not the pinned one.
        """
        if self.fingerprint is None:
            return
        der = sock.getpeercert(binary_form=True) or b""
        digest = hashlib.sha256(der).hexdigest()
        if not any([hmac.compare_digest(digest, pin) for pin in self.pins]):  # noqa: C419 - all
            raise NotPinned


def pin_digest(fingerprint: str) -> str:
    """The 64 hex digits of `SHA256:AA:BB:...`, with or without prefix and colons.

    Raises:
        ConfigError: it is no such fingerprint.
    """
    digits = fingerprint.strip().lower().removeprefix("sha256:").replace(":", "")
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise ConfigError(
            f"invalid certificate fingerprint {fingerprint!r}",
            "give SHA256: and 32 pairs of hex digits, as `pushcli server init` prints it",
        )
    return digits


def certificate_fingerprint(pem: str) -> str:
    """`SHA256:AA:BB:...` of a certificate."""
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    return "SHA256:" + ":".join(digest[i : i + 2] for i in range(0, 64, 2))


def ssl_context(trust: ServerTrust) -> ssl.SSLContext:
    """A client's context; with a fingerprint the pin stands in for the chain of CAs.

    Raises:
        ConfigError: the CA file cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=trust.ca_file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"cannot use the CA file {trust.ca_file}: {reason}", "give PEM"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if trust.fingerprint is not None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def is_loopback_host(host: str) -> bool:
    """Whether the name or address cannot leave this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def require_safe_url(url: str) -> None:
    """The configuration and every answer carry what we trust: no plain HTTP over a network.

    Raises:
        ConfigError: not http(s), no host, or plain HTTP beyond loopback.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        parts, host = urlsplit(""), None
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigError(f"invalid server URL {url!r}", "give https://HOST/organizations/ORG")
    if parts.scheme == "http" and not is_loopback_host(host):
        raise ConfigError(
            f"{url} would send everything in the clear",
            "use https, and --ca-file or --fingerprint for a self-signed certificate",
        )


def make_self_signed(names: list[str]) -> tuple[str, bytes]:
    """A self-signed P-256 certificate for these host names and addresses, to be pinned.

    Returns:
        The certificate as PEM, and its private key as PEM.
    """
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0][:64])])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A clock that is a little behind must not refuse a new certificate.
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), False)
        # No CA: with its key nobody can make certificates for other names.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem, secret


def _general_name(name: str) -> "GeneralName":
    from cryptography import x509  # noqa: PLC0415

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
