"""What a service tells systemd (sd_notify): that it is ready, alive, about to end."""

import math
import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress

_SOCKET = "NOTIFY_SOCKET"
_INTERVAL = "WATCHDOG_USEC"
_WATCHED = "WATCHDOG_PID"


class Notifier:
    """Sends states to the service manager, which may not be there.

    Args:
        address: of a datagram socket, an absolute path or `@NAME`; else nobody is told.
        watchdog: seconds after which a service that was not heard of is killed; None: never.
    """

    def __init__(self, address: str = "", watchdog: float | None = None) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._is_told = address.startswith(("/", "@"))
        self._interval = watchdog / 3 if self._is_told and watchdog is not None else math.inf
        self.due_at = -math.inf if self._interval < math.inf else math.inf
        """When to call `feed` next, on its clock; without a watchdog never."""

    def ready(self, status: str) -> None:
        """The service does its work from now on.

        Args:
            status: one line, for `systemctl status`.
        """
        self._send(f"READY=1\nSTATUS={status}")

    def feed(self, now: float) -> None:
        """The service is alive. Only what does the service's work may call this.

        Args:
            now: seconds of a clock that only goes forward; before `due_at` nothing is sent.
        """
        if now >= self.due_at:
            self.due_at = now + self._interval
            self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The service is about to end."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._is_told:
            return
        # A service manager that does not listen is no reason to stop, nor to wait.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(state.encode(), self._address)


def from_environment(env: MutableMapping[str, str]) -> Notifier:
    """The notifier that the service manager asks for in this process's environment.

    Its variables are removed: a child that had them could speak for the service.
    """
    given = {name: env.pop(name, "") for name in (_SOCKET, _INTERVAL, _WATCHED)}
    ours = given[_WATCHED] in {"", str(os.getpid())}
    text = given[_INTERVAL]
    microseconds = int(text) if ours and text.isascii() and text.isdigit() else 0
    return Notifier(given[_SOCKET], microseconds / 1e6 if microseconds else None)
