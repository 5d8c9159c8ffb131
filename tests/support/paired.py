"""Fleets with two servers for one database, on one address: one works, the other stands ready."""

import shutil
import signal

from tests.support.powered import PoweredFleet
from tests.support.waiting import until

_READY = "stand-by"
"""The process that waits; `server` is always the one that works."""


class PairedFleet(PoweredFleet):
    """When the server that works ends, the other one is it; `start_server` starts what is missing.

    Its database is PostgreSQL.
    """

    def make_server(self) -> None:
        """And a copy of its directory, as on another machine."""
        super().make_server()
        self._places = [self.server_directory, self.directory / "server2"]
        first, second = self._places
        shutil.copytree(first, second, ignore=shutil.ignore_patterns("blobs"))

    def start_server(self) -> None:
        """Both, or the one that ended."""
        if "server" not in self._processes:
            self._start("server", self._places[0].name)
        self._start(_READY, self._places[1].name)

    def end_server(self, number: int = signal.SIGTERM) -> int:
        """The one that works; the other takes its place by itself."""
        status = super().end_server(number)
        if _READY in self._processes:
            self._processes["server"] = self._processes.pop(_READY)
            self._places.reverse()
        return status

    def _start(self, name: str, place: str) -> None:
        log = self.log(name)
        seen = log.stat().st_size if log.exists() else 0
        self._spawn(name, ["server", "start", "--stand-by", "--dir", str(self.directory / place)])
        until(lambda: b" ready" in log.read_bytes()[seen:], "it works, or stands ready")
