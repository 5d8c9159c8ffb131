"""A new server's directory: made beside its place, and put there whole or not at all."""

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pushcli.errors import ConfigError, StartError
from pushcli_server import settings
from pushcli_server.scratch import scratch

T = TypeVar("T")
_PREFIX = ".pushcli-"


def is_free(directory: Path) -> bool:
    """Whether nothing is there, but for what somebody left who was killed.

    Raises:
        OSError: it cannot be read.
    """
    if not directory.exists():
        return True
    return directory.is_dir() and all(path.name.startswith(_PREFIX) for path in directory.iterdir())


def make(directory: Path, build: Callable[[Path], T]) -> T:
    """Build a server, and put it where it belongs.

    Args:
        build: makes this directory, with all that a server has.

    Raises:
        StartError, ConfigError: something is in the way.
    """
    try:
        return _moved(directory, build)
    except OSError as error:
        raise _cannot_make(directory, error) from error


def _moved(directory: Path, build: Callable[[Path], T]) -> T:
    """Build beside the directory and move it there whole.

    One that exists, and is empty, is filled: it may be a mounted volume, or the only place
    where this user may write.
    """
    exists = directory.exists()
    above = [path for path in directory.parents if not path.exists()]
    if exists:
        directory.chmod(0o700)
    else:
        directory.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    try:
        return _built(directory, build, exists=exists)
    except BaseException:
        for path in above:
            with suppress(OSError):
                path.rmdir()
        raise


def _built(directory: Path, build: Callable[[Path], T], *, exists: bool) -> T:
    with scratch(directory if exists else directory.parent, _PREFIX) as beside:
        place = beside / "server"
        made = build(place)
        if not exists:
            place.rename(directory)
            return made
        parts = sorted(place.iterdir(), key=lambda part: part.name == settings.FILE)
        _require_free(directory, [part.name for part in parts if part.name != settings.FILE])
        _give_to_owner(place, directory)
        # The settings last: they are what makes it a server.
        for part in parts:
            part.rename(directory / part.name)
    return made


def _require_free(directory: Path, names: list[str]) -> None:
    """Nothing that somebody put there is replaced."""
    for name in names:
        if os.path.lexists(directory / name):
            raise ConfigError(f"{directory / name} is in the way", "move it away")


def _give_to_owner(place: Path, directory: Path) -> None:
    """What root makes in another user's directory is that user's, whose service reads it."""
    owner = directory.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        for path in (place, *place.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _cannot_make(directory: Path, error: OSError) -> StartError:
    no_room = error.errno in {errno.ENOSPC, errno.EDQUOT}
    remedy = "make room on its disk" if no_room else "check the path and its permissions"
    return StartError(f"cannot make {directory}: {error.strerror}", remedy)
