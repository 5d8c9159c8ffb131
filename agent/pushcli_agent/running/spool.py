"""The jobs of this node on disk, and the supervisors that work there.

Each job has a directory of its own, which holds

- `lock`, locked while its supervisor lives; it holds the supervisor's number and state,
- `stdout` and `stderr` if they are captured, and `head`: how much of each stays what it is once
  it is written, so that it can be delivered while the command runs,
- `result.tmp`, room on the disk for the result, which is reserved before the node votes,
- `result.json` once the command has ended, written durably in that place,
- `boot`, which run of the kernel it began in, if its command may end that,
- `errors`, what the supervisor itself has to complain of.

Starting a supervisor costs the caller a few milliseconds: nothing is waited for. It gets
what to run in a file that exists in memory only (the environment may hold secrets), and is
started by one byte in a pipe, whose end means that the agent is gone.
"""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from pushcli.errors import StartError
from pushcli.protocol import names
from pushcli_agent.boot import UNKNOWN, Boot
from pushcli_agent.running.job_directory import is_locked, read_lock, read_result, remove
from pushcli_agent.running.policy import PreparedJob
from pushcli_agent.running.spawn import spawn
from pushcli_agent.running.supervised_job import (
    FinishedJob,
    RunningJob,
    lost,
    rebooted,
    was_rebooted,
)

__all__ = ["FinishedJob", "RunningJob", "Spool"]

_log = logging.getLogger(__name__)
_SETTLING = 2.0
"""Seconds that supervisors get to notice that a previous agent has gone."""


class Spool:
    """The directory of all jobs.

    Args:
        boot: which run of the kernel this is.

    Raises:
        StartError: it cannot be made, or others could read or write it.
    """

    def __init__(self, directory: Path, boot: Boot = UNKNOWN) -> None:
        self.directory, self._boot = directory, boot
        try:
            directory.mkdir(0o700, exist_ok=True)
            status = directory.lstat()
        except OSError as error:
            raise StartError(
                f"cannot create the spool {directory}: {error.strerror}", "correct spool_dir"
            ) from error
        if status.st_uid != os.geteuid() or status.st_mode & 0o077 or not directory.is_dir():
            raise StartError(
                f"the spool {directory} is accessible to other users, or not owned by this one",
                f"chmod 700 {directory}",
            )

    def start(self, job: PreparedJob) -> RunningJob:
        """Start the supervisor of a job, which is committed now.

        Raises:
            OSError: no process can be started, or the spool cannot be written.
        """
        directory = self.directory / job.job_id
        directory.mkdir(0o700)
        try:
            pid, control = spawn(directory, job, self._boot.id)
        except BaseException:
            remove(directory)
            raise
        return RunningJob(directory, pid, "committed", control)

    def adopt(self) -> list[RunningJob | FinishedJob]:
        """What a previous run of the agent left: jobs that run, and results.

        Jobs that were committed only are gone with it.
        """
        until = time.monotonic() + _SETTLING
        found = (_adopt_if_possible(path, until, self._boot) for path in sorted(self._jobs()))
        return [job for job in found if job is not None]

    def discard(self, job_id: str) -> None:
        """Remove what a job without a result left."""
        if names.is_job_id(job_id):
            remove(self.directory / job_id)

    def _jobs(self) -> Iterator[Path]:
        for path in self.directory.iterdir():
            if names.is_job_id(path.name) and path.is_dir() and not path.is_symlink():
                yield path


def _adopt_if_possible(
    directory: Path, until: float, boot: Boot
) -> RunningJob | FinishedJob | None:
    try:
        return _adopt(directory, until, boot)
    except (OSError, ValueError, OverflowError) as error:
        # Whatever became of these files, the other jobs and the agent go on.
        _log.warning("what is left of job %s cannot be used: %s", directory.name, error)
        return None


def _adopt(directory: Path, until: float, boot: Boot) -> RunningJob | FinishedJob | None:
    while is_locked(directory):
        pid, state = read_lock(directory)
        # Not started: it has noticed, or will in a moment, that its agent is gone.
        if state == "running" or time.monotonic() > until:
            job = RunningJob(directory, pid, "running", -1)
            # Locked still: so the number was its, and not yet somebody else's.
            if is_locked(directory):
                return job
            job.close()
        time.sleep(0.005)
    result = read_result(directory)
    if was_rebooted(directory, result, boot):
        return rebooted(directory, result)
    if result is not None:
        return FinishedJob(directory, result)
    if read_lock(directory)[1] == "running":
        return lost(directory)
    remove(directory)
    return None
