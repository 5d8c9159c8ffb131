"""The proof that goes with an enrolment token: whoever registers a key has its private half."""

import base64

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey


def prove(key: RSAPrivateKey, *, org: str, name: str, token: str) -> str:
    """The signature, base64, that `POST enroll` wants in `proof`."""
    signature = key.sign(_message(org, name, token), PKCS1v15(), hashes.SHA256())
    return base64.b64encode(signature).decode()


def proves(key: RSAPublicKey, proof: str, *, org: str, name: str, token: str) -> bool:
    """Whether `proof` was made with the private half of `key` for just this enrolment."""
    try:
        signature = base64.b64decode(proof, validate=True)
        key.verify(signature, _message(org, name, token), PKCS1v15(), hashes.SHA256())
    except (ValueError, InvalidSignature):
        return False
    return True


def _message(org: str, name: str, token: str) -> bytes:
    # Names of nodes and organizations have no line breaks.
    return f"pushcli enroll\n{org}\n{name}\n{token}".encode()
