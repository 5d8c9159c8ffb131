"""Fleets in which the machine of a node can lose power."""

import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.support.fleet import Fleet
from tests.support.power.synced import restore

_PATCH = Path(__file__).parent / "power"
_INTERPRETER = f"""#!/bin/sh
if [ "$1 $2" = "-I -S" ]; then
  shift 2
  exec {sys.executable} -I -S {_PATCH / "isolated.py"} "$@"
fi
exec {sys.executable} "$@"
"""
_GONE = 10.0
"""Seconds within which killed processes are gone."""


class PoweredFleet(Fleet):
    """Of each node's spool it is known what was synced."""

    def __init__(self, directory: Path, nodes: list[str], **more: Any) -> None:
        super().__init__(directory, nodes, **more)
        self._starting = ""
        self._python = directory / "python"

    def disk(self, node: str) -> Path:
        """Where what was synced is kept."""
        return self.directory / "disks" / node

    @property
    def environment(self) -> dict[str, str]:
        """With the disk of the node that is being started."""
        if not self._starting:
            return super().environment
        power = {
            "PYTHONPATH": str(_PATCH),
            "POWER_DISK": str(self.disk(self._starting)),
            "POWER_PYTHON": str(self._python),
        }
        return {**super().environment, **power}

    def cut_power(self, node: str, beside: Iterable[int] = ()) -> None:
        """Its agent dies with all that it ever started, and what was not synced is gone.

        Args:
            beside: processes that an agent before this one has started.
        """
        of_node = stopped([self.pid(node), *beside])
        for pid in of_node:
            send_signal(pid, signal.SIGKILL)
        self.end_agent(node, signal.SIGKILL)
        end = time.monotonic() + _GONE
        while any(_lives(pid) for pid in of_node) and time.monotonic() < end:
            time.sleep(0.005)
        restore(self.disk(node), self.agent_directory(node) / "spool")

    def _spawn(self, name: str, arguments: list[str]) -> None:
        if name in self.nodes:
            self._starting = name
            self.disk(name).mkdir(parents=True, exist_ok=True)
            if not self._python.exists():
                # Once: who begins to run it while it is written is refused.
                self._python.write_text(_INTERPRETER)
                self._python.chmod(0o700)
        try:
            super()._spawn(name, arguments)
        finally:
            self._starting = ""


def stopped(pids: Iterable[int]) -> list[int]:
    """These processes and all that come of them; none of them runs any more."""
    found: list[int] = []
    new = list(pids)
    while new:
        found += [pid for pid in new if send_signal(pid, signal.SIGSTOP)]
        children = _children()
        new = [child for pid in found for child in children.get(pid, ()) if child not in found]
    return found


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            found.setdefault(int(fields[1]), []).append(int(entry.name))
    return found


def _lives(pid: int) -> bool:
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z"


def _stat(pid: int) -> list[str]:
    """What follows a process's name: its state, its parent and so on; nothing: it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def send_signal(pid: int, number: int) -> bool:
    """Whether there was such a process."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
