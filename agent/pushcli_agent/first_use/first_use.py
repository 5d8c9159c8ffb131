"""Has Chef's administrators taken as editors, once, if agent.toml wants that."""

import logging
import math
import random
import time
from pathlib import Path

import msgspec

from pushcli_agent.child import Child
from pushcli_agent.config import AgentSettings
from pushcli_agent.first_use import pins
from pushcli_agent.first_use.decisions import Attempts, is_wanted
from pushcli_agent.first_use.request import TakeReply, TakeRequest

_log = logging.getLogger("pushcli_agent")
_MODULE = "pushcli_agent.first_use.take"


class FirstUse:
    """At most one child at a time, until one of them pinned editors.

    Args:
        directory: the agent's, absolute.
    """

    def __init__(self, settings: AgentSettings, directory: Path) -> None:
        self._directory = directory
        self._request = TakeRequest(
            directory=str(directory),
            server_urls=settings.server_urls,
            node_name=settings.node_name,
            client_key=settings.client_key,
            ca_file=settings.ca_file,
            fingerprint=settings.fingerprint,
            signing_version=settings.signing_version,
        )
        self._asked_for = settings.trust_editors_on_first_use
        self._attempts = Attempts(random.random)
        self._child: Child | None = None
        self._complaint = ""
        if self._asked_for:
            self._settle()

    @property
    def fd(self) -> int:
        """What to poll for input while a child is there; else -1."""
        return -1 if self._child is None else self._child.fd

    @property
    def pid(self) -> int:
        """The number of the child; -1 while there is none."""
        return -1 if self._child is None else self._child.pid

    @property
    def due_at(self) -> float:
        """When to `work` (monotonic)."""
        return math.inf if self._child or not self._asked_for else self._attempts.due_at

    def work(self, now: float) -> None:
        """Ask, if it is time."""
        if now < self.due_at:
            return
        self._settle()
        if not self._asked_for:
            return
        try:
            self._child = Child(_MODULE, msgspec.json.encode(self._request))
        except OSError as error:
            self._failed(f"cannot start a process for it ({error.strerror})")

    def receive(self) -> None:
        """Take what the child wrote, when its descriptor is readable."""
        if self._child is None or (ended := self._child.receive()) is None:
            return
        self._child = None
        reply = _read(*ended)
        if reply.error is not None:
            self._failed(reply.error)
            return
        self._asked_for = False
        for name, fingerprint in reply.pinned:
            _log.warning("editor pinned on first use: %s %s", name, fingerprint)

    def stop(self) -> None:
        """End the child, if there is one."""
        if self._child is not None:
            self._child.end(kill=True)
            self._child = None

    def _settle(self) -> None:
        """Find out what is left to do; where editors are pinned the first use is over."""
        has_pins, is_done = pins.has_pins(self._directory), pins.is_done(self._directory)
        self._asked_for = is_wanted(asked_for=True, has_pins=has_pins, is_done=is_done)
        if has_pins and not is_done:
            try:
                pins.end(self._directory, pins.Mark(at=time.time()))
            except OSError as error:
                _log.warning("cannot write %s: %s", pins.MARK, error.strerror)
        if is_done and not has_pins:
            _log.warning(
                "no editor is pinned: editors.json is gone, and editors are taken on first use "
                "only once; pin them with `pushcli agent editors add`"
            )

    def _failed(self, why: str) -> None:
        self._attempts.failed(time.monotonic())
        if why != self._complaint:
            _log.warning("no editors on first use yet: %s", why)
        self._complaint = why


def _read(line: bytes, status: int) -> TakeReply:
    try:
        return msgspec.json.decode(line, type=TakeReply)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return TakeReply(error=f"the process asking for them ended with status {status}")
