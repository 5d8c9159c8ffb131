"""A job of this node: while its supervisor lives, and once it has ended."""

import logging
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from pushcli.protocol.run import Outcome, OutputChannel
from pushcli_agent.boot import Boot
from pushcli_agent.running import leftovers
from pushcli_agent.running.job_directory import (
    is_locked,
    read_boot,
    read_head,
    read_lock,
    read_result,
    remove,
)
from pushcli_agent.running.spooled_output import SpooledOutput, size_of, spooled

_log = logging.getLogger(__name__)
_SHUTDOWN = 900.0
"""Seconds between the end of a command and the next run of the kernel: services stop, and a large
machine takes its time before it starts one."""
_CLOCKS = 60.0
"""Seconds by which the clock may have been wrong before it was set."""

State = Literal["committed", "running"]


class FinishedJob:
    """A job that has ended, with its result, whose sizes are those that can be read."""

    def __init__(self, directory: Path, result: Outcome) -> None:
        self.job_id = directory.name
        self._directory = directory
        self._outputs: dict[OutputChannel, SpooledOutput] = {}
        if result.capture:
            stdout = spooled(
                directory / "stdout",
                result.stdout_size,
                result.stdout_dropped,
                result.stdout_cut_at,
            )
            stderr = spooled(
                directory / "stderr",
                result.stderr_size,
                result.stderr_dropped,
                result.stderr_cut_at,
            )
            self._outputs = {"stdout": stdout, "stderr": stderr}
            result = msgspec.structs.replace(
                result,
                stdout_size=stdout.size,
                stdout_dropped=stdout.dropped,
                stdout_cut_at=stdout.cut_at,
                stderr_size=stderr.size,
                stderr_dropped=stderr.dropped,
                stderr_cut_at=stderr.cut_at,
            )
        self.result = result

    def read_output(self, channel: OutputChannel, offset: int, limit: int) -> bytes:
        """At most `limit` bytes of captured output; nothing beyond its end."""
        output = self._outputs.get(channel)
        return b"" if output is None else output.read(offset, limit)

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
        self._head = read_head(directory)
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
        """The result; None if there is none (yet).

        Of a command that lost its supervisor nothing runs on after this, and the result is what
        it wrote until then.
        """
        result = read_result(self._directory)
        if result is not None:
            return FinishedJob(self._directory, result)
        # Told to run, it may have been aborted before it did.
        ran = self.state == "running" and read_lock(self._directory)[1] == "running"
        return lost(self._directory) if ran and self.ended() else None

    @property
    def is_growing(self) -> bool:
        """Whether its output is captured, and known how much of it will stay what it is."""
        return self._head is not None

    def grown(self, channel: OutputChannel) -> int:
        """Bytes that the command has written to a channel and that will stay what they are."""
        return min(size_of(self._directory / channel), self._head or 0)

    def read_output(self, channel: OutputChannel, offset: int, limit: int) -> bytes:
        """At most `limit` bytes of what the command has written so far."""
        return SpooledOutput(self._directory / channel, self.grown(channel), 0).read(offset, limit)

    def complaint(self) -> str:
        """What its supervisor had to complain of last, in one line; mostly nothing."""
        return complaint(self._directory)

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


def lost(directory: Path) -> FinishedJob:
    """A supervisor died while its command ran: it is ended, and what it wrote is its result."""
    # No restart of the machine, however soon it comes, makes a success of this.
    (directory / "boot").unlink(missing_ok=True)
    if line := complaint(directory):
        _log.warning("the supervisor of job %s: %s", directory.name, line)
    killed = leftovers.kill(directory)
    if killed:
        _log.warning("killed %d processes of job %s", killed, directory.name)
    outcome = Outcome(
        lost=True,
        capture=(directory / "stdout").exists(),
        stdout_size=size_of(directory / "stdout"),
        stderr_size=size_of(directory / "stderr"),
    )
    return FinishedJob(directory, outcome)


def was_rebooted(directory: Path, result: Outcome | None, boot: Boot) -> bool:
    """Whether the machine restarted while the command ran, as its entry expects.

    Args:
        result: what its supervisor could still say of it: that it was ended by a signal, as all
            processes are then.
        boot: which run of the kernel this is.
    """
    before = read_boot(directory)
    if not before or not boot.id or before == boot.id or read_lock(directory)[1] != "running":
        return False
    return result is None or _was_shut_down(result, boot)


def _was_shut_down(result: Outcome, boot: Boot) -> bool:
    """Whether the command ended as all do when a machine goes down, and not long before."""
    if result.exit_code is not None or result.timed_out or result.ended_at is None:
        return False
    return 0 <= boot.began_at + _CLOCKS - result.ended_at <= _SHUTDOWN


def rebooted(directory: Path, result: Outcome | None) -> FinishedJob:
    """The machine is back, which is what the command was for."""
    _log.info("this machine has restarted, as job %s expects", directory.name)
    outcome = result or Outcome(
        started_at=(directory / "lock").stat().st_mtime,
        capture=(directory / "stdout").exists(),
        stdout_size=size_of(directory / "stdout"),
        stderr_size=size_of(directory / "stderr"),
    )
    back = {"exit_code": 0, "signal": None, "aborted": False, "ended_at": time.time()}
    return FinishedJob(directory, msgspec.structs.replace(outcome, **back))


def complaint(directory: Path) -> str:
    """The last line that the supervisor in this directory wrote to its errors."""
    with suppress(OSError):
        lines = (directory / "errors").read_text("utf-8", "replace").splitlines()
        # It may go to the server, where one line is expected.
        return "".join(c if c.isprintable() else "?" for c in lines[-1][:200]) if lines else ""
    return ""


def _pidfd(pid: int) -> int:
    try:
        return os.pidfd_open(pid) if pid else -1
    except OSError:
        return -1
