"""A new key in place of one that is in use, without a moment in which none works.

The new key is registered as a second one and tried before the file changes hands; only
then does the previous one get its end. Whatever fails on the way, the file holds a key that
the server knows.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from pushcli import keys
from pushcli.client.answers import checked
from pushcli.client.api import ApiClient
from pushcli.client.credentials import Profile
from pushcli.client.paths import quoted
from pushcli.errors import ConfigError, KeyFileError, NotFound, PushcliError, ServerError
from pushcli.identities.identity_keys import FOREVER, Key, expiry, read
from pushcli.identities.new_key import fingerprint

_KEYS = {"previous": "former", "previous_file": "former_file"}


class Rotated(msgspec.Struct, frozen=True, kw_only=True, rename=_KEYS):
    """What was done.

    Args:
        key: name of the new key on the server.
        previous: name of the key that it replaced; in JSON `former`.
        previous_file: where that key is kept; in JSON `former_file`.
        expires: when that ends: a date, None: it is gone already.
    """

    key: str
    fingerprint: str
    file: str
    previous: str
    previous_file: str
    expires: str | None


def rotate(
    profile: Profile,
    folder: str,
    *,
    overlap: float,
    on_new: Callable[[ApiClient, str], None] = lambda previous, pem: None,
) -> Rotated:
    """Replace the key in the file that a profile signs with.

    Args:
        folder: path of the keys of whoever the profile is.
        overlap: seconds for which the previous key still counts.
        on_new: called with a client that signs with the previous key, and the new public key,
            while both keys count.

    Raises:
        KeyFileError: the key is in no file, or it cannot be replaced; nothing has changed.
        PushcliError: nothing has changed, or the new key is in use already and the previous
            one could not be given an end: the text says which.
    """
    file = _file(profile)
    with _alone(file), contextlib.closing(ApiClient(profile)) as previous:
        current = _current(previous, folder, file)
        fresh_file = file.with_name(f".{file.name}.new")
        fresh_file.unlink(missing_ok=True)
        key = keys.generate()
        pem = keys.public_pem(key)
        name = f"rotated-{fingerprint(pem).removeprefix('SHA256:')[:12].translate(_SAFE)}"
        try:
            _write_as(file, fresh_file, keys.private_pem(key))
            with _registered(previous, folder, name, pem, file):
                fresh = _tried(profile, fresh_file, f"{folder}/{name}")
                previous_file = _replace(file, fresh_file)
        finally:
            fresh_file.unlink(missing_ok=True)
        with contextlib.closing(fresh), _naming_valid_keys(current):
            on_new(previous, pem)
            expires = _end(fresh, f"{folder}/{quoted(current)}", overlap)
    return Rotated(
        key=name, fingerprint=fingerprint(pem), file=str(file), previous=current,
        previous_file=str(previous_file), expires=expires,
    )  # fmt: skip


_SAFE = str.maketrans("+/", "-_")


def _file(profile: Profile) -> Path:
    if profile.client_key.lstrip().startswith("-----BEGIN"):
        raise ConfigError(
            f"the key of profile {profile.name!r} is in the credentials file itself",
            "put it into a file of its own, and its path into client_key",
        )
    # A symbolic link goes on leading to the key.
    return Path(os.path.realpath(profile.client_key))


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Nobody else rotates this key meanwhile."""
    keys.read_secret(file)
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(file.open("rb"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_it = os.fstat(lock.fileno()).st_ino == file.stat().st_ino
        except OSError as error:
            raise _busy(file) from error
        if not is_it:
            raise _busy(file)
        yield


def _busy(file: Path) -> KeyFileError:
    return KeyFileError(
        f"{file} is being replaced right now", "wait for the other command to finish"
    )


def _current(client: ApiClient, folder: str, file: Path) -> str:
    """The server's name for the key in the file."""
    ours = fingerprint(keys.public_pem(keys.load_private_key(file)))
    try:
        found = read(client, folder)
    except NotFound as error:
        error.remedy = "does this server support several keys for one name?"
        raise
    for key, _ in found:
        if fingerprint(key.public_key) == ours:
            return key.name
    raise ServerError(f"the server does not list the key in {file}")


@contextlib.contextmanager
def _registered(client: ApiClient, folder: str, name: str, pem: str, file: Path) -> Iterator[None]:
    """The new key counts; it is taken back if what follows leaves the file as it was."""
    wanted = {"name": name, "public_key": pem, "expiration_date": FOREVER}
    try:
        client.post(folder, wanted)
        yield
    except BaseException as error:
        # Ctrl-C comes at any time: what is in the file decides.
        if not _holds(file, pem):
            # Also if the connection broke: it may have been registered.
            with contextlib.suppress(PushcliError):
                client.delete(f"{folder}/{name}")
            if isinstance(error, PushcliError):
                error.message = f"nothing was changed: {error.message}"
        raise


def _holds(file: Path, pem: str) -> bool:
    return keys.public_pem(keys.load_private_key(file)) == pem


def _tried(profile: Profile, file: Path, path: str) -> ApiClient:
    """A client that signs with the key in `file`, once the server has accepted it."""
    client = ApiClient(msgspec.structs.replace(profile, client_key=str(file)))
    try:
        checked(client.get(path), Key)
    except BaseException:
        client.close()
        raise
    return client


def _replace(file: Path, fresh: Path) -> Path:
    """The new key gets the file's name, the previous one another."""
    previous = file.with_name(f"{file.name}.old")
    kept = file.with_name(f".{file.name}.old")
    try:
        kept.unlink(missing_ok=True)
        _write_as(file, kept, keys.read_secret(file))
        kept.replace(previous)
        fresh.replace(file)
    except OSError as error:
        kept.unlink(missing_ok=True)
        raise KeyFileError(
            f"cannot replace {file}: {error.strerror}", "check the directory and its owner"
        ) from error
    with contextlib.suppress(OSError):
        _sync(file.parent)
    return previous


def _write_as(model: Path, file: Path, content: bytes) -> None:
    """A secret that belongs to whom the model belongs to: perhaps we are root."""
    keys.write_secret(file, content)
    owner = model.stat()
    if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(file, owner.st_uid, owner.st_gid)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _naming_valid_keys(previous: str) -> Iterator[None]:
    """Adds to an error that the new key is in use, and the previous one not at its end."""
    try:
        yield
    except PushcliError as error:
        error.message = (
            f"the new key is in use, but the previous one, {previous}, is still valid: "
            f"{error.message}"
        )
        error.remedy = "; ".join(filter(None, (error.remedy, "delete it with `key delete`")))
        raise


def _end(client: ApiClient, path: str, overlap: float) -> str | None:
    """Let the previous key expire, or end it at once; returns the date."""
    if not overlap:
        client.delete(path)
        return None
    date = expiry(overlap)
    client.put(path, {"expiration_date": date})
    return date
