"""One agent per directory: a lock that the kernel drops when the agent ends."""

import fcntl
import os
from pathlib import Path

from pushcli.errors import StartError

FILE = "agent.lock"


def acquire(directory: Path) -> int:
    """Lock the directory for this process, for as long as the descriptor is open.

    Raises:
        StartError: another agent has it, or the directory cannot be written.
    """
    path = directory / FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StartError(
            f"cannot write {path}: {error.strerror}", "check the directory and its owner"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise StartError(
            f"another agent is using {directory} (process {owner})",
            "stop it first, or give this one a directory of its own",
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
