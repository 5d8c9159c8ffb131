"""What was on a server when it was last asked: a small file for each server and identity.

The Tab key reads it and never waits for a server. It holds names, no secrets, and nothing in it
is trusted: what it says is quoted before it reaches a shell.
"""

import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

VERSION = 1
MAX_BYTES = 4_000_000
"""Of a file; a larger one is neither written nor read."""
MAX_FILES = 32
PAUSE = 10.0
"""Seconds at least between two refreshes."""
_KEYS = ".keys"
_KEYS_PAUSE = 2.0
"""Likewise, where the keys of somebody else are asked for."""
_SHARE = 20.0
"""A refresh that takes long is repeated that much later: a server works for it."""


class KnownJob(msgspec.Struct, frozen=True, array_like=True):
    """A job; `created_at` in seconds since the epoch, 0 where that was not told."""

    id: str
    command: str
    created_at: float = 0.0


class KnownToken(msgspec.Struct, frozen=True, array_like=True):
    """An enrolment token's id, which is no secret, and whom it is for."""

    id: str
    note: str


class Whitelisted(msgspec.Struct, frozen=True, array_like=True):
    """Nodes with the same entries; both by their places in `Known.nodes` and `Known.entries`."""

    nodes: list[int]
    entries: list[int]


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """All of it.

    Args:
        took: seconds that it took to ask for this.
        nodes: sorted by their numbers.
        sets: the same, folded.
        jobs: newest first.
        entries: of whitelists: their names and what they are for.
        keys: their names, by `user NAME` and `client NAME`: of those that were asked for last.
    """

    version: int = VERSION
    took: float = 0.0
    nodes: list[str] = []
    sets: list[str] = []
    jobs: list[KnownJob] = []
    entries: list[tuple[str, str]] = []
    whitelists: list[Whitelisted] = []
    groups: list[str] = []
    users: list[str] = []
    clients: list[str] = []
    tokens: list[KnownToken] = []
    keys: dict[str, list[str]] = {}


def place(url: str, name: str, env: Mapping[str, str]) -> Path:
    """The file for a server with its organization, and who asks."""
    cache = env.get("XDG_CACHE_HOME") or Path(env.get("HOME") or Path.home()) / ".cache"
    digest = hashlib.sha256(f"{url.rstrip('/')}\0{name}".encode()).hexdigest()
    return Path(cache) / "pushcli" / f"{digest[:32]}.json"


def read(path: Path) -> Known | None:
    """What the file says; None: nothing that can be used."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            ours = status.st_uid == os.geteuid() and not status.st_mode & 0o077
            if not (ours and stat.S_ISREG(status.st_mode) and status.st_size <= MAX_BYTES):
                return None
            known = msgspec.json.decode(file.read(MAX_BYTES), type=Known)
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError):
        return None
    return known if known.version == VERSION else None


def write(path: Path, known: Known) -> None:
    """Replace the file, which only its owner may read, all at once.

    Raises:
        OSError: it cannot be written.
    """
    content = msgspec.json.encode(known)
    if len(content) > MAX_BYTES:
        content = msgspec.json.encode(msgspec.structs.replace(known, entries=[], whitelists=[]))
    if len(content) > MAX_BYTES:
        return
    _make_directory(path.parent)
    new = path.with_suffix(f".{os.getpid()}.new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(new, flags, 0o600), "wb") as file:
            file.write(content)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _remove_oldest(path.parent)


def _make_directory(directory: Path) -> None:
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.stat().st_mode & 0o077 and directory.stat().st_uid == os.geteuid():
        directory.chmod(0o700)


def _remove_oldest(directory: Path) -> None:
    """Other servers' files, and what was left of a process that was killed."""
    files = sorted(directory.glob("*.json"), key=_changed, reverse=True)
    left = [file for file in directory.glob("*.new") if time.time() - _changed(file) > 3600]
    for file in [*files[MAX_FILES:], *left]:
        file.unlink(missing_ok=True)
        _attempts(file).unlink(missing_ok=True)
        _attempts(file.with_suffix(_KEYS)).unlink(missing_ok=True)


def _changed(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def claim(path: Path, known: Known | None) -> bool:
    """Whether the file is to be refreshed now; whoever asks next waits for the next turn."""
    return _claimed(path, max(PAUSE, _SHARE * known.took if known else 0.0))


def claim_keys(path: Path) -> bool:
    """Whether somebody's keys, which are not known yet, are to be asked for now."""
    return _claimed(path.with_suffix(_KEYS), _KEYS_PAUSE)


def _claimed(path: Path, pause: float) -> bool:
    attempts = _attempts(path)
    if abs(time.time() - _changed(attempts)) < min(pause, 600.0):
        return False
    try:
        _make_directory(path.parent)
        os.close(os.open(attempts, _LOCK, 0o600))
        os.utime(attempts)
    except OSError:
        return False
    return True


@contextmanager
def only_one(path: Path, *, seconds: float = 0.0) -> Iterator[bool]:
    """True for one process at a time.

    Args:
        seconds: to wait for the one before it, at most.
    """
    _make_directory(path.parent)
    descriptor = os.open(_attempts(path), _LOCK, 0o600)
    try:
        yield _locked(descriptor, time.monotonic() + seconds)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, until: float) -> bool:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)
        else:
            return True


_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def _attempts(path: Path) -> Path:
    """Locked during a refresh; it was changed when the last one began."""
    return path.with_suffix(f"{path.suffix.removesuffix('.json')}.lock")
