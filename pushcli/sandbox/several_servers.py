"""A sandbox with several servers: they share a database, and whoever works may be killed."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pushcli.client.credentials import profile_text
from pushcli.errors import StartError
from pushcli.sandbox.postgresql import Postgresql
from pushcli.sandbox.profile import values_of
from pushcli.sandbox.sandbox import Sandbox, free_ports

_WORKS = b" ready, "
"""In the log of a server that works."""


class Server(NamedTuple):
    """One of them.

    Args:
        number: from 1.
        name: among processes and logs.
        ports: for REST, commands, heartbeats.
    """

    number: int
    name: str
    directory: Path
    ports: Sequence[int]


class SeveralServers(Sandbox):
    """A sandbox whose servers work one at a time; the others stand ready to go on.

    Args:
        servers: how many, two or more.
    """

    def __init__(
        self,
        directory: Path,
        nodes: Sequence[str],
        *,
        servers: int,
        whitelist: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(directory, nodes, whitelist=whitelist)
        self._database = Postgresql(directory / "log" / "postgresql.log")
        ports = free_ports(3 * servers)
        self.ports = ports[:3]
        self._servers = [
            Server(number, name, directory / name, ports[3 * number - 3 : 3 * number])
            for number in range(1, servers + 1)
            for name in ("server" if number == 1 else f"server{number}",)
        ]
        self._working: set[int] = set()

    @property
    def urls(self) -> list[str]:
        """Of all servers."""
        return [self._url(server.ports) for server in self._servers]

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of the caller's databases either."""
        return {k: v for k, v in super().environment.items() if not k.startswith("PG")}

    def make_server(self) -> None:
        """The database, and `pushcli server init`."""
        self.log("postgresql").parent.mkdir(exist_ok=True)
        self._database.start()
        self._settings["database_url"] = self._database.url
        super().make_server()

    def start_server(self) -> None:
        """The first works then, and the others, which join it, stand ready."""
        super().start_server()
        self._working.add(self.pid("server"))
        with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
            for done in [pool.submit(self._join, server) for server in self._servers[1:]]:
                done.result()
        self._put_urls_into_profile()

    def start_ended(self) -> Iterator[Server | StartError]:
        """Start each server again that has ended, as its unit would: it stands ready."""
        for server in self._servers:
            if self._processes[server.name].poll() is not None:
                try:
                    self._stand_by(server)
                except StartError as error:
                    yield error
                else:
                    yield server

    def newly_working(self) -> Iterator[Server]:
        """Those that have begun to work since this was asked last."""
        for server in self._servers:
            pid = self.pid(server.name)
            if pid not in self._working and _WORKS in self._logged(server.name):
                self._working.add(pid)
                yield server

    def _join(self, server: Server) -> None:
        self._check(
            [
                "server",
                "join",
                "--dir",
                str(server.directory),
                "-u",
                "pivotal",
                "-k",
                str(self.superuser_key),
                *(f"--set={value}" for value in self._values(server.ports)),
            ]
        )
        self._stand_by(server)

    def _stand_by(self, server: Server) -> None:
        self._start_server(server.name, server.directory, "--stand-by", says=b" ready")

    def _put_urls_into_profile(self) -> None:
        """Put the URLs of all servers into the profile."""
        others = tuple(self.urls[1:])
        profile = msgspec.structs.replace(self.profile, other_urls=others)
        self.credentials.write_text(profile_text(profile.name, values_of(profile)))

    def _end_started(self) -> None:
        try:
            super()._end_started()
        finally:
            self._database.stop()
