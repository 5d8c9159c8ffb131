"""A process of this machine, told from every other, also from one with its number later."""

import os
from pathlib import Path

from pushcli_server.core.leases import Process

_KERNEL = Path("/proc/sys/kernel/random/boot_id")
_NAMES = Path("/proc/self/ns/pid")


def own() -> str:
    """This one: its run of the kernel, whose numbers are meant, its own, and when it began.

    Empty where the system does not tell.
    """
    number = os.getpid()
    try:
        return f"{_world()} {number} {_began(number)}"
    except OSError:
        return ""


def look_for(process: str) -> Process:
    """What became of a process, of which `own` told."""
    try:
        world, number, began = process.rsplit(" ", 2)
        # Else on another machine, in another container, or before this one was restarted.
        now = _began(int(number)) if world == _world() else None
    except (OSError, ValueError):
        now = None
    if now is None:
        return Process.ELSEWHERE
    return Process.THERE if now == began else Process.GONE


def _world() -> str:
    return f"{_KERNEL.read_text().strip()} {os.readlink(_NAMES)}"  # noqa: PTH115 - no path


def _began(number: int) -> str | None:
    """In ticks since the kernel began; empty: it has ended; None: nobody tells us."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None if _is_hidden(number) else ""
    # Of a zombie nobody asked yet how it ended.
    return "" if fields[0] == "Z" else fields[19]


def _is_hidden(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # It came this very moment.
    return False
