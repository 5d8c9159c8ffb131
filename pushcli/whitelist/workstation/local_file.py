"""An `agent.toml` changed in place: whole or not at all, and nobody's change is lost.

Those who use this module take turns by a lock on the file. Others (an editor, chef-client)
know nothing of the lock: the file is read once more just before it is replaced, and if it is
another one by then, the edit is made anew on what stands there now.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pushcli.errors import ConfigError

PATIENCE = 10.0
"""Seconds to wait for others who edit the same file."""
_TICK = 0.02


class FileChanged(ConfigError):
    """Somebody else changes the file at the same time."""


def read(path: Path) -> str:
    """The text of the file, with the line breaks that it has.

    Raises:
        ConfigError: missing, unreadable, not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8", "save it as UTF-8") from error
    except (OSError, ValueError) as error:
        raise _failed("read", path, error) from error


def edit(path: Path, change: Callable[[str], str]) -> tuple[str, str]:
    """Replace the file's text by what `change` makes of it; returns both.

    Owner, mode and extended attributes stay; a symbolic link goes on leading to the file.

    Args:
        change: from the text to the new one; may be called more than once. What it raises
            leaves the file as it was.

    Raises:
        Conflict: others changed the file again and again.
        ConfigError: the file cannot be read or written.
    """
    place = _resolved(path)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with _locked(place, deadline):
            before = read(place)
            after = change(before)
            if after == before or _replace(place, before, after):
                return before, after
    raise FileChanged(f"{path} keeps changing", "find out what else writes to it")


def replace(path: Path, before: str, after: str) -> None:
    """Put `after` in place of `before`.

    Raises:
        Conflict: the file's text is not `before` (any more).
        ConfigError: it cannot be read or written.
    """

    def change(text: str) -> str:
        if text != before:
            raise FileChanged(f"{path} was changed in the meantime", "edit it again")
        return after

    edit(path, change)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise _failed("read", path, error) from error


@contextlib.contextmanager
def _locked(path: Path, deadline: float) -> Iterator[None]:
    """Alone among those who use this module, on the file that has this name now."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _failed("read", path, error) from error
        try:
            if _lock(descriptor) and _is_at(descriptor, path):
                yield
                return
        finally:
            os.close(descriptor)
        if time.monotonic() > deadline:
            raise FileChanged(f"{path} is being edited by somebody else", "try again")
        time.sleep(_TICK)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the name still leads to this file: whoever held the lock may have replaced it."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _replace(path: Path, before: str, after: str) -> bool:
    """False if the file is another one than `before` by now."""
    try:
        # Not *.toml: an agent reads every such file of whitelist.d.
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
    except OSError as error:
        raise _failed("write beside", path, error) from error
    fresh = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(after.encode("utf-8"))
            file.flush()
            _make_alike(path, fresh, file.fileno())
            os.fsync(file.fileno())
        if read(path) != before:
            return False
        fresh.replace(path)
    except OSError as error:
        raise _failed("write", path, error) from error
    finally:
        fresh.unlink(missing_ok=True)
    _sync_directory(path.parent)
    return True


def _make_alike(path: Path, fresh: Path, descriptor: int) -> None:
    previous, own = path.stat(), os.fstat(descriptor)
    if (previous.st_uid, previous.st_gid) != (own.st_uid, own.st_gid):
        try:
            os.fchown(descriptor, previous.st_uid, previous.st_gid)
        except PermissionError as error:
            raise ConfigError(
                f"{path} belongs to user {previous.st_uid}, group {previous.st_gid}, and no longer "
                "would",
                "edit it as that user or as root",
            ) from error
    shutil.copystat(path, fresh)
    # The agent tells by the time that it has changed.
    os.utime(descriptor)


def _sync_directory(directory: Path) -> None:
    # So that the new name survives a power failure, where the file system can promise it.
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _failed(what: str, path: Path, error: Exception) -> ConfigError:
    reason = getattr(error, "strerror", None) or error
    return ConfigError(f"cannot {what} {path}: {reason}", "check the path and its permissions")
