"""A Chef Infra Server, as far as ours asks of it: it stands for a program that is not ours.

Its answers have the shapes that real ones were recorded with (`test_recorded_shapes` compares
them); who may not, or asks of an organization that is not there, gets those of the source. What
nobody recorded is answered with 599, and is told by `unexpected`.
"""

import contextlib
import json
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pushcli.keys import load_public_key
from pushcli.protocol import verification

SUPERUSER = "pivotal"
_VERSIONS = {"min_version": "0", "max_version": "2"}
_WELCOME = b"<html><title>Chef Server</title></html>"


class ChefServer:
    """Organizations, with their users, clients, groups and nodes.

    Args:
        superuser_key: of `pivotal`, whose signature is asked for.

    `keys` has the public keys (PEM) of users and clients, by organization, kind and name; a user of
    no organization is under the empty one. `fault` says what is wrong with it, if anything, and
    `instead` has other answers, by method and path. Clients may not look at groups, unless
    `groups_are_open`; `guids` are the organizations' ids, `newest` the version of the API that it
    knows. As nginx before it does, it hands on to `push_jobs` what is for that server.
    """

    def __init__(self, superuser_key: RSAPublicKey) -> None:
        self.superuser_key = superuser_key
        self.organizations = {"sandbox"}
        self.asked: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self.connections: set[socket.socket] = set()
        self.scheme = "http"
        self.port = 0
        self.reset()

    def reset(self) -> None:
        """Be well, with nobody in it; the organizations are still there, and what was asked."""
        self.keys: dict[tuple[str, str, str], list[str]] = {}
        self.groups: dict[tuple[str, str], dict[str, list[str]]] = {}
        self.guids: dict[str, str] = {}
        self.nodes: dict[tuple[str, str], dict[str, Any]] = {}
        self.validators: set[str] = set()
        self.groups_are_open = False
        self.newest = 2
        self.instead: dict[tuple[str, str], tuple[int, Any]] = {}
        self.push_jobs = ""
        self.tools: set[str] = set()
        self.signers: list[tuple[str, str, str]] = []
        self.fault = ""
        self.delay = 0.0
        self.redirects_to = "http://127.0.0.1:1/elsewhere"

    @property
    def url(self) -> str:
        """Without an organization."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def hang_up(self) -> None:
        """End every connection, as a restart does."""
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def owner(self, org: str, name: str) -> tuple[str, list[RSAPublicKey]]:
        """The kind and the keys of who has this name."""
        if name == SUPERUSER:
            return "user", [self.superuser_key]
        of = [(org, "client"), (org, "user"), ("", "user")]
        found = [(kind, self.keys.get((where, kind, name), [])) for where, kind in of]
        kind, pems = next((one for one in found if one[1]), ("", []))
        return kind, [load_public_key(pem) for pem in pems]

    def make(self, path: str, value: Any, by: str, version: int) -> tuple[int, Any]:
        """Status and body of a POST."""
        match [unquote(part) for part in path.split("/")[1:]], value:
            case ["organizations", org, *_], _ if org not in self.organizations:
                return 404, {"error": [f"organization '{org}' does not exist."]}
            case ["organizations", org, "clients"], {"name": name, "public_key": key}:
                if by not in self.validators:
                    return 403, {"error": ["missing create permission"]}
                if (org, "client", name) in self.keys:
                    return 409, {"error": ["Client already exists"]}
                self.keys[org, "client", name] = [key]
                uri = f"{self.url}/organizations/{org}/clients/{name}"
                held = {"name": "default", "public_key": key, "expiration_date": "infinity"}
                named = {"chef_key": {**held, "uri": f"{uri}/keys/default"}}
                return 201, {"uri": uri, **(named if version else {"public_key": key})}
            case ["organizations", org, "nodes"], {"name": name}:
                if (org, name) in self.nodes:
                    return 409, {"error": ["Node already exists"]}
                self.nodes[org, name] = value
                return 201, {"uri": f"{self.url}/organizations/{org}/nodes/{name}"}
            case _:
                self.unexpected.append(path)
                return 599, {"error": ["nobody recorded this"]}

    def edit(self, org: str, name: str, **levels: Any) -> None:
        """As `knife node edit` does: the node is put whole, and made if it is not there."""
        node = self.nodes.get((org, name)) or {
            "name": name, "chef_environment": "_default", "json_class": "Chef::Node",
            "automatic": {}, "normal": {}, "chef_type": "node", "default": {}, "override": {},
            "run_list": [],
        }  # fmt: skip
        self.nodes[org, name] = {**node, **levels}

    def put(self, path: str, value: Any) -> tuple[int, Any]:
        """Status and body of a PUT, which any user may."""
        match [unquote(part) for part in path.split("/")[1:]]:
            case ["organizations", org, "nodes", name] if (org, name) in self.nodes:
                self.nodes[org, name] = value
                return 200, value
            case ["organizations", _, "nodes", name]:
                return 404, {"error": [f"node '{name}' not found"]}
            case _:
                self.unexpected.append(path)
                return 599, {"error": ["nobody recorded this"]}

    def find(self, path: str, query: str, wanted: dict[str, list[str]]) -> tuple[int, Any]:
        """Status and body of a partial search for all nodes."""
        asked = dict(parse_qsl(query))
        if asked.get("q") != "*:*":
            self.unexpected.append(f"{path}?{query}")
            return 599, {"error": ["nobody recorded this"]}
        org = path.split("/")[2]
        names = sorted(name for where, name in self.nodes if where == org)
        start, rows = int(asked.get("start", 0)), int(asked.get("rows", 1000))
        found = [
            {
                "url": f"{self.url}/organizations/{org}/nodes/{name}",
                "data": {key: _value(self.nodes[org, name], way) for key, way in wanted.items()},
            }
            for name in names[start : start + rows]
        ]
        return 200, {"total": len(names), "start": start, "rows": found}

    def answer(self, path: str, version: int, by: str = SUPERUSER) -> tuple[int, Any]:
        """Status and body of a GET."""
        match [unquote(part) for part in path.split("/")[1:]]:
            case ["organizations"]:
                return 200, {org: f"{self.url}/organizations/{org}" for org in self.organizations}
            case ["organizations", org] if org not in self.organizations:
                return 404, {"error": [f"Cannot load Organization {org}"]}
            case ["organizations", org, "principals", _] if org not in self.organizations:
                return 404, {"not_found": "org", "error": f"Cannot find org {org}"}
            case ["organizations", org, *_] if org not in self.organizations:
                return 404, {"error": [f"organization '{org}' does not exist."]}
            case ["organizations", org]:
                guid = self.guids.get(org, "0" * 32)
                return 200, {"name": org, "full_name": org, "guid": guid}
            case ["organizations", org, "principals", name]:
                return self._principals(org, name, version)
            case ["organizations", org, "groups", name]:
                if self.owner(org, by)[0] == "client" and not self.groups_are_open:
                    return 403, {"error": [f"No permission for group {name}"]}
                return self._group(org, name)
            case ["organizations", org, "users"]:
                return 200, [{"user": {"username": name}} for name in self._named(org, "user")]
            case ["organizations", org, "groups"]:
                of = [name for where, name in self.groups if where == org]
                return 200, {name: f"{self.url}/organizations/{org}/groups/{name}" for name in of}
            case ["organizations", org, "nodes"]:
                of = [name for where, name in self.nodes if where == org]
                return 200, {name: f"{self.url}/organizations/{org}/nodes/{name}" for name in of}
            case ["organizations", org, "nodes", name]:
                found = self.nodes.get((org, name))
                if found is None:
                    return 404, {"error": [f"node '{name}' not found"]}
                return 200, found
            case ["organizations", org, "users" | "clients" as kind, name, *rest]:
                return self._person(org, kind[:-1], name, rest, version)
            case ["organizations", org, "clients"]:
                of = [name for where, kind, name in self.keys if (where, kind) == (org, "client")]
                return 200, {name: f"{self.url}/organizations/{org}/clients/{name}" for name in of}
            case _:
                self.unexpected.append(path)
                return 599, {"error": ["nobody recorded this"]}

    def _named(self, org: str, kind: str) -> list[str]:
        return [name for where, what, name in self.keys if (where, what) == (org, kind)]

    def _person(
        self, org: str, kind: str, name: str, rest: list[str], version: int
    ) -> tuple[int, Any]:
        pems = self.keys.get((org, kind, name))
        if pems is None:
            missing = [f"Cannot load client {name}"], f"Could not find user {name}"
            return 404, {"error": missing[kind == "user"]}
        uri = f"{self.url}/organizations/{org}/{kind}s/{name}/keys"
        held = {f"key{place}" if place else "default": pem for place, pem in enumerate(pems)}
        shown = {} if version else {"public_key": pems[0]}
        match rest:
            case [] if kind == "user":
                named = {"display_name": name, "first_name": name, "last_name": name}
                return 200, {"username": name, **named, "email": f"{name}@x.example", **shown}
            case []:
                said = {"json_class": "Chef::ApiClient", "chef_type": "client", "admin": False}
                is_one = name in self.validators
                return 200, {
                    "name": name, "clientname": name, "orgname": org, "validator": is_one,
                    **said, **shown,
                }  # fmt: skip
            case ["keys"]:
                return 200, [{"name": key, "uri": f"{uri}/{key}", "expired": False} for key in held]
            case ["keys", key] if key in held:
                return 200, {
                    "name": key, "public_key": held[key], "expiration_date": "infinity",
                }  # fmt: skip
            case _:
                return 404, {"error": f"There is no key named {rest[-1]} associated with {name}."}

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
        self._serve()

    do_POST = do_PUT = do_GET  # noqa: N815 - as they are called

    def _serve(self) -> None:
        chef = self.chef
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if "/pushy/" in self.path and chef.push_jobs:
            self._hand_on(body)
            return
        chef.asked[self._path] += 1
        chef.tools.add(self.headers.get("X-Chef-Version", ""))
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
            case _ if self._version > chef.newest:
                refusal = {
                    "error": "invalid-x-ops-server-api-version",
                    "message": f"Specified version {self._version} not supported",
                    "min_api_version": 0, "max_api_version": chef.newest,
                }  # fmt: skip
                self._send(406, json.dumps(refusal).encode())
            case _:
                status, answer = self._answer(body)
                sent = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                # A page is what a proxy answers for it.
                kind = "text/html" if sent.startswith(b"<html>") else "application/json"
                self._send(status, sent, kind=kind, version=self._version)

    @property
    def _path(self) -> str:
        """As it is signed: without the query."""
        return self.path.partition("?")[0]

    @property
    def _version(self) -> int:
        return int(self.headers.get("X-Ops-Server-API-Version", "0"))

    def _answer(self, body: bytes) -> tuple[int, Any]:
        chef = self.chef
        # As the real one has it: whose key a name stands for is told to anybody.
        is_open = "/principals/" in self.path
        by = self.headers.get("X-Ops-UserId", "") if is_open else self._signer(body)
        if by is None:
            return 401, {"error": ["Invalid signature"]}
        chef.signers.append((by, self.command, self.path))
        if (other := chef.instead.get((self.command, self._path))) is not None:
            return other
        if self.command == "GET":
            return chef.answer(self._path, self._version, by)
        if self.command == "PUT":
            return chef.put(self._path, json.loads(body))
        if self._path.endswith("/search/node"):
            return chef.find(self._path, self.path.partition("?")[2], json.loads(body))
        return chef.make(self._path, json.loads(body), by, self._version)

    def _signer(self, body: bytes) -> str | None:
        """Who signed it; None: nobody who may."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            signed = verification.parse_headers(headers, time.time())
        except ValueError:
            return None
        _, keys = self.chef.owner(f"{self.path}/".split("/")[2], signed.user)
        fits = any(
            verification.verify(signed, key, method=self.command, path=self._path, body=body)
            for key in keys
        )
        return signed.user if fits else None

    def _hand_on(self, body: bytes) -> None:
        with closing(HTTPConnection(urlsplit(self.chef.push_jobs).netloc, timeout=30.0)) as there:
            there.request(self.command, self.path, body or None, dict(self.headers))
            answer = there.getresponse()
            content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

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


def _value(node: dict[str, Any], way: list[str]) -> Any:
    """By its way through the merged attributes, of which the index is made."""
    merged: Any = {}
    for level in ("default", "normal", "override", "automatic"):
        merged = _merged(merged, node.get(level))
    found: Any = {**(merged or {}), "name": node["name"]}
    for key in way:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _merged(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: _merged(below.get(key), value) for key, value in above.items()}
    return above


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
