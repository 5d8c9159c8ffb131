"""The URLs of a server as places: the connections to each, and which of them is asked."""

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from pushcli.client.connection import FAILURES, Connection, Trusted
from pushcli.client.limits import Limits
from pushcli.client.proxy import proxy_for
from pushcli.errors import NotTrusted, PushcliError, ServerUnreachable

_ELSEWHERE = 3.0
"""Seconds to connect where another URL is left to be tried."""


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


class Places:
    """The URLs of one server. The one that answered last is asked first; if it cannot be reached,
    the next.

    Args:
        trust_remedy: what to do where a certificate is not trusted.
        show: is told why a place is passed over, where there are others.
    """

    def __init__(
        self,
        places: Sequence[Place],
        trust_remedy: str,
        show: Callable[[str], None] | None = None,
    ) -> None:
        self._places = tuple(places)
        self._trust_remedy = trust_remedy
        self._show = show if len(places) > 1 else None
        self._at = 0
        """Of the places, the one that is asked first."""
        self._why = ""
        """Why that is not the first one."""
        self.passed_over = ""
        """Why another than the first was asked last, and which, if so."""

    @property
    def first(self) -> Place:
        """The one that was named first."""
        return self._places[0]

    def turn(self) -> list[Place]:
        """The places in the order in which they are asked."""
        return [*self._places[self._at :], *self._places[: self._at]]

    def reach(self, turn: list[Place]) -> tuple[Place, Connection]:
        """An open connection to the first place of those, which it takes away, that is there.

        Raises:
            PushcliError: none is, or one is not to be trusted.
        """
        failed: list[PushcliError] = []
        while turn:
            place = turn.pop(0)
            connection = place.connection()
            try:
                if not connection.is_open:
                    connection.open(_ELSEWHERE if turn else None)
            except BaseException as error:
                connection.close()
                if not isinstance(error, FAILURES):
                    raise
                failure = self._failure(error, place, connection)
                failed.append(failure)
                if isinstance(failure, ServerUnreachable) and not isinstance(failure, NotTrusted):
                    if self._show is not None:
                        self._show(f"* {failure.message}")
                    continue
                # Whoever answers in a server's place is to be looked at, not passed over. The
                # next request begins with the first place: it may be there again.
                self._at = 0
                raise _of_all(failed) from error
            self._found(place, failed)
            return place, connection
        raise _of_all(failed)

    def go_on_after(self, place: Place, why: PushcliError) -> None:
        """The one after this place is asked first."""
        self._at = (self._places.index(place) + 1) % len(self._places)
        self._why = why.message

    def close(self) -> None:
        """Close the connections that are kept."""
        for place in self._places:
            place.close()

    def _found(self, place: Place, failed: list[PushcliError]) -> None:
        """It is asked first from now on."""
        if failed:
            self._why = failed[-1].message
        self._at = self._places.index(place)
        self.passed_over = f"{self._why}; {place.base} was asked" if self._at else ""

    def _failure(self, error: Exception, place: Place, connection: Connection) -> PushcliError:
        # Where nothing fails it is never loaded, which a fetched configuration would pay for.
        from pushcli.client import failures  # noqa: PLC0415

        return failures.of_connecting(
            error, place.base, self._trust_remedy, connection.deadline, proxied=place.is_proxied
        )


def _of_all(failed: list[PushcliError]) -> PushcliError:
    """The last failure, with what came before it."""
    last = failed[-1]
    if len(failed) > 1:
        last.message = "; ".join(one.message for one in failed)
    return last
