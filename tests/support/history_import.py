"""`pushcli migrate history`, into a server that does not run."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support import in_process
from tests.support.fleet import Fleet, SlowFleet

ONE, TWO, THREE = ("1" * 32, "2" * 32, "3" * 32)
"""Ids of jobs."""


@contextmanager
def stopped_server(directory: Path) -> Iterator[Fleet]:
    """A server that does not run; it is stopped at the end if it was started."""
    fleet = Fleet(directory, [])
    try:
        fleet.make_server()
        yield fleet
    finally:
        fleet.stop()


def command(fleet: SlowFleet, source: str, *arguments: str) -> tuple[str, ...]:
    """What `pushcli` is called with."""
    return ("migrate", "history", source, "--dir", str(fleet.server_directory), *arguments)


def told(fleet: SlowFleet, env: Mapping[str, str], source: str, *arguments: str) -> dict[str, Any]:
    """What the command says to programs, run in this one."""
    said = in_process.run(env, *command(fleet, source, "-y", "-F", "json", *arguments))
    answer: dict[str, Any] = json.loads(said.stdout)
    return answer


def remarks(answer: dict[str, Any]) -> dict[str, tuple[str, int]]:
    """By reason: kind and how many."""
    return {one["why"]: (one["kind"], one["count"]) for one in answer["remarks"]}
