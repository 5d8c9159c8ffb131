"""What lies in a job's directory in the spool (see `spool`)."""

import fcntl
import logging
import os
from pathlib import Path

import msgspec

from pushcli.protocol.run import Outcome

_log = logging.getLogger(__name__)


def is_locked(directory: Path) -> bool:
    """Whether the job's supervisor lives."""
    try:
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def read_lock(directory: Path) -> tuple[int, str]:
    """Number and state of the supervisor; 0 and nothing before it has said so."""
    try:
        pid, _, state = (directory / "lock").read_text("ascii").partition(" ")
    except (FileNotFoundError, UnicodeDecodeError):
        return 0, ""
    return int(pid) if pid.isdigit() else 0, state.strip()


def read_boot(directory: Path) -> str:
    """The run of the kernel that the job began in, if it may end that; else empty."""
    try:
        return (directory / "boot").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def read_head(directory: Path) -> int | None:
    """Bytes of each channel that stay what they are once written; None: nobody can tell."""
    try:
        return int((directory / "head").read_text("ascii"))
    except (OSError, ValueError):
        return None


def read_result(directory: Path) -> Outcome | None:
    """How the job ended, or None: it has not, or nobody was left to say."""
    try:
        return msgspec.json.decode((directory / "result.json").read_bytes(), type=Outcome)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError) as error:
        _log.warning("the result of job %s cannot be read: %s", directory.name, error)
        return None


def remove(directory: Path) -> None:
    """Remove a job's directory, which may be gone already."""
    try:
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        _log.warning("cannot remove %s: %s", directory, error.strerror)
