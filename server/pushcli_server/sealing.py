"""What only one reader can open, whoever passes it on: HPKE (RFC 9180)."""

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


class CannotOpen(Exception):
    """It is sealed for somebody else, for something else, or damaged."""


class Reader:
    """Who may open what is sealed for its key, which is made for one time.

    Args:
        purpose: of all that is sealed for it.
    """

    def __init__(self, purpose: bytes) -> None:
        self._purpose = purpose
        self._key = X25519PrivateKey.generate()

    @property
    def public_key(self) -> bytes:
        """32 bytes, for `seal`."""
        return self._key.public_key().public_bytes_raw()

    def open(self, sealed: bytes) -> bytes:
        """What was sealed.

        Raises:
            CannotOpen: it is for somebody else, or damaged.
        """
        try:
            return _SUITE.decrypt(sealed, self._key, info=self._purpose)
        except (InvalidTag, ValueError) as error:
            raise CannotOpen from error


def seal(content: bytes, public_key: bytes, purpose: bytes) -> bytes:
    """Content for the reader of this key alone.

    Raises:
        ValueError: this is no key.
    """
    return _SUITE.encrypt(content, X25519PublicKey.from_public_bytes(public_key), info=purpose)


def digest(sealed: bytes) -> str:
    """SHA-256 (hex) of what was sealed, by which it is known again."""
    return hashlib.sha256(sealed).hexdigest()
