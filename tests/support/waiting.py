"""Waiting for what will be true soon.

A limit is there so that nothing hangs for ever; it measures nothing. Times in tests are those
of an idle machine, and `patient` makes limits of them that a busy one keeps, too.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pushcli.sandbox.sandbox import Sandbox

T = TypeVar("T")
LIMIT = 15.0
SLACK = 4.0
"""A machine may have so many times as much to do as one that runs tests alone."""

_TICK, _LONGEST_TICK = 0.02, 0.1


def patient(seconds: float) -> float:
    """The limit in seconds for what takes at most so long on an idle machine."""
    return SLACK * seconds


def until(
    condition: Callable[[], T | None], what: str = "it comes to pass", limit: float = LIMIT
) -> T:
    """What the condition gives once it is true; `limit` as on an idle machine."""
    begun = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - begun
        assert waited < patient(limit), f"not within {patient(limit)} s: {what}"
        # What takes long is asked for less often: that costs the machine more than the wait.
        time.sleep(min(max(_TICK, waited / 20), _LONGEST_TICK))
    return value


def job_is(fleet: Sandbox, job_id: str, *statuses: str, limit: float = LIMIT) -> dict[str, Any]:
    """The job, once its status is one of these."""

    def there() -> dict[str, Any] | None:
        job: dict[str, Any] = fleet.api.job(job_id)
        return job if job["status"] in statuses else None

    return until(there, f"{job_id} is {' or '.join(statuses)}", limit)


def lines(path: Path) -> list[str]:
    """A file's lines; none while it is not there."""
    return path.read_text().splitlines() if path.exists() else []


def start(fleet: Sandbox, command: str, *nodes: str, **more: Any) -> str:
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
