"""Reading and verifying signed headers, in the steps in which a server refuses them."""

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from pushcli.protocol import signing
from pushcli.protocol.headers import API_VERSION

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

MAX_SKEW = 900.0
"""Seconds; a request must be strictly nearer to the server's clock."""
REQUIRED = ("X-Ops-UserId", "X-Ops-Timestamp", "X-Ops-Sign", "X-Ops-Content-Hash")
_MAX_LINES = 32
_MAX_SIGNATURE = 2048


class MissingHeaders(ValueError):
    """Required headers are missing or empty: `names`, in the documented order."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(", ".join(names))
        self.names = names


class BadHeader(ValueError):
    """A header cannot be read: `name`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class ClockSkew(ValueError):
    """The request was signed too long ago, or by a clock that is ahead: `user` says whose.

    `signed_at` is what that clock said, seconds since the epoch; nothing is verified yet.
    """

    def __init__(self, user: str, signed_at: float) -> None:
        super().__init__(user)
        self.user = user
        self.signed_at = signed_at


class UnsupportedVersion(ValueError):
    """A signing version, or an algorithm under it, that nobody knows."""


class SignedHeaders(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says of its signature. `signature` None: lines are missing or no base64."""

    user: str
    timestamp: str
    signed_at: float
    """Seconds since the epoch."""
    version: str
    content_hash: str
    signature: bytes | None
    api_version: str


def parse_headers(headers: Mapping[str, str], now: float) -> SignedHeaders:
    """Read the headers (names in lower case); `now` in seconds since the epoch.

    Raises:
        MissingHeaders: first of all.
        BadHeader: then, for a timestamp that cannot be read; last, for an API version under
            1.3, where it is signed, that is no integer.
        ClockSkew: after the first.
        UnsupportedVersion: after that.
    """
    missing = [name for name in REQUIRED if not headers.get(name.lower(), "").strip()]
    if missing:
        raise MissingHeaders(missing)
    timestamp = headers["x-ops-timestamp"].strip()
    user = headers["x-ops-userid"].strip()
    signed_at = _time(timestamp)
    if abs(now - signed_at) >= MAX_SKEW:
        raise ClockSkew(user, signed_at)
    version = _version(headers["x-ops-sign"])
    api_version = headers.get(API_VERSION.lower(), "").strip() or "0"
    if version == "1.3" and not re.fullmatch(r"[0-9]{1,18}", api_version):
        raise BadHeader(API_VERSION)
    return SignedHeaders(
        user=user,
        timestamp=timestamp,
        signed_at=signed_at,
        version=version,
        content_hash=headers["x-ops-content-hash"].strip(),
        signature=_signature(headers),
        api_version=api_version,
    )


def verify(
    signed: SignedHeaders, key: "RSAPublicKey", *, method: str, path: str, body: bytes
) -> bool:
    """Whether this key signed this request, body included; never raises."""
    return is_signed_body(signed, body) and verify_head(signed, key, method=method, path=path)


def is_signed_body(signed: SignedHeaders, body: bytes) -> bool:
    """Whether it is the body whose digest the headers name; says nothing of who signed them."""
    digest = signing.content_hash(body, signed.version)
    # Text that cannot be encoded is no digest.
    named = signed.content_hash.encode("utf-8", "replace")
    return hmac.compare_digest(digest.encode(), named)


def verify_head(signed: SignedHeaders, key: "RSAPublicKey", *, method: str, path: str) -> bool:
    """Whether this key signed this request, whose body may still be to come; never raises.

    In every version the body's digest is what is signed: `is_signed_body` says whether the
    body is the right one.
    """
    if signed.signature is None:
        return False
    try:
        text = signing.string_to_sign(
            version=signed.version,
            method=method,
            path=path,
            content_hash=signed.content_hash,
            timestamp=signed.timestamp,
            user=signed.user,
            api_version=signed.api_version,
        )
        return _is_signed_by(key, signed.signature, text.encode(), signed.version)
    except ValueError:
        # Text that cannot be encoded, or a signature that is longer than the key.
        return False


def _is_signed_by(key: "RSAPublicKey", signature: bytes, text: bytes, version: str) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415

    if len(signature) != (key.key_size + 7) // 8:
        # Without its leading zeros it would count, too: one request under two signatures.
        return False
    try:
        if version in {"1.0", "1.1"}:
            signed = key.recover_data_from_signature(signature, padding.PKCS1v15(), None)
            return hmac.compare_digest(signed, text)
        algorithm = hashes.SHA256() if version == "1.3" else hashes.SHA1()  # noqa: S303
        key.verify(signature, text, padding.PKCS1v15(), algorithm)
    except InvalidSignature:
        return False
    return True


def _time(text: str) -> float:
    try:
        moment = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise BadHeader("X-Ops-Timestamp") from None
    return moment.timestamp()


def _version(text: str) -> str:
    """`algorithm=sha1;version=1.1;`: white space and a last `;` are tolerated."""
    fields = {}
    for part in text.split(";"):
        name, separator, value = part.partition("=")
        if separator:
            fields[name.strip()] = value.strip()
    version = fields.get("version", "")
    if signing.ALGORITHMS.get(version) is None:
        raise UnsupportedVersion(version)
    if fields.get("algorithm", signing.ALGORITHMS[version]) != signing.ALGORITHMS[version]:
        raise UnsupportedVersion(f"{version} with {fields['algorithm']}")
    return version


def _signature(headers: Mapping[str, str]) -> bytes | None:
    lines = []
    for number in range(1, _MAX_LINES + 1):
        line = headers.get(f"x-ops-authorization-{number}")
        if line is None:
            break
        lines.append(line.strip())
    text = "".join(lines)
    if not text or len(text) > _MAX_SIGNATURE:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
