"""The socket on which a service manager hears of its services."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import patient


@dataclass
class ServiceManager:
    """What one service is given, and what it sent."""

    socket: socket.socket
    environment: dict[str, str]

    def hear(self) -> list[str]:
        """The lines of the next datagram."""
        return self.socket.recv(4096).decode().splitlines()

    def hear_until(self, line: str) -> list[str]:
        """Everything up to the datagram that begins with this line, that line included."""
        heard: list[str] = []
        while not heard or heard[-1] != line:
            heard.append(self.hear()[0])
        return heard


@contextmanager
def service_manager(directory: Path, watchdog: float) -> Iterator[ServiceManager]:
    """One for one service, which is to be fed within so many seconds."""
    path = directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.settimeout(patient(10))
        given = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(int(watchdog * 1e6))}
        yield ServiceManager(listening, given)
