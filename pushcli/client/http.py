"""The one HTTP client, of the command line and of agents: only successes come back.

It stands on the standard library's `http.client`: a child process of every agent fetches the
configuration with it, on all nodes at once after the server's restart. Measured on Python 3.11
(processor time, medians of 25 and 15 alternating runs; PSS, medians of 5):

| | with http.client | with requests |
| --- | --- | --- |
| fetch of a configuration, whole process | 163 ms | about 70 ms more |
| `pushcli node status`, whole process | 184 ms | 274 ms |
| an agent that fetched in its own process (15.0 MiB without) | 25.1 MiB | 31.0 MiB |

So one client serves both, and the agent fetches in a child: what it loads for one request an
hour would stay in the memory of every node.
"""

import os
import random
import time
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from pushcli import __version__, tls
from pushcli.client.connection import FAILURES, Connection, Response, Trusted
from pushcli.client.limits import Limits
from pushcli.client.places import Place, Places
from pushcli.errors import (
    BadGateway,
    Busy,
    ConfigError,
    ConnectionLost,
    NotTrusted,
    PushcliError,
    ServerUnreachable,
)
from pushcli.protocol import names, signing
from pushcli.protocol.headers import API_VERSION, BEHIND, CHEF_VERSION, EXTENSIONS
from pushcli.protocol.timestamps import format_iso8601

if TYPE_CHECKING:
    from email.message import Message

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from pushcli.client.trace import Trace

Params = Mapping[str, str | list[str]]
"""Of a query; a list is the same parameter several times."""
_BLOCK = 65_536
_REFUSAL = 65_536
"""Bytes of a refusal that are read in place of a stream."""
_SOONEST = 0.5
"""Seconds after which a server that is busy is asked again, whatever it says."""
_AS_IT_IS = "/%:@!$&'()*+,;=~"
"""Characters of a path that are not escaped, or are an escape already."""
_CHEF = "16.12.3"
"""The version of Chef's tools that we speak like."""
API = "1"
"""Of Chef's server API, as knife has it for users and clients."""


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """Where a server is, and what proves it.

    Args:
        url: with its `/organizations/ORG`.
        others: further URLs of it, which are tried in turn where one cannot be reached.
        remedy: what to do where its certificate is not trusted.
    """

    url: str
    others: tuple[str, ...] = ()
    ca_file: Path | None = None
    fingerprint: str | None = None
    remedy: str = "give a CA file or a fingerprint"


class Requestor:
    """Who asks, and signs: a user or client of the organization.

    Args:
        remedy: what to do where the server does not accept the signature.
        api_version: of Chef's server API that is spoken.

    Raises:
        ConfigError: no user or client has such a name.
    """

    def __init__(
        self,
        name: str,
        key: "RSAPrivateKey",
        *,
        version: str,
        remedy: str,
        api_version: str = API,
    ) -> None:
        if not names.is_node_name(name):
            raise ConfigError(f"invalid user or client name {name!r}", remedy)
        self.name = name
        self.key = key
        self.remedy = remedy
        self.api_version = api_version
        self._version = version

    def headers(self, method: str, path: str, body: bytes) -> dict[str, str]:
        """The headers that sign a request."""
        return signing.sign(
            self.key,
            method=method,
            path=path,
            body=body,
            user=self.name,
            timestamp=format_iso8601(time.time()),
            version=self._version,
            api_version=self.api_version,
        )


class _Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked; a path that begins with `/` is outside of the organizations."""

    method: str
    path: str
    params: Params | None = None
    body: bytes = b""
    headers: Mapping[str, str] = {}


class HttpClient:
    """Sends requests to one server.

    Where it has several URLs, the one that answered last is asked; if that cannot be reached, or
    is busy, the next. A request that may have arrived is repeated elsewhere only if it reads.

    Args:
        requestor: None: nothing is signed, for those who are known to nobody yet.
        env: names the proxy.
        trace: is told what is asked and answered, without the secrets in it.

    Raises:
        ConfigError: plain HTTP over a network, or a CA file or proxy that cannot be used.
    """

    def __init__(
        self,
        server: Server,
        requestor: Requestor | None,
        *,
        limits: Limits | None = None,
        env: Mapping[str, str] = os.environ,
        trace: "Trace | None" = None,
    ) -> None:
        self.requestor = requestor
        self.extensions: frozenset[str] = frozenset()
        """Of who serves `pushy/`."""
        self.has_answered = False
        """Whether `extensions` are what the server said."""
        self.last_extensions: frozenset[str] = frozenset()
        """Of who answered last: beside a Chef Infra Server that serves all else."""
        self.behind = ""
        """Why what the server said last may be out of date, if it may."""
        self._trace = trace
        self._limits = limits or Limits()
        places = _places_of(server, self._limits, env)
        self._places = Places(places, server.remedy, trace)
        for place in places:
            # Nor does a client that nobody closed leave connections behind.
            weakref.finalize(self, place.close)

    @property
    def base(self) -> str:
        """The first URL, with the organization that all have."""
        return self._places.first.base

    @property
    def passed_over(self) -> str:
        """Why another of its URLs than the first was asked last, and which, if so."""
        return self._places.passed_over

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> Response:
        """Send a request below the organization's URL; only a success comes back.

        A path that begins with `/` is outside of the organizations. Redirects are not
        followed: the next host would get a signature that was made for this one. Where the server
        is busy it is asked again when it says, for as long as the limits allow.

        Raises:
            PushcliError: everything else, as what it is.
        """
        asked = _Request(method=method, path=path, params=params, body=body, headers=headers or {})
        turn, busy, until = self._places.turn(), None, 0.0
        while True:
            try:
                return self._answered(asked, turn)
            except Busy as error:
                # Nothing was done: ours says so, of another only reading is repeated.
                if not (method == "GET" or self.last_extensions):
                    raise
                until = until if busy else time.monotonic() + self._limits.patience
                busy = error
            except (ConnectionLost, BadGateway):
                if method != "GET" or not (turn or busy):
                    raise
            except ServerUnreachable as error:
                if busy is None or isinstance(error, NotTrusted):
                    raise
            if turn:
                continue
            assert busy is not None  # noqa: S101 - else it was raised
            wait = max(busy.after, _SOONEST) * (1.0 + 0.5 * random.random())  # noqa: S311
            if time.monotonic() + wait > until:
                raise busy
            time.sleep(wait)
            turn = self._places.turn()

    def answer(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str],
        params: Params | None = None,
        body: bytes = b"",
    ) -> Response:
        """Send a request; also a refusal comes back.

        Raises:
            PushcliError: there is no answer.
        """
        asked = _Request(method=method, path=path, params=params, body=body, headers=headers)
        return self._exchange(asked, self._places.turn())[1]

    def _answered(self, asked: _Request, turn: list[Place]) -> Response:
        place, response = self._exchange(asked, turn)
        self._hear(asked.path, response)
        self.behind = response.headers.get(BEHIND, "")
        if not 200 <= response.status < 300:
            raise self._refusal(place, response, asked.path)
        return response

    def _hear(self, path: str, response: Response) -> None:
        """Note what who answered can do, if the answer tells."""
        said = _extensions(response.headers)
        self.last_extensions = said
        # What fails may be a proxy, which knows nothing of the server behind it.
        is_word = response.status < (400 if self.extensions else 500)
        if said or (path.startswith("pushy/") and is_word):
            self.extensions, self.has_answered = said, True

    def stream(
        self,
        path: str,
        *,
        params: Params | None = None,
        headers: dict[str, str] | None = None,
        silence: float,
    ) -> Iterator[bytes]:
        """GET an answer that goes on for as long as it likes, a block at a time as it comes.

        Args:
            silence: seconds without a byte after which the connection counts as lost.

        Raises:
            PushcliError: the server refused, or the connection broke.
        """
        asked = _Request(method="GET", path=path, params=params, headers=headers or {})
        place, connection = self._places.reach(self._places.turn())
        is_whole = False
        try:
            target, sent = self._signed(place, asked)
            try:
                with connection.streamed(target, sent, silence) as answer:
                    if not 200 <= answer.status < 300:
                        content = answer.read(_REFUSAL)
                        refused = Response(answer.status, answer.headers, content)
                        raise self._refusal(place, refused, path)
                    while block := answer.read1(_BLOCK):
                        yield block
                    is_whole = answer.isclosed()
            except FAILURES as error:
                raise self._broken(error, place, connection) from error
        finally:
            if is_whole:
                place.keep(connection)
            else:
                connection.close()

    def _signed(self, place: Place, asked: _Request) -> tuple[str, dict[str, str]]:
        """What is asked for, with its query, and the headers that prove who asks."""
        target = quote(place.path_of(asked.path), safe=_AS_IT_IS)
        sent = {
            "User-Agent": f"pushcli/{__version__}", CHEF_VERSION: _CHEF, API_VERSION: API,
            **asked.headers,
        }  # fmt: skip
        if asked.body:
            sent.setdefault("Content-Type", "application/json")
        if self.requestor is not None:
            sent |= self.requestor.headers(asked.method, target, asked.body)
        query = urlencode(asked.params, doseq=True) if asked.params else ""
        return (f"{target}?{query}" if query else target), sent

    def close(self) -> None:
        """Close the connections."""
        self._places.close()

    def _exchange(self, asked: _Request, turn: list[Place]) -> tuple[Place, Response]:
        began = time.monotonic()
        place, connection = self._places.reach(turn)
        try:
            target, sent = self._signed(place, asked)
            self._show_request(asked.method, target, sent, asked.body)
            try:
                response = connection.exchange(asked.method, target, sent, asked.body)
            except FAILURES as error:
                raise self._broken(error, place, connection) from error
        except BaseException:
            connection.close()
            raise
        place.keep(connection)
        self._show_answer(response, time.monotonic() - began)
        return place, response

    def _show_request(self, method: str, target: str, sent: dict[str, str], body: bytes) -> None:
        if self._trace is None:
            return
        from pushcli.client import trace  # noqa: PLC0415 - see _refusal

        for line in trace.request_lines(method, target, sent.items(), body):
            self._trace(line)

    def _show_answer(self, response: Response, took: float) -> None:
        if self._trace is None:
            return
        from pushcli.client import trace  # noqa: PLC0415 - see _refusal

        answer = (response.status, response.headers.items(), response.content)
        for line in trace.answer_lines(*answer, took):
            self._trace(line)

    def _broken(self, error: Exception, place: Place, connection: Connection) -> PushcliError:
        from pushcli.client import failures  # noqa: PLC0415 - see _refusal

        broken = failures.of_exchange(error, place.base, connection.deadline)
        self._places.go_on_after(place, broken)
        return broken

    def _refusal(self, place: Place, response: Response, path: str) -> PushcliError:
        # Where nothing fails they are never loaded, which a fetched configuration would pay for.
        from pushcli.client import failures, foreign  # noqa: PLC0415

        offered: frozenset[str] | None = _extensions(response.headers)
        if not offered:
            offered = (path.startswith("pushy/") and self.extensions) or None
        if (lacking := foreign.not_offered(path, response, offered)) is not None:
            return lacking
        if self.requestor is None:
            refusal = failures.of_answer(response, place.base, "")
        else:
            remedy, name = self.requestor.remedy, self.requestor.name
            refusal = failures.of_answer(response, place.base, remedy, name)
        if isinstance(refusal, Busy | BadGateway):
            self._places.go_on_after(place, refusal)
        return refusal


def _places_of(server: Server, limits: Limits, env: Mapping[str, str]) -> list[Place]:
    """The places of a server, in the order in which they are asked."""
    urls = (server.url, *server.others)
    for url in urls:
        tls.require_safe_url(url)
    secure = {url for url in urls if urlsplit(url).scheme == "https"}
    # Made only where it is needed: loading the system's CAs takes a while.
    trust = _trusted(server) if secure else None
    return [Place(url, trust if url in secure else None, limits, env) for url in urls]


def _trusted(server: Server) -> Trusted:
    trust = tls.ServerTrust(server.ca_file, server.fingerprint)
    return Trusted(trust, tls.ssl_context(trust))


def _extensions(headers: "Message") -> frozenset[str]:
    text = headers.get(EXTENSIONS, "")
    return frozenset(name.strip() for name in text.split(",") if name.strip())
