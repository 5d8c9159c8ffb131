"""The other end of our client: HTTP or HTTPS on loopback, and a proxy in front of it.

It stands for whatever may answer there: an old server, a proxy, one that breaks off or lies.
"""

import json
import select
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pushcli.protocol import verification

OURS = {"X-Pushcli-Extensions": "abort,job-nodes,request-id"}


class Seen(NamedTuple):
    """A request as it came in; header names are in lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    def is_signed_by(self, key: RSAPublicKey) -> bool:
        """Whether the signature fits this key and exactly what came in."""
        signed = verification.parse_headers(self.headers, time.time())
        path = self.target.partition("?")[0]
        return verification.verify(signed, key, method=self.method, path=path, body=self.body)


@dataclass
class Answer:
    """What to say; `hang_up`: say nothing and close."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False


def json_answer(value: object, status: int = 200, *, ours: bool = True) -> Answer:
    """An answer; not `ours`: as an old server gives it."""
    return Answer(status, json.dumps(value).encode(), OURS if ours else {})


HANG_UP = Answer(hang_up=True)


class ApiServer:
    """Gives the answers in order, the last one again and again; remembers the requests."""

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Seen] = []
        self.answers: list[Answer] = [Answer()]

    def next_answer(self, seen: Seen) -> Answer:
        """Take note and answer."""
        self.requests.append(seen)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that goes away in a handshake is nothing to print."""


@contextmanager
def running(context: ssl.SSLContext | None = None) -> Iterator[ApiServer]:
    """A server on a free port; with a context behind TLS."""
    api = ApiServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = api.next_answer(Seen(self.command, self.path, headers, body))
            self.close_connection = answer.hang_up
            if answer.hang_up:
                return
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Length": len(answer.body)}.items():
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_DELETE = handle_one  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = _Server(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    scheme = "http" if context is None else "https"
    api.url = f"{scheme}://127.0.0.1:{server.server_port}/organizations/acme"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def running_proxy(target_port: int) -> Iterator[tuple[str, list[str]]]:
    """A proxy that leads every CONNECT to one port of loopback.

    Yields:
        Its URL, and the hosts that were asked for.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            with socket.create_connection(("127.0.0.1", target_port)) as onward:
                _join(self.connection, onward)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = _Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _join(one: socket.socket, other: socket.socket) -> None:
    """Pass bytes both ways until either end closes."""
    partner = {one: other, other: one}
    while True:
        for source in select.select([one, other], [], [])[0]:
            data = source.recv(65_536)
            if not data:
                return
            partner[source].sendall(data)
