"""Locks of whitelist entries: flock(2), so that other programs can take part with flock(1).

An entry's lock is taken at the commit and handed to the supervisor, which holds it until
the command has ended; what the command itself is does not matter.
"""

import errno
import fcntl
import hashlib
import os
import re
import stat
from pathlib import Path

from pushcli.whitelist.entry import Entry
from pushcli_agent.running import disk

MAX_LINKS = 16
_ATTEMPTS = 8
"""Others may remove and make the file anew while it is being locked."""


class LockRefused(Exception):
    """The lock is not to be had; one line, for the operator."""


def acquire(entry: Entry, directory: Path) -> int:
    """Lock what the entry names; the descriptor holds it.

    Args:
        directory: where the files for `lock = true` lie; made if it is missing.

    Raises:
        LockRefused: somebody else holds it, or the file cannot be had.
    """
    path = path_of(entry, directory)
    try:
        if entry.lock is True:
            directory.mkdir(0o700, exist_ok=True)
        for _ in range(_ATTEMPTS):
            descriptor = _open(path, create=True)
            if _lock(descriptor, fcntl.LOCK_EX):
                return descriptor
    except OSError as error:
        full = disk.why(error, path.parent)
        raise LockRefused(f"lock: {full or f'{path}: {error.strerror}'}") from error
    raise LockRefused(f"lock: {path} keeps being replaced")


def check(entry: Entry, directory: Path) -> None:
    """Check that `acquire` would succeed now; nothing is made, and nobody kept from a lock.

    Raises:
        LockRefused: it would not.
    """
    path = path_of(entry, directory)
    try:
        descriptor = _open(path, create=False)
        _lock(descriptor, fcntl.LOCK_SH)
        os.close(descriptor)
    except FileNotFoundError:
        return
    except OSError as error:
        raise LockRefused(f"lock: {path}: {error.strerror}") from error


def path_of(entry: Entry, directory: Path) -> Path:
    """The file that is locked for an entry."""
    if isinstance(entry.lock, str):
        return Path(entry.lock)
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", entry.name)[:64]
    digest = hashlib.sha256(entry.name.encode()).hexdigest()[:16]
    return directory / f"{readable}-{digest}"


def _lock(descriptor: int, kind: int) -> bool:
    """False, and the descriptor is closed, if the file was removed meanwhile."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink or kind == fcntl.LOCK_SH:
            return True
    except BlockingIOError:
        os.close(descriptor)
        raise LockRefused("lock: held by another process") from None
    except OSError:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return False


def _open(path: Path, *, create: bool) -> int:
    """Open a lock's file; the way to it is walked, for it may be named by many.

    Where everybody may write, anybody could lay a symbolic link: none is followed there.
    """
    parts = list(path.parts[1:])
    links = 0
    place = _directory("/")
    try:
        while True:
            part = parts.pop(0) if parts else "."
            try:
                if not parts:
                    return _open_file(part, place, create=create)
                place, previous = _directory(part, place), place
                os.close(previous)
            except OSError as error:
                target = _link(part, place, error)
                links += 1
                if links > MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
                if target.is_absolute():
                    place, previous = _directory("/"), place
                    os.close(previous)
                parts = [step for step in target.parts if step != "/"] + parts
    finally:
        os.close(place)


def _directory(name: str, place: int | None = None) -> int:
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(name, flags, dir_fd=place)


def _open_file(name: str, place: int, *, create: bool) -> int:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    while True:
        try:
            descriptor = os.open(name, flags, dir_fd=place)
        except FileNotFoundError:
            if not create:
                raise
            try:
                # Not with O_CREAT alone: in sticky directories the kernel would refuse to
                # open what belongs to somebody else.
                return os.open(name, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=place)
            except FileExistsError:
                continue
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        raise LockRefused(f"lock: {name} is not a regular file")


def _link(name: str, place: int, error: OSError) -> Path:
    """Where a symbolic link leads that may be followed; else the error is raised."""
    if error.errno not in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
        raise error
    try:
        target = os.readlink(name, dir_fd=place)
    except OSError:
        raise error from None
    status = os.fstat(place)
    own = status.st_uid in (0, os.geteuid())
    if not own or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise LockRefused(f"lock: {name} is a symbolic link where others may write")
    return Path(target)
