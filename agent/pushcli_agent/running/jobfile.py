"""Files that come with jobs: written for the job's user, and removed when they are old.

Push Jobs protocol, section 6. The directory's default is a predictable name where everybody
may write, so it must be a real directory, ours, and not writable by others; everything
below it is done relative to the directory once opened, and follows no symbolic link.
"""

import base64
import binascii
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pushcli_agent.running import disk

PREFIX = "pushy_file"
_ENTER = 0o711
"""Others may reach a file in it that is theirs, but not look around."""


class JobFileError(Exception):
    """The file cannot be had; one line, for the operator."""


def decode(text: str) -> bytes:
    """The content of a job's `file`: `raw:TEXT` or `base64:DATA`.

    Raises:
        JobFileError: another prefix, or not base64.
    """
    kind, separator, data = text.partition(":")
    if kind == "raw" and separator:
        return data.encode("utf-8", "surrogatepass")
    if kind == "base64" and separator:
        try:
            # Ruby's encoder breaks lines.
            return base64.b64decode("".join(data.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise JobFileError(f"it is not base64 ({error})") from error
    raise JobFileError("it must start with raw: or base64:")


def write(directory: Path, content: bytes, owner: tuple[int, int] | None) -> Path:
    """A new file `pushy_file*` with this content, mode 0600.

    Args:
        owner: user and group that it is for, if not this process's own.

    Raises:
        JobFileError: the directory is not to be trusted, or the file cannot be written.
    """
    try:
        with _opened(directory, create=True) as descriptor:
            if owner is not None and not os.fstat(descriptor).st_mode & stat.S_IXOTH:
                raise JobFileError(f"{directory} is not accessible to the job's user")
            return directory / _write(descriptor, content, owner)
    except OSError as error:
        full = disk.why(error, directory)
        raise JobFileError(full or f"cannot write it to {directory}: {error.strerror}") from error


def expire(directory: Path, lifetime: float) -> int:
    """Remove job files older than `lifetime` seconds; returns how many.

    Nothing else in the directory is touched. A directory that is missing or not to be
    trusted holds nothing of ours.
    """
    try:
        with _opened(directory, create=False) as descriptor:
            return _expire(descriptor, time.time() - lifetime)
    except (OSError, JobFileError):
        return 0


@contextmanager
def _opened(directory: Path, *, create: bool) -> Iterator[int]:
    if create:
        try:
            directory.mkdir(_ENTER)
        except FileExistsError:
            create = False
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        _check(directory, os.fstat(descriptor))
        if create:
            os.fchmod(descriptor, _ENTER)
        yield descriptor
    finally:
        os.close(descriptor)


def _check(directory: Path, status: os.stat_result) -> None:
    if status.st_uid != os.geteuid():
        raise JobFileError(f"{directory} belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise JobFileError(f"{directory} is writable by others")


def _write(directory: int, content: bytes, owner: tuple[int, int] | None) -> str:
    name = f"{PREFIX}{os.urandom(8).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        with os.fdopen(descriptor, "wb") as file:
            # Whatever the umask took away.
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
            file.flush()
            if owner is not None:
                os.fchown(file.fileno(), *owner)
    except OSError:
        os.unlink(name, dir_fd=directory)
        raise
    return name


def _expire(directory: int, before: float) -> int:
    removed = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            if not entry.name.startswith(PREFIX):
                continue
            with suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                if not stat.S_ISDIR(status.st_mode) and status.st_mtime < before:
                    os.unlink(entry.name, dir_fd=directory)
                    removed += 1
    return removed
