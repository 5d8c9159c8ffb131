"""ZeroMQ framing: a header that signs, and a body (Push Jobs protocol, section 5).

Bytes in, bytes out; no socket. RSA is only for the server's heartbeat broadcast, so
`cryptography` is imported where it is used.
"""

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING

from pushcli.protocol.drops import Dropped, DropReason

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

MAX_HEADER = 2048
MAX_BODY_FROM_AGENT = 65_536
MAX_BODY_FROM_SERVER = 393_216
"""A commit may carry a file of 100,000 bytes in base64; a whitelist 200,000 bytes of entries and
100,000 of statements about editors."""
MAX_BODY_TO_EARLIER = 262_144
"""What agents take that do not offer the extension `editors`."""
MAX_MESSAGE = MAX_BODY_TO_EARLIER + MAX_HEADER
"""For ZeroMQ's own limit (ZMQ_MAXMSGSIZE) on the server's side."""
MAX_MESSAGE_FROM_SERVER = MAX_BODY_FROM_SERVER + MAX_HEADER
"""The same on an agent's side."""

_HMAC_PREFIX = b"Version:2.0;SigningMethod:hmac_sha256;Signature:"
_RSA_PREFIX = b"Version:2.0;SigningMethod:rsa2048_sha1;Signature:"


class WireError(Dropped):
    """Frames that are to be dropped: wrong count, size, header or signature."""


def seal(body: bytes, session_key: bytes) -> list[bytes]:
    """Header and body, signed with the node's session key (HMAC-SHA256)."""
    digest = hmac.digest(session_key, body, "sha256")
    return [_HMAC_PREFIX + base64.b64encode(digest), body]


def unseal(frames: list[bytes], session_key: bytes, max_body: int) -> bytes:
    """The body of frames that the session key signed.

    Args:
        frames: header and body, without the ROUTER's identity frame.
        session_key: the secret of this node.
        max_body: the largest body that this direction allows, in bytes.

    Raises:
        WireError: anything else.
    """
    header, body = _two_frames(frames, max_body)
    signature = _signature(header, _HMAC_PREFIX)
    if not hmac.compare_digest(signature, hmac.digest(session_key, body, "sha256")):
        raise WireError(DropReason.SIGNATURE)
    return body


def seal_broadcast(body: bytes, key: "RSAPrivateKey") -> list[bytes]:
    """Header and body of a heartbeat, signed with the server's RSA key."""
    from cryptography.hazmat.primitives.asymmetric import padding, utils  # noqa: PLC0415

    signature = key.sign(_sha1_text(body), padding.PKCS1v15(), utils.NoDigestInfo())
    return [_RSA_PREFIX + base64.b64encode(signature), body]


def unseal_broadcast(frames: list[bytes], key: "RSAPublicKey", max_body: int) -> bytes:
    """The body of a heartbeat that the server's RSA key signed.

    Raises:
        WireError: anything else.
    """
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import padding  # noqa: PLC0415

    header, body = _two_frames(frames, max_body)
    signature = _signature(header, _RSA_PREFIX)
    try:
        signed = key.recover_data_from_signature(signature, padding.PKCS1v15(), None)
    except InvalidSignature as error:
        raise WireError(DropReason.SIGNATURE) from error
    if not hmac.compare_digest(signed, _sha1_text(body)):
        raise WireError(DropReason.SIGNATURE)
    return body


def unseal_broadcast_by_numbers(
    frames: list[bytes], modulus: int, exponent: int, max_body: int
) -> bytes:
    """As `unseal_broadcast`, for agents: importing `cryptography` would cost them 7 MiB.

    The whole padded block is rebuilt and compared, so that nothing in it is parsed
    (PKCS#1 v1.5 type 1, without DigestInfo).

    Raises:
        WireError: anything but a heartbeat that the server's RSA key signed.
    """
    header, body = _two_frames(frames, max_body)
    signature = _signature(header, _RSA_PREFIX)
    size = (modulus.bit_length() + 7) // 8
    text = _sha1_text(body)
    block = b"\x00\x01" + b"\xff" * (size - 3 - len(text)) + b"\x00" + text
    number = int.from_bytes(signature, "big")
    if len(signature) != size or number >= modulus:
        raise WireError(DropReason.SIGNATURE)
    if pow(number, exponent, modulus) != int.from_bytes(block, "big"):
        raise WireError(DropReason.SIGNATURE)
    return body


def _sha1_text(body: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(body, usedforsecurity=False).digest())


def _two_frames(frames: list[bytes], max_body: int) -> tuple[bytes, bytes]:
    if len(frames) != 2:
        raise WireError(DropReason.FRAMES, f"{len(frames)} frames instead of 2")
    header, body = frames
    if len(header) > MAX_HEADER:
        raise WireError(DropReason.HEADER, f"header of {len(header)} bytes")
    if len(body) > max_body:
        raise WireError(DropReason.BODY, f"body of {len(body)} bytes")
    return header, body


def _signature(header: bytes, prefix: bytes) -> bytes:
    if not header.startswith(prefix):
        raise WireError(DropReason.SIGNING_METHOD)
    # The old server breaks its RSA signatures into lines; b64decode skips those.
    try:
        return base64.b64decode(header[len(prefix) :].replace(b"\n", b""), validate=True)
    except binascii.Error as error:
        raise WireError(DropReason.BASE64) from error
