"""Between a client and the real server: notes what passes, and breaks it where a test wants.

It stands for what may go wrong on the way: a proxy that answers itself, a connection that
breaks, somebody else who is faster. Signatures name paths, not hosts: they hold through it.
"""

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

from tests.support.waiting import patient


class Request(NamedTuple):
    """What passes; the target has the query."""

    method: str
    target: str
    body: bytes


class Reply(NamedTuple):
    """An answer in place of the server's; `None` as a body: the connection breaks."""

    status: int
    body: bytes | None


Interfere = Callable[[Request], Reply | None]
BROKEN = Reply(0, None)


def _pass(_: Request) -> None:
    """Let everything through."""


class Between:
    """A way to the server at `url`.

    Args:
        requests: all that came, in order.
        interfere: asked about each before it is passed on; an answer of its own wins.
    """

    def __init__(self, server: str, port: int) -> None:
        parts = urlsplit(server)
        self.address = (parts.hostname or "", parts.port or 0)
        self.url = f"http://127.0.0.1:{port}{parts.path}"
        self.requests: list[Request] = []
        self.interfere: Interfere = _pass

    def ask(
        self, request: Request, headers: dict[str, str]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """What the server answers."""
        connection = http.client.HTTPConnection(*self.address, timeout=patient(10))
        try:
            connection.request(request.method, request.target, request.body, headers)
            response = connection.getresponse()
            return response.status, response.getheaders(), response.read()
        finally:
            connection.close()


@contextmanager
def between(server: str) -> Iterator[Between]:
    """A way to a server's URL, on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = Request(self.command, self.path, body)
            way.requests.append(request)
            reply = way.interfere(request)
            if reply is None:
                status, headers, content = way.ask(request, dict(self.headers.items()))
            elif reply.body is None:
                self.close_connection = True
                return
            else:
                status, headers, content = reply.status, [], reply.body
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Silent."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    way = Between(server, listening.server_port)
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield way
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
