"""The URLs of a server as places, with the connections to each."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from pushcli.client.connection import Connection, Trusted
from pushcli.client.limits import Limits
from pushcli.client.proxy import proxy_for


class Place:
    """One URL of a server, and the connections to it that wait for a request.

    Args:
        trust: what proves the server; None: plain HTTP.
        env: names the proxy.
    """

    def __init__(
        self, url: str, trust: Trusted | None, limits: Limits, env: Mapping[str, str]
    ) -> None:
        self.base = url.rstrip("/")
        self._limits, self._trust = limits, trust
        self._idle: list[Connection] = []
        parts = urlsplit(self.base)
        self._path = parts.path
        self._root = parts.path.rpartition("/organizations/")[0]
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if trust else 80)
        self._proxy = proxy_for(self._host, self._port, env) if trust else None

    @property
    def is_proxied(self) -> bool:
        """Whether a proxy stands between."""
        return self._proxy is not None

    def path_of(self, path: str) -> str:
        """The whole path: below the organization, or outside of all if it begins with `/`."""
        return f"{self._root}{path}" if path.startswith("/") else f"{self._path}/{path}"

    def connection(self) -> Connection:
        """One that works, or a new one; threads get one each."""
        while (connection := self._popped()) is not None:
            if connection.is_usable:
                return connection
            connection.close()
        return Connection(
            self._host, self._port, self._limits, trust=self._trust, proxy=self._proxy
        )

    def keep(self, connection: Connection) -> None:
        """Keep one for the next request."""
        self._idle.append(connection)

    def close(self) -> None:
        """Close those that are kept."""
        while (connection := self._popped()) is not None:
            connection.close()

    def _popped(self) -> Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            # Another thread may have taken the last one since anybody looked.
            return None
