"""A server that a test plays, over real HTTP, for a client in the same process."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Request(NamedTuple):
    """What came in; `path` without the query."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


Reply = tuple[int, dict[str, str], str]
"""Status, headers, body."""
Play = Callable[[Request], Reply | None]
"""Answers a request; None: the connection breaks instead."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    play: Play

    def handle_error(self, *_: Any) -> None:
        """A client that goes away is nothing to print."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.partition("?")
        reply = self.server.play(
            Request(self.command, path, query, dict(self.headers.items()), body)
        )
        if reply is None:
            self.close_connection = True
            return
        status, headers, text = reply
        content = text.encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Silent."""


# One address for all tests of a process: the URL is a constant, as that of a real server.
_SERVER = _Server(("127.0.0.1", 0), _Handler)
ROOT = f"http://127.0.0.1:{_SERVER.server_port}"
URL = f"{ROOT}/organizations/acme"


@contextmanager
def playing(play: Play) -> Iterator[None]:
    """Answer at `URL` for this time."""
    _SERVER.play = play
    thread = threading.Thread(target=_SERVER.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        _SERVER.shutdown()
        thread.join()
