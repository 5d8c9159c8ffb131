"""The jobs of this node on disk, and the supervisors that work there.

Each job has a directory of its own, which holds

- `lock`, locked while its supervisor lives; it says the supervisor's number and state,
- `stdout` and `stderr` if they are captured,
- `result.json` once the command has ended, written durably,
- `errors`, what the supervisor itself has to complain of.

Starting a supervisor costs the caller a few milliseconds: nothing is waited for. It gets
what to run in a file that exists in memory only (the environment may hold secrets), and is
told to run by one byte in a pipe, whose end tells it that the agent is gone.
"""

import fcntl
import logging
import marshal
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from pushcli import names
from pushcli.errors import StartError
from pushcli_agent import leftovers
from pushcli_agent.policy import PreparedJob

_log = logging.getLogger(__name__)
_SUPERVISOR = Path(__file__).with_name("supervisor.py")
_SETTLING = 2.0
"""Seconds that supervisors get to notice that a former agent has gone."""

Channel = Literal["stdout", "stderr"]
State = Literal["committed", "running"]


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a command ended, as its supervisor wrote it.

    Neither `exit_code` nor `signal` is set if it could not be killed. Times in seconds
    since the epoch; sizes in bytes, those of the spooled output with its mark.
    """

    exit_code: int | None
    signal: int | None
    timed_out: bool
    aborted: bool
    started_at: float
    ended_at: float
    capture: bool
    stdout_size: int
    stderr_size: int
    stdout_dropped: int
    stderr_dropped: int


class FinishedJob:
    """A job that has ended, with its result."""

    def __init__(self, directory: Path, result: JobResult) -> None:
        self.job_id = directory.name
        self.result = result
        self._directory = directory

    def read_output(self, channel: Channel, offset: int, limit: int) -> bytes:
        """At most `limit` bytes of captured output; nothing beyond its end."""
        try:
            descriptor = os.open(self._directory / channel, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return b""
        try:
            return os.pread(descriptor, limit, offset)
        finally:
            os.close(descriptor)

    def discard(self) -> None:
        """The result is not needed any more."""
        _remove(self._directory)


class RunningJob:
    """A job with a supervisor that lives, or did a moment ago.

    Args:
        control: the pipe of a supervisor that this process started; else -1.
    """

    def __init__(self, directory: Path, pid: int, state: State, control: int) -> None:
        self.job_id = directory.name
        self.pid = pid
        self.state = state
        self.fd = _pidfd(pid)
        """Readable once the supervisor has ended; -1 where the kernel has no such thing."""
        self._directory = directory
        self._control = control
        self._is_child = control >= 0
        self._ended = False

    def run(self) -> None:
        """Have the command run; should the supervisor be gone, `ended` tells."""
        if self.state == "committed" and self._control >= 0:
            self.state = "running"
            with suppress(BrokenPipeError):
                os.write(self._control, b"r")

    def abort(self) -> None:
        """Have the supervisor end its command, if it runs, and itself."""
        with suppress(ProcessLookupError):
            if self.fd >= 0:
                signal.pidfd_send_signal(self.fd, signal.SIGTERM)
            elif self.pid and not self.ended():
                os.kill(self.pid, signal.SIGTERM)

    def ended(self) -> bool:
        """Whether the supervisor has ended."""
        if not self._ended and self._has_ended():
            self._ended = True
            self.close()
        return self._ended

    def finished(self) -> FinishedJob | None:
        """The result; None if there is none, and then, after the end, nothing runs on."""
        result = _read_result(self._directory)
        if result is not None:
            return FinishedJob(self._directory, result)
        if self.state == "running" and self.ended():
            _clean_up(self._directory)
        return None

    def close(self) -> None:
        """Let go of it; a supervisor that was not told to run ends."""
        for descriptor in (self._control, self.fd):
            if descriptor >= 0:
                os.close(descriptor)
        self._control = self.fd = -1

    def _has_ended(self) -> bool:
        if self._is_child:
            try:
                return os.waitpid(self.pid, os.WNOHANG) != (0, 0)
            except ChildProcessError:
                return True
        return not _is_locked(self._directory)


class Spool:
    """The directory of all jobs.

    Raises:
        StartError: it cannot be made, or others could read or write it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            directory.mkdir(0o700, exist_ok=True)
            status = directory.lstat()
        except OSError as error:
            raise StartError(
                f"cannot make the spool {directory}: {error.strerror}", "correct spool_dir"
            ) from error
        if status.st_uid != os.geteuid() or status.st_mode & 0o077 or not directory.is_dir():
            raise StartError(
                f"the spool {directory} is open to others, or not ours", f"chmod 700 {directory}"
            )

    def start(self, job: PreparedJob) -> RunningJob:
        """Start the supervisor of a job, which is committed now.

        Raises:
            OSError: no process can be started, or the spool cannot be written.
        """
        directory = self.directory / job.job_id
        directory.mkdir(0o700)
        try:
            return _spawn(directory, job)
        except BaseException:
            _remove(directory)
            raise

    def adopt(self) -> list[RunningJob | FinishedJob]:
        """What a former run of the agent left: jobs that run, and results.

        Jobs that were committed only are gone with it.
        """
        until = time.monotonic() + _SETTLING
        found = (_take_over(path, until) for path in sorted(self._jobs()))
        return [job for job in found if job is not None]

    def discard(self, job_id: str) -> None:
        """Remove what a job without a result left."""
        if names.is_job_id(job_id):
            _remove(self.directory / job_id)

    def _jobs(self) -> Iterator[Path]:
        return (path for path in self.directory.iterdir() if names.is_job_id(path.name))


def _spawn(directory: Path, job: PreparedJob) -> RunningJob:
    """The lock is taken here and handed down: at no time is there a job without it."""
    descriptors: list[int] = []
    try:
        descriptors.append(_locked(directory))
        descriptors.append(_specification(job))
        control, ours = os.pipe()
        descriptors.append(control)
        try:
            pid = _spawn_supervisor(directory, *descriptors)
        except BaseException:
            os.close(ours)
            raise
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return RunningJob(directory, pid, "committed", ours)


def _locked(directory: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(directory / "lock", flags, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return descriptor


def _specification(job: PreparedJob) -> int:
    specification = {
        "command": _bytes(job.command),
        "env": {_bytes(name): _bytes(text) for name, text in job.env.items()},
        "cwd": _bytes(job.cwd),
        "owner": (job.user.uid, job.user.gid, job.user.groups) if job.user.is_other else None,
        "umask": job.umask,
        "capture": job.capture,
        "run_timeout": job.run_timeout,
        "max_output_bytes": job.max_output_bytes,
    }
    descriptor = os.memfd_create("job")
    os.write(descriptor, marshal.dumps(specification))
    return descriptor


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _spawn_supervisor(directory: Path, lock: int, specification: int, control: int) -> int:
    numbers = (control, lock, specification)
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


def _take_over(directory: Path, until: float) -> RunningJob | FinishedJob | None:
    while _is_locked(directory):
        pid, state = _read_lock(directory)
        # Not told to run: it has noticed, or will in a moment, that its agent is gone.
        if state == "running" or time.monotonic() > until:
            job = RunningJob(directory, pid, "running", -1)
            # Locked still: so the number was its, and not yet somebody else's.
            if _is_locked(directory):
                return job
            job.close()
        time.sleep(0.005)
    result = _read_result(directory)
    if result is not None:
        return FinishedJob(directory, result)
    if _read_lock(directory)[1] == "running":
        _clean_up(directory)
    _remove(directory)
    return None


def _is_locked(directory: Path) -> bool:
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


def _read_lock(directory: Path) -> tuple[int, str]:
    """Number and state of the supervisor; 0 and nothing before it has said so."""
    try:
        pid, _, state = (directory / "lock").read_text("ascii").partition(" ")
    except (FileNotFoundError, UnicodeDecodeError):
        return 0, ""
    return int(pid) if pid.isdigit() else 0, state.strip()


def _read_result(directory: Path) -> JobResult | None:
    try:
        return msgspec.json.decode((directory / "result.json").read_bytes(), type=JobResult)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        _log.warning("the result of job %s cannot be read: %s", directory.name, error)
        return None


def _clean_up(directory: Path) -> None:
    """A supervisor died while its command ran: nobody holds that to its limits any more."""
    with suppress(OSError):
        for line in (directory / "errors").read_text("utf-8", "replace").splitlines()[-1:]:
            _log.warning("the supervisor of job %s: %s", directory.name, line)
    killed = leftovers.kill(directory.name)
    if killed:
        _log.warning("killed %d processes of job %s", killed, directory.name)


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid) if pid else -1
    except OSError:
        return -1


def _remove(directory: Path) -> None:
    with suppress(FileNotFoundError):
        for path in directory.iterdir():
            path.unlink()
        directory.rmdir()
