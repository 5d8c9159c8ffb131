"""The server's own secrets in its directory: made, read, replaced.

`secrets/` has those that count. After a rotation `secrets.previous/` has the previous ones, which
stay valid beside them until the moment that `secrets/former_until` names.
"""

import contextlib
import fcntl
import math
import os
import secrets as random
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import zmq
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from pushcli.errors import KeyFileError
from pushcli.protocol import session_keys

_DIRECTORY = "secrets"
_NEXT = "secrets.next"
_PREVIOUS = "secrets.previous"
_PREVIOUS_UNTIL = "former_until"
_SESSION_SECRET = 32
_KEYS = ("rsa.pem", "curve.key", "session.key")
_PARTS = (*_KEYS, _PREVIOUS_UNTIL)


class Secrets(msgspec.Struct, frozen=True, kw_only=True):
    """`rsa` signs the heartbeats, `curve_*` (Z85) prove the command channel, `session` is what
    the nodes' session keys are derived from."""

    rsa: RSAPrivateKey
    public_pem: str
    curve_public: bytes
    curve_secret: bytes
    session: bytes

    def session_key(self, org: str, node: str, salt: str) -> bytes:
        """What the messages of this node, whose client has this salt, are signed with, either
        way.
        """
        return session_keys.derive(self.session, org, node, salt)

    def __repr__(self) -> str:
        return "Secrets(...)"


class Keyring(msgspec.Struct, frozen=True, kw_only=True):
    """The secrets that count, and those before them. `previous_until`: seconds since the epoch."""

    current: Secrets
    previous: Secrets | None = None
    previous_until: float = 0.0

    def valid(self, now: float) -> tuple[Secrets, ...]:
        """All that are good at this moment, the current ones first."""
        if self.previous is None or now >= self.previous_until:
            return (self.current,)
        return self.current, self.previous


def create(directory: Path) -> None:
    """Make new secrets, each readable by its owner alone."""
    _make(directory / _DIRECTORY)


def rotate(directory: Path, previous_until: float | None, now: float) -> None:
    """Put new secrets in the place of the old ones.

    Args:
        previous_until: until when those that counted so far stay valid, seconds since the epoch;
            None: not any more, they are removed.

    Raises:
        KeyFileError: there are none, or they cannot be written.
        StillValid: the ones before the last rotation would have to go too early.
    """
    with _locked(directory):
        keyring = _load(directory)
        if previous_until is not None and len(keyring.valid(now)) > 1:
            raise StillValid(keyring.previous_until)
        try:
            _replace(directory, previous_until)
        except OSError as error:
            raise KeyFileError(
                f"cannot write new secrets in {directory}: {error.strerror}", "check its owner"
            ) from error


class StillValid(Exception):
    """Two rotations would overlap; `until` (seconds since the epoch) ends the first."""

    def __init__(self, until: float) -> None:
        super().__init__(until)
        self.until = until


def _replace(directory: Path, previous_until: float | None) -> None:
    place, new, previous = (directory / name for name in (_DIRECTORY, _NEXT, _PREVIOUS))
    _remove(new)
    _remove(previous)
    _make(new)
    if previous_until is not None:
        keys.write_secret(new / _PREVIOUS_UNTIL, f"{previous_until:.0f}\n".encode())
    place.rename(previous)
    new.rename(place)
    if previous_until is None:
        _remove(previous)


def discard_previous(directory: Path, now: float) -> None:
    """Remove the previous secrets if their time is over.

    Raises:
        KeyFileError: one that counts cannot be read.
        OSError: they cannot be removed.
    """
    with _locked(directory):
        # They may be others by now, whose time has just begun.
        if len(_load(directory).valid(now)) == 1:
            _remove(directory / _PREVIOUS)


def files(directory: Path, now: float) -> dict[str, bytes]:
    """What the secrets that are valid consist of, by paths below the directory.

    Raises:
        KeyFileError: one that counts cannot be read.
    """
    with _locked(directory):
        are_two = len(_load(directory).valid(now)) > 1
        parts = [(_DIRECTORY, name) for name in _KEYS]
        if are_two:
            parts += [(_DIRECTORY, _PREVIOUS_UNTIL), *((_PREVIOUS, name) for name in _KEYS)]
        return {f"{p}/{name}": keys.read_secret(directory / p / name) for p, name in parts}


def made_at(directory: Path) -> float:
    """When the secrets that count were made, seconds since the epoch, wherever that was.

    Raises:
        KeyFileError: there are none.
    """
    file = directory / _DIRECTORY / _KEYS[0]
    try:
        return file.stat().st_mtime
    except OSError as error:
        raise KeyFileError(f"cannot look at {file}: {error.strerror}", "check its owner") from error


def put(directory: Path, found: Mapping[str, bytes], at: float) -> None:
    """Have these in place of what there is; a server that runs picks them up.

    Args:
        found: what `files` gave of another directory; others are left out.
        at: when they were made there.

    Raises:
        KeyFileError: they are no secrets, or cannot be written. All is as it was.
    """
    place, previous = directory / _DIRECTORY, directory / _PREVIOUS
    new, new_previous = directory / _NEXT, directory / f"{_PREVIOUS}.next"
    with _locked(directory):
        try:
            for target, name in ((new, _DIRECTORY), (new_previous, _PREVIOUS)):
                _remove(target)
                _write(target, found, name)
            _read(new)
            if new_previous.exists() or (new / _PREVIOUS_UNTIL).exists():
                _read(new_previous)
                _until(new)
            os.utime(new / _KEYS[0], (at, at))
        except (OSError, KeyFileError) as error:
            _remove(new)
            _remove(new_previous)
            raise _unwritten(directory, error) from error
        try:
            _remove(previous)
            if new_previous.exists():
                new_previous.rename(previous)
            _remove(old := directory / f"{_DIRECTORY}.old")
            if place.exists():
                place.rename(old)
            # Cut off here, whoever loads them does this.
            new.rename(place)
            _remove(old)
        except OSError as error:
            raise _unwritten(directory, error) from error


def _unwritten(directory: Path, error: OSError | KeyFileError) -> KeyFileError:
    if isinstance(error, KeyFileError):
        return error
    return KeyFileError(f"cannot write secrets in {directory}: {error.strerror}", "check its owner")


def _write(place: Path, found: Mapping[str, bytes], name: str) -> None:
    there = {part: found[f"{name}/{part}"] for part in _PARTS if f"{name}/{part}" in found}
    if there:
        place.mkdir(mode=0o700)
    for part, content in there.items():
        keys.write_secret(place / part, content)


def stamp(directory: Path) -> tuple[int, int, int]:
    """What is another one after every rotation.

    Raises:
        OSError: it cannot be told, as in the midst of one.
    """
    found = (directory / _DIRECTORY).stat()
    # A new directory may have the number of one that was removed.
    return found.st_dev, found.st_ino, found.st_mtime_ns


def load(directory: Path) -> Keyring:
    """Read the secrets, and the previous ones if there are any with a time to live.

    Raises:
        KeyFileError: one is missing, unreadable, damaged, or readable by others.
    """
    with _locked(directory):
        return _load(directory)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """No rotation is halfway through while this holds."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise KeyFileError(
            f"cannot open {directory}: {error.strerror}", "check the path and its permissions"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove(place: Path) -> None:
    if place.exists():
        shutil.rmtree(place)


def _make(place: Path) -> None:
    place.mkdir(mode=0o700)
    keys.write_private_key(place / "rsa.pem", keys.generate())
    _, secret = zmq.curve_keypair()
    keys.write_secret(place / "curve.key", secret)
    keys.write_secret(place / "session.key", random.token_bytes(_SESSION_SECRET))


def _load(directory: Path) -> Keyring:
    place, new = directory / _DIRECTORY, directory / _NEXT
    if new.exists() and not place.exists():
        # A rotation was cut off between its two steps.
        new.rename(place)
    if not place.exists():
        raise KeyFileError(
            f"the server in {directory} has no secrets",
            "run `pushcli server init` first, or restore it from a backup",
        )
    current, previous = _read(place), directory / _PREVIOUS
    if not (place / _PREVIOUS_UNTIL).exists() or not previous.exists():
        return Keyring(current=current)
    until = _until(place)
    return Keyring(current=current, previous=_read(previous), previous_until=until)


def _until(place: Path) -> float:
    file = place / _PREVIOUS_UNTIL
    try:
        until = float(keys.read_secret(file))
    except ValueError as error:
        raise KeyFileError(f"{file} is damaged", "remove it: the previous keys end then") from error
    if not math.isfinite(until):
        raise KeyFileError(f"{file} is damaged", "remove it: the previous keys end then")
    return until


def _read(place: Path) -> Secrets:
    rsa = keys.load_private_key(place / "rsa.pem", proved=True)
    curve_secret = keys.read_secret(place / "curve.key")
    session = keys.read_secret(place / "session.key")
    if len(session) != _SESSION_SECRET:
        raise KeyFileError(f"{place / 'session.key'} is damaged", "restore it from a backup")
    try:
        curve_public = zmq.curve_public(curve_secret)
    except (zmq.ZMQError, ValueError) as error:
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
