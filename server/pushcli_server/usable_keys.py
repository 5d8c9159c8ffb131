"""Public keys that signatures of requests may be checked with, wherever they come from. Pure."""

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pushcli import keys
from pushcli.errors import KeyFileError
from pushcli.whitelist.rsa_numbers import MAX_BITS, MAX_EXPONENT


def load(pem: str) -> RSAPublicKey:
    """Read one.

    Raises:
        KeyFileError: the server accepts none such.
    """
    key = keys.load_public_key(pem)
    if key.key_size > MAX_BITS:
        # Each signature would take the server long, and agents pin no such key.
        raise KeyFileError(f"more than {MAX_BITS} bits")
    if key.public_numbers().e > MAX_EXPONENT:
        # Anybody can have the server verify with it, who knows the name that has it.
        raise KeyFileError("its exponent is too large")
    return key
