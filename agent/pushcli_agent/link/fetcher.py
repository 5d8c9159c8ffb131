"""Runs the child that fetches the configuration, without waiting for it."""

import os
import subprocess
import sys

import msgspec

from pushcli_agent.core.events import ConfigFailed, Configured
from pushcli_agent.link.config_request import ConfigReply, ConfigRequest

_MAX_ANSWER = 262_144
# It lives for one request: looking for garbage among what it imports would cost 7 ms of 120.
_PROGRAM = "import gc; gc.disable(); from pushcli_agent.link.fetch import main; main()"


class _Child:
    """One request under way."""

    def __init__(self, request: ConfigRequest) -> None:
        question, asked = os.pipe()
        self.fd, answered = os.pipe()
        try:
            # It fits into the pipe: nobody has to read it yet.
            os.write(asked, msgspec.json.encode(request))
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM],
                stdin=question,
                stdout=answered,
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            os.close(self.fd)
            raise
        finally:
            for end in (question, asked, answered):
                os.close(end)

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def end(self, *, kill: bool) -> int:
        """Its exit status; without `kill` it has closed its output and is about to end."""
        os.close(self.fd)
        try:
            return self._process.wait(0.0 if kill else 1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


class Fetcher:
    """At most one child at a time."""

    def __init__(self) -> None:
        self._child: _Child | None = None
        self._answer = b""

    @property
    def fd(self) -> int:
        """What to poll for input while a child is there; else -1."""
        return -1 if self._child is None else self._child.fd

    @property
    def pid(self) -> int:
        """The number of the child; -1 while there is none."""
        return -1 if self._child is None else self._child.pid

    def start(self, request: ConfigRequest) -> None:
        """Ask.

        Raises:
            OSError: no process can be made.
        """
        self.stop()
        self._answer = b""
        self._child = _Child(request)

    def receive(self) -> Configured | ConfigFailed | None:
        """Take what the child wrote, when its descriptor is readable; the answer at its end."""
        child = self._child
        if child is None:
            return None
        data = os.read(child.fd, _MAX_ANSWER)
        self._answer += data
        if data and len(self._answer) <= _MAX_ANSWER:
            return None
        self._child = None
        return _read(self._answer, child.end(kill=bool(data)))

    def stop(self) -> None:
        """End the child, if there is one: its answer is not wanted any more."""
        if self._child is not None:
            self._child.end(kill=True)
            self._child = None


def _read(line: bytes, status: int) -> Configured | ConfigFailed:
    try:
        answer = msgspec.json.decode(line, type=ConfigReply)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ConfigFailed(f"the process fetching it exited with status {status} and no answer")
    if answer.config is None:
        return ConfigFailed(answer.error or "no reason given", answer.retry_after)
    return Configured(answer.config, answer.facts)
