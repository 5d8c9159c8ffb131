"""Requests as bytes on a socket: nothing is normalised on the way."""

import contextlib
import http.client
import itertools
import json
import socket
import ssl
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli.protocol import signing
from pushcli.protocol.timestamps import format_iso8601
from pushcli.sandbox.sandbox import ADMIN, Sandbox
from tests.support import key_files
from tests.support.waiting import patient

JSON = {"Content-Type": "application/json", "Accept": "application/json"}


class Answer(NamedTuple):
    """Status, headers (names in lower case), body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)

    @property
    def error(self) -> Any:
        """What it says went wrong."""
        return self.json["error"]


_writes = itertools.count()
_EARLIEST = 850
"""Seconds: 15 minutes and more are too many."""


def _moment(method: str) -> str:
    """When a request is signed: no two writes at the same second, which would be one repeated.

    It gets later with each write, as the clock does: were it to get earlier, a write in each second
    would have them all at one.
    """
    earlier = 0 if method == "GET" else _EARLIEST - next(_writes) % _EARLIEST
    return format_iso8601(time.time() - earlier)


class Raw:
    """Signs as the fleet's operator unless told otherwise."""

    def __init__(self, fleet: Sandbox) -> None:
        self.port = fleet.ports[0]
        self.organization = urlsplit(fleet.url).path
        self.context: ssl.SSLContext | None = None
        """For TLS, where there is a proxy that speaks it."""
        self.source = "127.0.0.1"
        self.key: RSAPrivateKey = key_files.read(Path(fleet.profile.client_key))

    def __call__(
        self,
        method: str = "GET",
        path: str = "pushy/jobs",
        body: bytes | dict[str, Any] = b"",
        *,
        query: str = "",
        drop: tuple[str, ...] = (),
        version: str = "1.3",
        user: str = ADMIN,
        timestamp: str | None = None,
        **headers: str,
    ) -> Answer:
        """One request; `path` is below the organization unless it begins with a slash."""
        path = path if path.startswith("/") else f"{self.organization}/{path}"
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        signed = signing.sign(
            self.key, method=method, path=path, body=content, user=user, version=version,
            timestamp=timestamp or _moment(method),
        )  # fmt: skip
        sent = {**signed, **(JSON if content else {"Accept": "application/json"})}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        for name in drop:
            sent = {k: v for k, v in sent.items() if k.lower() != name.lower()}
        if "Host" not in sent:
            sent["Host"] = f"127.0.0.1:{self.port}"
        return self.send(method, path + query, sent, content)

    def send(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """Exactly these headers, and Content-Length unless there is one."""
        names = {name.lower() for name in headers}
        if body and not {"content-length", "transfer-encoding"} & names:
            headers = {**headers, "Content-Length": str(len(body))}
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        head = "\r\n".join([*lines, "Connection: close", "", ""]).encode("utf-8", "replace")
        with self.connected() as connection:
            # It may be refused before all of it was read.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(head + body)
            response = http.client.HTTPResponse(connection, method=method)
            response.begin()
            content = response.read()
            found = {name.lower(): value for name, value in response.getheaders()}
            response.close()
        return Answer(response.status, found, content)

    def connected(self) -> socket.socket:
        """A connection, with TLS where that is spoken."""
        at = ("127.0.0.1", self.port)
        plain = socket.create_connection(at, patient(10), source_address=(self.source, 0))
        return plain if self.context is None else self.context.wrap_socket(plain)
