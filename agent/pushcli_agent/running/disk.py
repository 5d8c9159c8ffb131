"""Why something cannot be written, for the operator who has to make room."""

import errno
import os
from pathlib import Path

_FULL = (errno.ENOSPC, errno.EDQUOT)
ROOM = 16_384
"""Bytes that a job needs at least: its lock, its result, in blocks of a usual size."""


def why(error: OSError, directory: Path) -> str | None:
    """Which disk is full, or cannot be written; None: it is not the disk."""
    if error.errno in _FULL:
        return f"no space left on the disk of {directory} (mounted at {_mount_point(directory)})"
    if error.errno in (errno.EROFS, errno.EIO):
        return f"the disk of {directory} cannot be written: {error.strerror}"
    return None


def full(directory: Path) -> str | None:
    """Why a job could not be started for want of space; None: there is room."""
    try:
        status = os.statvfs(directory)
    except OSError as error:
        return why(error, directory)
    free = status.f_bfree if os.geteuid() == 0 else status.f_bavail
    if status.f_blocks and free * status.f_frsize < ROOM:
        return why(OSError(errno.ENOSPC, ""), directory)
    return None


def _mount_point(path: Path) -> Path:
    while not os.path.ismount(path) and path != path.parent:
        path = path.parent
    return path
