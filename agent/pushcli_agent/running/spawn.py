"""Starts supervisors (see `spool`, and `supervisor` for what it is given)."""

import errno
import fcntl
import marshal
import os
import sys
from pathlib import Path

import msgspec

from pushcli_agent.running import leftovers
from pushcli_agent.running.policy import PreparedJob
from pushcli_agent.supervise.captured_output import head_of

_SUPERVISOR = Path(__file__).parents[1] / "supervise" / "supervisor.py"
_LOCK = 32
_RESULT = 4096
"""Bytes; a result has some 400."""


def spawn(directory: Path, job: PreparedJob, boot: str) -> tuple[int, int]:
    """Start a job's supervisor; its number, and the pipe that starts its command.

    The lock is taken here and handed down: at no time is there a job without it.

    Args:
        boot: which run of the kernel this is.

    Raises:
        OSError: no process can be started, or the directory cannot be written.
    """
    descriptors: list[int] = []
    try:
        descriptors.append(_locked(directory))
        _reserve(directory, job, boot)
        descriptors.append(_specification(directory, job))
        control, ours = os.pipe()
        descriptors.append(control)
        try:
            pid = _spawn_supervisor(directory, *descriptors, kept=(job.lock, job.judged))
        except BaseException:
            os.close(ours)
            raise
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return pid, ours


def _locked(directory: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(directory / "lock", flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Room for what the supervisor says of itself: a disk that is full is known by now.
        _fill(descriptor, b" " * _LOCK)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _reserve(directory: Path, job: PreparedJob, boot: str) -> None:
    """Have room for the result on the disk, and make the files that will hold output.

    Whatever fills the disk while the command runs, how it ended can be told.
    """
    contents = {"result.tmp": b" " * _RESULT}
    if job.run.captures:
        contents |= {"stdout": b"", "stderr": b""}
    if job.run.capture:
        # Nobody follows what is kept by default: it comes with the result.
        contents["head"] = b"%d" % head_of(job.max_output_bytes)
    if job.reboots:
        contents["boot"] = boot.encode()
    for name, content in contents.items():
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(directory / name, flags, 0o600)
        try:
            _fill(descriptor, content)
            if name == "boot":
                # Whoever restarts the machine may do it in a hurry.
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _fill(descriptor: int, content: bytes) -> None:
    if os.write(descriptor, content) < len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _specification(directory: Path, job: PreparedJob) -> int:
    environment = {**job.env, leftovers.MARK: str(directory)}
    specification = {
        **msgspec.structs.asdict(job.run),
        # The environment has them.
        "secret_env": None,
        "capture": job.run.captures,
        "command": _command(job.command),
        "env": {_bytes(name): _bytes(text) for name, text in environment.items()},
        # Named as in 0.1.0, whose agent may start the supervisor of this version.
        "cwd": _bytes(job.directory),
        "judged": job.judged,
        "owner": (job.user.uid, job.user.gid, job.user.groups) if job.user.is_other else None,
        "umask": job.umask,
        "max_output_bytes": job.max_output_bytes,
        "stdin": job.stdin,
        "outlives_agent": job.outlives_agent,
    }
    descriptor = os.memfd_create("job")
    os.write(descriptor, marshal.dumps(specification))
    return descriptor


def _command(command: str | tuple[str, ...]) -> bytes | tuple[bytes, ...]:
    return _bytes(command) if isinstance(command, str) else tuple(map(_bytes, command))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _spawn_supervisor(
    directory: Path, lock: int, specification: int, control: int, *, kept: tuple[int, ...]
) -> int:
    numbers = [control, lock, specification, *(number for number in kept if number >= 0)]
    for descriptor in numbers:
        os.set_inheritable(descriptor, True)
    errors = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", str(_SUPERVISOR), str(directory), *map(str, numbers)],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_RDWR, 0),
            (os.POSIX_SPAWN_OPEN, 2, str(directory / "errors"), errors, 0o600),
        ],
        setsid=True,
        setsigmask=(),
    )
