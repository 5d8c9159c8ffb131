"""Processes of a job whose supervisor was killed.

While it lives, a supervisor knows its descendants. Without it they are known by a mark in
their environment, which is as good as can be had: a process may have dropped it. The mark
is the job's directory: several agents on one machine may run the same job.
"""

import os
import signal
from contextlib import suppress
from pathlib import Path

_ROUNDS = 5
"""Each finds what the processes killed in the last one had just started."""


MARK = "PUSHCLI_JOB_DIRECTORY"
"""The variable of a job's environment that says whose it is."""


def kill(directory: Path) -> int:
    """Kill all processes of the job in this directory; returns how many."""
    mark = os.fsencode(f"{MARK}={directory}")
    killed: set[int] = set()
    for _ in range(_ROUNDS):
        found = {int(path.name) for path in Path("/proc").glob("[0-9]*") if _carries(path, mark)}
        # A job may have restarted this agent, which then has inherited its mark.
        found.discard(os.getpid())
        for pid in found:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if found <= killed:
            break
        killed |= found
    return len(killed)


def _carries(process: Path, mark: bytes) -> bool:
    try:
        return mark in (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
