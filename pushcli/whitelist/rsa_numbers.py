"""RSA public keys as numbers: enough to check signatures with the standard library alone."""

import base64
import binascii
import hashlib

import msgspec

_SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
_RSA_ALGORITHM = bytes.fromhex("300d06092a864886f70d0101010500")
MIN_BITS, MAX_BITS = 2048, 8192
MIN_EXPONENT, MAX_EXPONENT = 3, 2**64
"""A larger one would only make verifying slow."""
_SEQUENCE, _INTEGER, _BIT_STRING = 0x30, 0x02, 0x03


class PublicNumbers(msgspec.Struct, frozen=True):
    """An RSA public key, as numbers."""

    modulus: int
    exponent: int

    @property
    def fingerprint(self) -> str:
        """`SHA256:` and the digest, in base64, of the DER SubjectPublicKeyInfo."""
        key = _der(_SEQUENCE, _der_integer(self.modulus) + _der_integer(self.exponent))
        info = _der(_SEQUENCE, _RSA_ALGORITHM + _der(_BIT_STRING, b"\x00" + key))
        digest = base64.b64encode(hashlib.sha256(info).digest()).decode("ascii")
        return f"SHA256:{digest.rstrip('=')}"

    @property
    def is_usable(self) -> bool:
        """Whether it is of a size that is safe, and not slow."""
        bits = self.modulus.bit_length()
        return MIN_BITS <= bits <= MAX_BITS and MIN_EXPONENT <= self.exponent <= MAX_EXPONENT

    def signed(self, message: bytes, signature: str) -> bool:
        """Whether the key made this signature (RSA PKCS#1 v1.5 with SHA-256, base64).

        The whole padded block is rebuilt and compared, so that nothing in it is parsed.
        """
        if not self.is_usable:
            return False
        try:
            raw = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            return False
        size = (self.modulus.bit_length() + 7) // 8
        tail = b"\x00" + _SHA256_INFO + hashlib.sha256(message).digest()
        block = b"\x00\x01" + b"\xff" * (size - 2 - len(tail)) + tail
        number = int.from_bytes(raw, "big")
        if len(raw) != size or number >= self.modulus:
            return False
        return pow(number, self.exponent, self.modulus) == int.from_bytes(block, "big")


def from_pem(pem: str) -> PublicNumbers:
    """The numbers of a public key in PEM (SubjectPublicKeyInfo).

    Raises:
        ValueError: it is no RSA key of 2048 to 8192 bits.
    """
    lines = pem.strip().splitlines()
    if lines[:1] != ["-----BEGIN PUBLIC KEY-----"] or lines[-1:] != ["-----END PUBLIC KEY-----"]:
        raise ValueError("not a public key in PEM")
    try:
        return _numbers(base64.b64decode("".join(lines[1:-1]), validate=True))
    except (binascii.Error, IndexError) as error:
        raise ValueError("not a public key in PEM") from error


def _numbers(der: bytes) -> PublicNumbers:
    info = _content(der, _SEQUENCE)
    if not info.startswith(_RSA_ALGORITHM):
        raise ValueError("not an RSA key")
    bits = _content(info[len(_RSA_ALGORITHM) :], _BIT_STRING)
    key = _content(bits[1:], _SEQUENCE)
    modulus = _content(key, _INTEGER)
    exponent = _content(key[len(_der(_INTEGER, modulus)) :], _INTEGER)
    numbers = PublicNumbers(int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big"))
    if not MIN_BITS <= numbers.modulus.bit_length() <= MAX_BITS:
        raise ValueError(f"not an RSA key of {MIN_BITS} to {MAX_BITS} bits")
    return numbers


def _content(der: bytes, tag: int) -> bytes:
    """What the first value in `der` holds, which must be of this tag."""
    if der[0] != tag:
        raise ValueError("not an RSA public key")
    size, start = der[1], 2
    if size & 0x80:
        start += size & 0x7F
        size = int.from_bytes(der[2:start], "big")
    if len(der) < start + size:
        raise ValueError("a public key that is cut off")
    return der[start : start + size]


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _der_integer(number: int) -> bytes:
    # One byte more where the highest bit is set: it would be a sign.
    return _der(_INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))
