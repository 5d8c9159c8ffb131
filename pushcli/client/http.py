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
from pushcli.client.limits import Deadline, Limits
from pushcli.client.proxy import proxy_for
from pushcli.errors import Busy, ConfigError, PushcliError
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
        remedy: what to do where its certificate is not trusted.
    """

    url: str
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


class HttpClient:
    """Sends requests to one server.

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
        tls.require_safe_url(server.url)
        self.requestor = requestor
        self.extensions: frozenset[str] = frozenset()
        """Of who serves `pushy/`."""
        self.has_answered = False
        """Whether `extensions` are what the server said."""
        self.last_extensions: frozenset[str] = frozenset()
        """Of who answered last: beside a Chef Infra Server that serves all else."""
        self.behind = ""
        """Why what the server said last may be out of date, if it may."""
        self.base = server.url.rstrip("/")
        self._server = server
        self._trace = trace
        self._limits = limits or Limits()
        self._idle: list[Connection] = []
        # Nor does a client that nobody closed leave connections behind.
        weakref.finalize(self, _close, self._idle)
        url = urlsplit(self.base)
        self._path = url.path
        self._root = url.path.rpartition("/organizations/")[0]
        self._host = url.hostname or ""
        # Made only where it is needed: loading the system's CAs takes a while.
        self._trust = _trusted(server) if url.scheme == "https" else None
        self._port = url.port or (443 if self._trust else 80)
        self._proxy = proxy_for(self._host, self._port, env) if self._trust else None

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
        waited = 0.0
        while True:
            try:
                return self._answered(method, path, params, body, headers or {})
            except Busy as busy:
                # Nothing was done: ours says so, of another only reading is repeated.
                wait = max(busy.after, _SOONEST) * (1.0 + 0.5 * random.random())  # noqa: S311
                waited += wait
                if waited > self._limits.patience or not (method == "GET" or self.last_extensions):
                    raise
            time.sleep(wait)

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
        target, sent = self._signed(method, path, params, body, headers)
        return self._traced(method, target, sent, body)

    def _answered(
        self, method: str, path: str, params: Params | None, body: bytes, headers: dict[str, str]
    ) -> Response:
        target, sent = self._signed(method, path, params, body, headers)
        response = self._traced(method, target, sent, body)
        self._hear(path, response)
        self.behind = response.headers.get(BEHIND, "")
        if not 200 <= response.status < 300:
            raise self._refusal(response, path)
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
        target, sent = self._signed("GET", path, params, b"", headers or {})
        connection = self._connection()
        is_whole = False
        try:
            if not connection.is_open:
                connection.open()
            with connection.streamed(target, sent, silence) as answer:
                if not 200 <= answer.status < 300:
                    content = answer.read(_REFUSAL)
                    refused = Response(answer.status, answer.headers, content)
                    raise self._refusal(refused, path)
                while block := answer.read1(_BLOCK):
                    yield block
                is_whole = answer.isclosed()
        except FAILURES as error:
            is_open = connection.is_open
            raise self._failure(error, connection.deadline, is_open=is_open) from error
        finally:
            if is_whole:
                self._idle.append(connection)
            else:
                connection.close()

    def _signed(
        self, method: str, path: str, params: Params | None, body: bytes, headers: dict[str, str]
    ) -> tuple[str, dict[str, str]]:
        """What is asked for, with its query, and the headers that prove who asks."""
        whole = f"{self._root}{path}" if path.startswith("/") else f"{self._path}/{path}"
        target = quote(whole, safe=_AS_IT_IS)
        sent = {
            "User-Agent": f"pushcli/{__version__}", CHEF_VERSION: _CHEF, API_VERSION: API,
            **headers,
        }  # fmt: skip
        if body:
            sent.setdefault("Content-Type", "application/json")
        if self.requestor is not None:
            sent |= self.requestor.headers(method, target, body)
        query = urlencode(params, doseq=True) if params else ""
        return (f"{target}?{query}" if query else target), sent

    def close(self) -> None:
        """Close the connections."""
        _close(self._idle)

    def _traced(self, method: str, target: str, sent: dict[str, str], body: bytes) -> Response:
        if self._trace is None:
            return self._exchange(method, target, sent, body)
        from pushcli.client import trace  # noqa: PLC0415 - see _refusal

        for line in trace.request_lines(method, target, sent.items(), body):
            self._trace(line)
        began = time.monotonic()
        response = self._exchange(method, target, sent, body)
        took = time.monotonic() - began
        answer = (response.status, response.headers.items(), response.content)
        for line in trace.answer_lines(*answer, took):
            self._trace(line)
        return response

    def _exchange(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Response:
        connection = self._connection()
        try:
            if not connection.is_open:
                connection.open()
            response = connection.exchange(method, target, headers, body)
        except BaseException as error:
            is_open = connection.is_open
            connection.close()
            if isinstance(error, FAILURES):
                raise self._failure(error, connection.deadline, is_open=is_open) from error
            raise
        self._idle.append(connection)
        return response

    def _connection(self) -> Connection:
        """One that works, or a new one; threads get one each."""
        while (connection := _popped(self._idle)) is not None:
            if connection.is_usable:
                return connection
            connection.close()
        return Connection(
            self._host, self._port, self._limits, trust=self._trust, proxy=self._proxy
        )

    def _failure(self, error: Exception, deadline: Deadline, *, is_open: bool) -> PushcliError:
        from pushcli.client import failures  # noqa: PLC0415 - see _refusal

        if is_open:
            return failures.of_exchange(error, self.base, deadline)
        return failures.of_connecting(error, self._server, deadline, proxied=bool(self._proxy))

    def _refusal(self, response: Response, path: str) -> PushcliError:
        # Where nothing fails they are never loaded, which a fetched configuration would pay for.
        from pushcli.client import failures, foreign  # noqa: PLC0415

        offered: frozenset[str] | None = _extensions(response.headers)
        if not offered:
            offered = (path.startswith("pushy/") and self.extensions) or None
        if (lacking := foreign.not_offered(path, response, offered)) is not None:
            return lacking
        if self.requestor is None:
            return failures.of_answer(response, self.base, "")
        remedy, name = self.requestor.remedy, self.requestor.name
        return failures.of_answer(response, self.base, remedy, name)


def _popped(connections: list[Connection]) -> Connection | None:
    try:
        return connections.pop()
    except IndexError:
        # Another thread may have taken the last one since anybody looked.
        return None


def _close(connections: list[Connection]) -> None:
    while connections:
        connections.pop().close()


def _trusted(server: Server) -> Trusted:
    trust = tls.ServerTrust(server.ca_file, server.fingerprint)
    return Trusted(trust, tls.ssl_context(trust))


def _extensions(headers: "Message") -> frozenset[str]:
    text = headers.get(EXTENSIONS, "")
    return frozenset(name.strip() for name in text.split(",") if name.strip())
