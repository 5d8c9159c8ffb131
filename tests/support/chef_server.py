"""A Chef Infra Server, as far as ours asks of it: it stands for a program that is not ours.

Its answers have the shapes that real ones were recorded with (`test_recorded_shapes` compares
them). What nobody recorded is answered with 599, and is told by `unexpected`.
"""

import contextlib
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pushcli.protocol import verification

SUPERUSER = "pivotal"
_VERSIONS = {"min_version": "0", "max_version": "2"}
_WELCOME = b"<html><title>Chef Server</title></html>"


class ChefServer:
    """Organizations, with their users, clients and groups.

    Args:
        superuser_key: of `pivotal`, whose signature is asked for.

    `keys` has the public keys (PEM) of users and clients, by organization, kind and name; a user of
    no organization is under the empty one. `fault` says what is wrong with it, if anything.
    """

    def __init__(self, superuser_key: RSAPublicKey) -> None:
        self.superuser_key = superuser_key
        self.keys: dict[tuple[str, str, str], list[str]] = {}
        self.groups: dict[tuple[str, str], dict[str, list[str]]] = {}
        self.organizations = {"sandbox"}
        self.asked: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self.fault = ""
        self.delay = 0.0
        self.connections: set[socket.socket] = set()
        self.redirects_to = "http://127.0.0.1:1/elsewhere"
        self.scheme = "http"
        self.port = 0

    @property
    def url(self) -> str:
        """Without an organization."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def hang_up(self) -> None:
        """End every connection, as a restart does."""
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def answer(self, path: str, version: int) -> tuple[int, Any]:
        """Status and body of a GET."""
        match [unquote(part) for part in path.split("/")[1:]]:
            case ["organizations", org, *_] if org not in self.organizations:
                return 404, {"not_found": "org", "error": f"Cannot find org {org}"}
            case ["organizations", org, "principals", name]:
                return self._principals(org, name, version)
            case ["organizations", org, "groups", name]:
                return self._group(org, name)
            case ["organizations", org, "clients"]:
                of = [name for where, kind, name in self.keys if (where, kind) == (org, "client")]
                return 200, {name: f"{self.url}/organizations/{org}/clients/{name}" for name in of}
            case _:
                self.unexpected.append(path)
                return 599, {"error": ["nobody recorded this"]}

    def _principals(self, org: str, name: str, version: int) -> tuple[int, Any]:
        rows = [
            {
                "name": name, "type": kind, "public_key": key, "authz_id": "0" * 32,
                "org_member": where == org,
            }
            for where, kind in ((org, "user"), ("", "user"), (org, "client"))
            for key in self.keys.get((where, kind, name), [])
        ]  # fmt: skip
        if not rows:
            return 404, {"not_found": "principal", "error": f"Cannot find principal {name}"}
        return 200, {"principals": rows} if version else rows[-1]

    def _group(self, org: str, name: str) -> tuple[int, Any]:
        found = self.groups.get((org, name))
        if found is None:
            return 404, {"error": [f"Cannot load group {name}"]}
        users, clients = found.get("users", []), found.get("clients", [])
        return 200, {
            "groupname": name, "orgname": org, "name": name, "users": users, "clients": clients,
            "actors": [*clients, *users], "groups": found.get("groups", []),
        }  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    chef: ChefServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.chef.connections.add(self.connection)

    def finish(self) -> None:
        self.chef.connections.discard(self.connection)
        super().finish()

    def do_GET(self) -> None:
        """Answer, or do what the fault says."""
        chef = self.chef
        chef.asked[self.path] += 1
        time.sleep(chef.delay)
        match chef.fault:
            case "half":
                self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"princ')
                self.close_connection = True
            case "garbage":
                self._send(200, b"\x00\xff" * 50)
            case "nonsense":
                self._send(200, b'{"principals": 5, "users": "x"}')
            case "redirect":
                self._send(302, b"", Location=chef.redirects_to)
            case "failing":
                self._send(500, b"internal server error")
            case "endless":
                self._send(200, b'{"principals":[' + b" " * (40 * 2**20) + b"]}")
            case _ if self.headers.get("X-Chef-Version", "").count(".") != 2:
                self._send(200, _WELCOME, kind="text/html")
            case _ if not self._is_signed():
                self._send(401, json.dumps({"error": ["Invalid signature"]}).encode())
            case _:
                version = int(self.headers.get("X-Ops-Server-API-Version", "0"))
                status, body = chef.answer(self.path, version)
                self._send(status, json.dumps(body).encode(), version=version)

    def _is_signed(self) -> bool:
        if "/principals/" in self.path and not self.headers.get("X-Ops-UserId"):
            return True
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            signed = verification.parse_headers(headers, time.time())
        except ValueError:
            return False
        key = self.chef.superuser_key
        return signed.user == SUPERUSER and verification.verify_head(
            signed, key, method="GET", path=self.path
        )

    def _send(
        self, status: int, body: bytes, *, kind: str = "application/json", version: int = 0,
        **headers: str,
    ) -> None:  # fmt: skip
        self.send_response(status)
        said = {**_VERSIONS, "request_version": str(version), "response_version": str(version)}
        told = {"Content-Type": kind, "X-Ops-Server-API-Version": json.dumps(said), **headers}
        for name, value in {**told, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    tls: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        """In the connection's own thread: who takes long over a handshake keeps nobody waiting."""
        if self.tls is None:
            super().finish_request(request, client_address)
            return
        with self.tls.wrap_socket(request, server_side=True) as secure:
            super().finish_request(secure, client_address)

    def handle_error(self, request: object, client_address: object) -> None:
        """Who asked is gone: it had waited long enough."""


@contextmanager
def chef_server(
    superuser_key: RSAPublicKey, tls: ssl.SSLContext | None = None
) -> Iterator[ChefServer]:
    """One that answers on loopback, over TLS if it has a certificate."""
    chef = ChefServer(superuser_key)
    handler = type("Handler", (_Handler,), {"chef": chef})
    with _Server(("127.0.0.1", 0), handler) as server:
        server.tls, chef.scheme = tls, "http" if tls is None else "https"
        chef.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield chef
        finally:
            server.shutdown()
            thread.join()
    assert chef.unexpected == []
