"""A job of this node: while its supervisor lives, and once it has ended."""

import logging
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pushcli.protocol.run import Outcome, OutputChannel
from pushcli_agent.running import leftovers
from pushcli_agent.running.job_directory import is_locked, read_result, remove

_log = logging.getLogger(__name__)

State = Literal["committed", "running"]


class FinishedJob:
    """A job that has ended, with its result."""

    def __init__(self, directory: Path, result: Outcome) -> None:
        self.job_id = directory.name
        self.result = result
        self._directory = directory

    def read_output(self, channel: OutputChannel, offset: int, limit: int) -> bytes:
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
        remove(self._directory)


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
        """Have the command run; should the supervisor be gone, `ended` shows it."""
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
        result = read_result(self._directory)
        if result is not None:
            return FinishedJob(self._directory, result)
        if self.state == "running" and self.ended():
            clean_up(self._directory)
        return None

    def close(self) -> None:
        """Let go of it; a supervisor whose command was not started ends."""
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
        return not is_locked(self._directory)


def clean_up(directory: Path) -> None:
    """A supervisor died while its command ran, which nobody holds to its limits any more."""
    with suppress(OSError):
        for line in (directory / "errors").read_text("utf-8", "replace").splitlines()[-1:]:
            _log.warning("the supervisor of job %s: %s", directory.name, line)
    killed = leftovers.kill(directory)
    if killed:
        _log.warning("killed %d processes of job %s", killed, directory.name)


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid) if pid else -1
    except OSError:
        return -1
