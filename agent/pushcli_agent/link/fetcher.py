"""Runs the child that fetches the configuration, without waiting for it."""

import msgspec

from pushcli_agent.child import Child
from pushcli_agent.core.events import ConfigFailed, Configured
from pushcli_agent.link.config_request import ConfigReply, ConfigRequest

_MODULE = "pushcli_agent.link.fetch"


class Fetcher:
    """At most one child at a time."""

    def __init__(self) -> None:
        self._child: Child | None = None

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
        self._child = Child(_MODULE, msgspec.json.encode(request))

    def receive(self) -> Configured | ConfigFailed | None:
        """Take what the child wrote, when its descriptor is readable; the answer at its end."""
        if self._child is None or (ended := self._child.receive()) is None:
            return None
        self._child = None
        return _read(*ended)

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
