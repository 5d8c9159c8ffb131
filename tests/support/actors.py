"""Agents that play the parts which a test gives them, on the real wire: what operators see of a
fleet with all its troubles needs hundreds of nodes, and each trouble at its time."""

import base64
import time
from collections.abc import Mapping
from typing import NamedTuple

from pushcli.protocol import messages
from tests.support.writers import OFFERED, Writer


class Part(NamedTuple):
    """What a node makes of one command.

    Args:
        nack: why it does not take part.
        lasts: seconds of the command; None: until its stage lets it go.
    """

    nack: str = ""
    lasts: float | None = 0.05
    exit_code: int = 0
    stdout: str = ""
    stderr: str = ""


class Stage:
    """What all actors look at."""

    def __init__(self) -> None:
        self.is_held = True
        """Whether commands without an end of their own go on."""
        self.gone: frozenset[str] = frozenset()
        """Nodes that say nothing any more."""


class Actor(Writer):
    """One node.

    Args:
        parts: by command; a node that has none for a command succeeds at once.
    """

    offered = f"{OFFERED},reason"

    def __init__(self, name: str, org: str, stage: Stage, parts: Mapping[str, Part]) -> None:
        super().__init__(name, org, size=0)
        self._stage, self._parts = stage, parts
        self._part = Part()
        self._started: float | None = None
        self._has_begun = 0.0

    def heartbeat(self) -> None:
        """Unless it is gone."""
        if self.name not in self._stage.gone:
            super().heartbeat()

    def tick(self, now: float) -> None:
        """A command may be over."""
        if self._started is None:
            return
        lasts = self._part.lasts
        over = not self._stage.is_held if lasts is None else now - self._started >= lasts
        if over:
            self._started = None
            self._send_result()

    def receive(self, body: bytes) -> None:
        """Play it."""
        if self.name in self._stage.gone:
            return
        match messages.decode_command(body):
            case messages.Commit(job_id=job_id, command=command):
                if self._job is not None:
                    self.send(messages.NackCommit, job_id=job_id)
                    return
                self._part = self._parts.get(command or "", Part())
                if self._part.nack:
                    self.send(messages.NackCommit, job_id=job_id, reason=self._part.nack)
                    return
                self._job = job_id
                self.send(messages.AckCommit)
            case messages.Run():
                self.send(messages.AckRun)
                self._started, self._has_begun = time.monotonic(), time.time()
            case messages.Abort():
                self._started = None
                self.send(messages.Aborted)
                self._job = None
            case messages.AckResult():
                self._job = None
            case _:
                pass

    def _send_result(self) -> None:
        part = self._part
        kind = messages.Failed if part.exit_code else messages.Succeeded
        self.send(
            kind, spooled=True, exit_code=part.exit_code, started_at=self._has_begun,
            ended_at=time.time(), stdout_size=len(part.stdout), stderr_size=len(part.stderr),
            stdout_base64=base64.b64encode(part.stdout.encode()).decode(),
            stderr_base64=base64.b64encode(part.stderr.encode()).decode(),
        )  # fmt: skip
