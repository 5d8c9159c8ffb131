"""One connection to a server: whom it trusts, how long it waits, how much it reads."""

import http.client
import io
import math
import select
import socket
import ssl
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import msgspec

from pushcli import tls
from pushcli.client.limits import Deadline, Limits
from pushcli.client.proxy import Proxy
from pushcli.errors import ServerError

FAILURES = (OSError, http.client.HTTPException, UnicodeError, zlib.error)
"""What `open` and `exchange` raise when something is wrong with the way or the other end."""
_BLOCK = 65_536
_GZIP = 16 + zlib.MAX_WBITS


class Response(msgspec.Struct, frozen=True):
    """An answer, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes


class Connection:
    """To one server, kept open from request to request."""

    def __init__(
        self,
        host: str,
        port: int,
        limits: Limits,
        *,
        trust: "Trusted | None",
        proxy: Proxy | None = None,
    ) -> None:
        self._limits = limits
        self.is_open = False
        self.deadline = Deadline(silence=limits.connect, total=limits.connect)
        at = (host, port) if proxy is None else (proxy.host, proxy.port)
        self._http = (
            http.client.HTTPConnection(*at, timeout=limits.connect)
            if trust is None
            else _PinnedConnection(*at, timeout=limits.connect, trusted=trust)
        )
        # http.client makes its response of a socket: here of one that keeps the deadline.
        self._http.response_class = cast("Any", self._response)
        if proxy is not None:
            self._http.set_tunnel(host, port, proxy.headers)

    @property
    def is_usable(self) -> bool:
        """Whether it waits for a request: what can be read before one is the server's end."""
        sock = self._http.sock
        if sock is None:
            return False
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return not poll.poll(0)

    def open(self, at_most: float | None = None) -> None:
        """Connect, through the proxy if there is one; the server has proved itself then.

        Args:
            at_most: seconds, if the limits allow as many.

        Raises:
            One of `FAILURES`.
        """
        within = self._limits.connect if at_most is None else min(at_most, self._limits.connect)
        self.deadline = Deadline(silence=within, total=within)
        self._http.timeout = within
        self._http.connect()
        self.is_open = True

    def exchange(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Response:
        """Send a request and read its answer.

        Raises:
            ServerError: it is too large.
            One of `FAILURES`.
        """
        self.deadline = Deadline(silence=self._limits.silence, total=self._limits.total)
        self._http.sock.settimeout(self.deadline.wait())
        headers = {"Accept-Encoding": "gzip", **headers}
        self._http.request(method, target, body or None, headers)
        with self._http.getresponse() as response:
            return Response(response.status, response.headers, _content(response, self._limits))

    @contextmanager
    def streamed(
        self, target: str, headers: dict[str, str], silence: float
    ) -> Iterator[http.client.HTTPResponse]:
        """Send a GET whose answer is read as it comes, for as long as it takes.

        Args:
            silence: seconds without a byte after which it is given up.

        Raises:
            One of `FAILURES`, also while it is read.
        """
        self.deadline = Deadline(silence=silence, total=math.inf)
        self._http.sock.settimeout(self.deadline.wait())
        self._http.request("GET", target, None, headers)
        with self._http.getresponse() as response:
            yield response

    def close(self) -> None:
        """Close it; it can be opened again."""
        self.is_open = False
        self._http.close()

    def _response(self, sock: socket.socket, **more: Any) -> http.client.HTTPResponse:
        timed = _TimedSocket(sock, self.deadline)
        return http.client.HTTPResponse(cast("socket.socket", timed), **more)


class Trusted(msgspec.Struct, frozen=True):
    """What proves the server, with the context that is made of it: making one takes a while."""

    trust: tls.ServerTrust
    context: ssl.SSLContext


class _PinnedConnection(http.client.HTTPSConnection):
    """Checks the certificate's pin before a byte of ours is sent."""

    def __init__(self, host: str, port: int, *, timeout: float, trusted: Trusted) -> None:
        super().__init__(host, port, timeout=timeout, context=trusted.context)
        self._trust = trusted.trust

    def connect(self) -> None:
        super().connect()
        self._trust.check_pin(cast("ssl.SSLSocket", self.sock))


class _TimedSocket:
    """The one side of a socket that `http.client` reads."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self.makefile = partial(_reader, sock, deadline)


def _reader(sock: socket.socket, deadline: Deadline, _mode: str) -> io.BufferedReader:
    return io.BufferedReader(_TimedStream(sock, deadline))


class _TimedStream(io.RawIOBase):
    """Gives every read no more time than is left: a byte now and then holds nobody up."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._deadline = deadline
        # It counts as a user of the socket, which may be closed while the answer is read.
        self._raw = cast("io.RawIOBase", sock.makefile("rb", buffering=0))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._deadline.wait())
        return cast("int | None", self._raw.readinto(buffer))

    def close(self) -> None:
        self._raw.close()
        super().close()


def _content(response: http.client.HTTPResponse, limits: Limits) -> bytes:
    packed = response.headers.get("Content-Encoding", "").lower() == "gzip"
    unpack = zlib.decompressobj(_GZIP) if packed else None
    content = bytearray()
    while block := response.read(_BLOCK):
        room = limits.size + 1 - len(content)
        content += block if unpack is None else unpack.decompress(block, room)
        if len(content) > limits.size:
            raise ServerError(
                f"the server's answer is larger than {limits.size} bytes", "ask for less at once"
            )
    if response.length or (unpack is not None and content and not unpack.eof):
        raise http.client.IncompleteRead(b"", response.length)
    return bytes(content)
