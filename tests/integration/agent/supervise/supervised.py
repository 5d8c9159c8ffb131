"""Jobs under real supervisors, for tests."""

import math
import os
import pwd
import select
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pushcli.protocol.run import RunSpec
from pushcli_agent.running import leftovers
from pushcli_agent.running.policy import PreparedJob
from pushcli_agent.running.spool import FinishedJob, RunningJob, Spool
from pushcli_agent.running.users import User
from tests.support.waiting import patient, until

JOB = uuid.uuid4().hex
"""New with each test process: what carries it is killed, and others may be at work too."""
NODE_ENV = {"PATH": os.environ["PATH"], "CHEF_PUSH_JOB_ID": JOB}


def user(name: str | None = None) -> User:
    """A user of this machine; without a name the tests' own."""
    entry = pwd.getpwuid(os.geteuid()) if name is None else pwd.getpwnam(name)
    groups = tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))
    return User(
        entry.pw_name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir, entry.pw_shell or "/bin/sh"
    )


def prepared(command: str | tuple[str, ...], **changes: Any) -> PreparedJob:
    """A job that captures, as this user, with little environment.

    Args:
        changes: of a PreparedJob, or of what was asked for: `capture`, `run_timeout`.
    """
    asked = {name: changes.pop(name) for name in ("capture", "run_timeout") if name in changes}
    run: dict[str, Any] = {"command": "as asked", "capture": True, "run_timeout": math.inf}
    values: dict[str, Any] = {
        "job_id": JOB,
        "run": RunSpec(**(run | asked)),
        "command": command,
        "env": NODE_ENV,
        "directory": "/",
        "user": user(),
        "file": None,
        "max_output_bytes": 1024 * 1024,
    }
    return PreparedJob(**(values | changes))


def wait_for_end(job: RunningJob, timeout: float = 15.0) -> None:
    """Until its supervisor has ended."""
    poll = select.poll()
    poll.register(job.fd, select.POLLIN)
    assert poll.poll(patient(timeout) * 1000), "the supervisor does not end"
    assert job.ended()


def run(spool: Spool, command: str | tuple[str, ...], **changes: Any) -> FinishedJob:
    """Run a command to its end."""
    job = spool.start(prepared(command, **changes))
    job.run()
    return finish(job)


def finish(job: RunningJob) -> FinishedJob:
    """Wait for the end; the result, which must be there."""
    wait_for_end(job)
    finished = job.finished()
    assert finished is not None
    return finished


def output(job: FinishedJob) -> str:
    """All of its standard output, as text."""
    return job.read_output("stdout", 0, job.result.stdout_size).decode()


def errors(job: FinishedJob) -> str:
    """All of its standard error, as text."""
    return job.read_output("stderr", 0, job.result.stderr_size).decode()


def processes(job_id: str = JOB) -> set[int]:
    """The living processes that carry the job's id."""
    mark = f"CHEF_PUSH_JOB_ID={job_id}".encode()
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (path / "environ").read_bytes().split(b"\0"):
                found.add(int(path.name))
        except OSError:
            continue
    return found


@contextmanager
def spool_in(directory: Path) -> Iterator[Spool]:
    """A spool whose job leaves nothing behind that the next one's could be taken for."""
    spool = Spool(directory)
    yield spool
    leftovers.kill(spool.directory / JOB)
    # What was killed is there until it had its turn to die.
    until(lambda: not processes(), "what the job left is gone")


@contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that everybody may enter; those of pytest are closed to other users."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path
