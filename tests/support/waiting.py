"""Waiting for what will be true soon, with a limit."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pushcli.sandbox.fleet import Fleet

T = TypeVar("T")
LIMIT = 15.0


def until(condition: Callable[[], T | None], what: str, limit: float = LIMIT) -> T:
    """What the condition gives once it is true."""
    deadline = time.monotonic() + limit
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {limit} s: {what}"
        time.sleep(0.02)
    return value


def job_is(fleet: Fleet, job_id: str, *statuses: str, limit: float = LIMIT) -> dict[str, Any]:
    """The job, once its status is one of these."""

    def there() -> dict[str, Any] | None:
        job: dict[str, Any] = fleet.api.job(job_id)
        return job if job["status"] in statuses else None

    return until(there, f"{job_id} is {' or '.join(statuses)}", limit)


def lines(path: Path) -> list[str]:
    """A file's lines; none while it is not there."""
    return path.read_text().splitlines() if path.exists() else []


def start(fleet: Fleet, command: str, *nodes: str, **more: Any) -> str:
    """Start a job over REST; returns its id."""
    return fleet.api.start_job({"command": command, "nodes": list(nodes), **more})


def processes(word: str) -> list[int]:
    """Processes whose command line has this word."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if word.encode() in arguments:
                found.append(int(entry.name))
    return found
