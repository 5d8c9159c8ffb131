"""Simulated nodes that outlive the server, with commands that take a while and leave a trace.

Each writes into the journal of its process what happened, at once: that a command began or ended,
and that the server acknowledged its result.
"""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from pushcli.protocol import extensions, messages
from tests.support import simulated
from tests.support.simulated import Plan

OFFERED = extensions.render(
    frozenset({
        extensions.CAPTURE, extensions.OUTPUT, extensions.REASON, extensions.REQUESTOR,
        extensions.RESULTS, extensions.TIMEOUT,
    })
)  # fmt: skip
LONGEST = 1.5
"""Seconds of a command."""
_CHANCE = random.Random()
_journal = -1


@dataclass(slots=True)
class Node(simulated.Agent):
    """One of them. Its command is looked at with each heartbeat."""

    ran: set[str] = field(default_factory=set)
    over_at: float = 0.0

    def heartbeat(self) -> None:
        """The command may be over."""
        if self.job_state == "running" and time.monotonic() >= self.over_at:
            self.finish()
        simulated.Agent.heartbeat(self)

    def receive(self, body: bytes) -> None:
        """Nothing runs twice, and one job at a time."""
        match message := messages.decode_command(body):
            case messages.Commit(job_id=job_id) if self.job_id not in {None, job_id}:
                self.send(messages.NackCommit, job_id=job_id, reason="busy")
            case messages.Commit(job_id=job_id) if job_id in self.ran:
                self.send(messages.NackCommit, job_id=job_id, reason="has run already")
            case messages.Run(job_id=job_id) if job_id is not None and job_id in self.kept:
                self._send_result(job_id, self.kept[job_id])
            case messages.Run(job_id=job_id) if job_id is not None and job_id == self.job_id:
                self._run(job_id)
            case messages.AckResult(job_id=job_id):
                note("acked", job_id, self.name)
                self.kept.pop(job_id, None)
            case _:
                del message
                simulated.Agent.receive(self, body)

    def finish(self) -> None:
        """The command ends, if it is time."""
        if time.monotonic() >= self.over_at and self.job_id is not None:
            note("ended", self.job_id, self.name)
            self.deliver(messages.Succeeded, stdout=f"{self.job_id} {self.name}\n")
            self.job_id, self.job_state = None, "idle"

    def _run(self, job_id: str) -> None:
        if self.job_state != "running":
            note("began", job_id, self.name)
            self.ran.add(job_id)
            self.job_state = "running"
            self.over_at = time.monotonic() + _CHANCE.random() * LONGEST
        self.send(messages.AckRun)


def note(what: str, job: str, node: str) -> None:
    """A line in the journal."""
    os.write(_journal, f"{what} {job} {node}\n".encode())


class Simulated:
    """The process of all simulated nodes."""

    def __init__(self, plan: Plan, journal: Path) -> None:
        self._journal = journal
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nodes", str(journal)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(plan).decode() + "\n")
        self._process.stdin.flush()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def noted(self, what: str) -> list[tuple[str, str]]:
        """Jobs and nodes of which this was noted."""
        lines = self._journal.read_text().splitlines() if self._journal.exists() else []
        found = [line.split() for line in lines]
        return [(job, node) for kind, job, node in found if kind == what]

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def simulated_nodes(plan: Plan, journal: Path) -> Iterator[Simulated]:
    """The nodes of a plan, for this time."""
    nodes = Simulated(plan, journal)
    try:
        yield nodes
    finally:
        nodes.end()


if __name__ == "__main__":
    _journal = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    simulated.run(msgspec.convert(json.loads(sys.stdin.readline()), Plan), Node)
