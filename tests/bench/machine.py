"""What a benchmark ran on, and what a process used."""

import os
import platform
import re
import signal
import sqlite3
import time
from importlib.metadata import version
from pathlib import Path

import zmq

from pushcli.sandbox.sandbox import Sandbox


def describe() -> str:
    """Processor, cores, Python."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    libraries = ", ".join(f"{name} {version(name)}" for name in ("pyzmq", "sqlalchemy", "uvicorn"))
    return (
        f"{model}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"libzmq {zmq.zmq_version()}, {libraries}, SQLite {sqlite3.sqlite_version}"
    )


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def event_loop(fleet: Sandbox) -> str:
    """The server's own measure since the last time it was asked."""
    log = fleet.log("server")
    before = log.stat().st_size
    os.kill(fleet.pid("server"), signal.SIGUSR2)
    while b"event loop" not in log.read_bytes()[before:]:
        time.sleep(0.02)
    said: list[str] = re.findall(r"event loop: (.*)", log.read_bytes()[before:].decode())
    return said[-1]
