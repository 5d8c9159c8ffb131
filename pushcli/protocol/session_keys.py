"""The secret that a node's command channel is signed with: made, sent, received."""

import base64
import binascii
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

METHOD = "hmac_sha256"
MIN_BYTES = 16


def derive(secret: bytes, org: str, node: str, salt: str) -> bytes:
    """A node's key (32 bytes): the same for as long as the server's secret and the client are.

    Args:
        salt: of the client; empty for one from before clients had salts.
    """
    # Names and salts hold no NUL: they cannot be read as others.
    info = b"pushcli session key\0" + org.encode() + b"\0" + node.encode()
    if salt:
        info += b"\0" + salt.encode()
    return HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(secret)


def encrypt(key: bytes, public_key: RSAPublicKey) -> dict[str, str]:
    """`encoded_session_key` of a configuration, for the holder of this key alone."""
    # The old agents know no other padding.
    sealed = public_key.encrypt(key, padding.PKCS1v15())
    return {"method": METHOD, "key": base64.b64encode(sealed).decode()}


def decrypt(encoded: Any, private_key: RSAPrivateKey) -> bytes:
    """The session key in a configuration.

    Raises:
        ValueError: it is not what it should be, or not for this key.
    """
    if not isinstance(encoded, dict) or encoded.get("method") != METHOD:
        raise ValueError("unknown method for the session key")
    try:
        sealed = base64.b64decode(str(encoded.get("key")), validate=False)
    except binascii.Error as error:
        raise ValueError("the session key is not base64") from error
    key = private_key.decrypt(sealed, padding.PKCS1v15())
    if len(key) < MIN_BYTES:
        raise ValueError("the session key is too short")
    return key
