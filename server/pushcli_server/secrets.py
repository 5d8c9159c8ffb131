"""The server's own secrets: made once, read at every start."""

import secrets as random
import shutil
from pathlib import Path

import msgspec
import zmq
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from pushcli.errors import KeyFileError

_DIRECTORY = "secrets"
_NEXT = "secrets.next"
_PREVIOUS = "secrets.previous"
_SESSION_SECRET = 32


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """`rsa` signs the heartbeats, `curve_*` (Z85) prove the command channel, `session` is what
    the nodes' session keys are derived from."""

    rsa: RSAPrivateKey
    public_pem: str
    curve_public: bytes
    curve_secret: bytes
    session: bytes

    def __repr__(self) -> str:
        return "Secrets(...)"


def create(directory: Path) -> None:
    """Make new secrets, each readable by its owner alone."""
    _make(directory / _DIRECTORY)


def rotate(directory: Path) -> None:
    """Put new secrets in the place of the old ones, which are kept beside them.

    Raises:
        KeyFileError: there are none, or they cannot be written.
    """
    load(directory)
    place, new, previous = (directory / name for name in (_DIRECTORY, _NEXT, _PREVIOUS))
    try:
        for path in (new, previous):
            if path.exists():
                shutil.rmtree(path)
        _make(new)
        place.rename(previous)
        new.rename(place)
    except OSError as error:
        raise KeyFileError(
            f"cannot write new secrets in {directory}: {error.strerror}", "check its owner"
        ) from error


def _make(place: Path) -> None:
    place.mkdir(mode=0o700)
    keys.write_private_key(place / "rsa.pem", keys.generate())
    _, secret = zmq.curve_keypair()
    keys.write_secret(place / "curve.key", secret)
    keys.write_secret(place / "session.key", random.token_bytes(_SESSION_SECRET))


def load(directory: Path) -> Secrets:
    """Read the secrets.

    Raises:
        KeyFileError: one is missing, unreadable, damaged, or readable by others.
    """
    place, new = directory / _DIRECTORY, directory / _NEXT
    if new.exists() and not place.exists():
        # A rotation was cut off between its two steps.
        new.rename(place)
    rsa = keys.load_private_key(place / "rsa.pem")
    curve_secret = keys.read_secret(place / "curve.key")
    session = keys.read_secret(place / "session.key")
    if len(session) != _SESSION_SECRET:
        raise KeyFileError(f"{place / 'session.key'} is damaged", "restore it from a backup")
    try:
        curve_public = zmq.curve_public(curve_secret)
    except zmq.ZMQError as error:
        raise KeyFileError(
            f"{place / 'curve.key'} is damaged", "restore it from a backup"
        ) from error
    return Secrets(
        rsa=rsa,
        public_pem=keys.public_pem(rsa),
        curve_public=curve_public,
        curve_secret=curve_secret,
        session=session,
    )
