"""Processes that the agent did not start and is the parent of all the same.

As the first process of a container the agent inherits whatever jobs leave in the background.
Somebody has to ask how such processes ended, or each stays in the process table as a zombie.
"""

import os
from collections.abc import Container, Iterator
from contextlib import suppress

from pushcli_agent.supervise.tree import children, read_stat


def inherits() -> bool:
    """Whether orphans become this process's children."""
    return os.getpid() == 1


def reap(ours: Container[int]) -> int:
    """Reap the children that have ended; returns how many.

    Args:
        ours: numbers of those that the agent started, whose ends others wait for.
    """
    count = 0
    for pid in children() or _children():
        stat = None if pid in ours else read_stat(str(pid))
        if stat is not None and stat[0] == b"Z":
            with suppress(ChildProcessError):
                count += os.waitpid(pid, os.WNOHANG)[0] == pid
    return count


def _children() -> Iterator[int]:
    """Where the kernel does not list them; few processes are to be seen in a container."""
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit() and (stat := read_stat(name)) is not None and stat[1] == os.getpid():
            yield int(name)
