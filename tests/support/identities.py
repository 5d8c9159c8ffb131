"""Requests of many: users and clients with keys of their own, on a real server."""

import json
import uuid
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from pushcli.sandbox.sandbox import ADMIN, Sandbox
from tests.support import key_files
from tests.support.raw_http import Answer, Raw

KEYS = [keys.generate() for _ in range(4)]
"""Making one takes a while: tests share them."""


class Signer:
    """Signs as one user or client; `path` is below the organization, or begins with a slash."""

    def __init__(self, fleet: Sandbox, name: str, key: RSAPrivateKey) -> None:
        self.fleet = fleet
        self.name = name
        self.raw = Raw(fleet)
        self.raw.key = key

    def __call__(
        self, method: str, path: str, body: Any = None, *, query: str = "", **headers: Any
    ) -> Answer:
        content = b"" if body is None else json.dumps(body).encode()
        return self.raw(method, path, content, query=query, user=self.name, **headers)

    def get(self, path: str, **more: Any) -> Any:
        """What is there."""
        answer = self("GET", path, **more)
        assert answer.status == 200, answer
        return answer.json

    def post(self, path: str, body: Any) -> Any:
        """Make something."""
        answer = self("POST", path, body)
        assert answer.status in {200, 201}, answer
        return answer.json

    def signing_with(self, key: RSAPrivateKey) -> "Signer":
        """The same one, with another key."""
        return Signer(self.fleet, self.name, key)


def operator(fleet: Sandbox) -> Signer:
    """The organization's administrator."""
    return Signer(fleet, ADMIN, Raw(fleet).key)


def of_directory(fleet: Sandbox, name: str) -> Signer:
    """Somebody whose key `server init` made."""
    key = key_files.read(fleet.server_directory / "keys" / f"{name}.pem")
    return Signer(fleet, name, key)


def superuser(fleet: Sandbox) -> Signer:
    """`pivotal`."""
    return of_directory(fleet, "pivotal")


def new_name(kind: str) -> str:
    """One that nobody has."""
    return f"{kind}-{uuid.uuid4().hex[:8]}"


def new_client(fleet: Sandbox, key: RSAPrivateKey = KEYS[0], **more: Any) -> Signer:
    """A client of the organization."""
    name = new_name("client")
    operator(fleet).post("clients", {"name": name, "public_key": keys.public_pem(key), **more})
    return Signer(fleet, name, key)


def new_user(
    fleet: Sandbox, key: RSAPrivateKey = KEYS[1], *, associated: bool = True, **more: Any
) -> Signer:
    """A user of the server, and of the organization."""
    name = new_name("user")
    root = superuser(fleet)
    root.post("/users", {"username": name, "public_key": keys.public_pem(key), **more})
    if associated:
        root.post("users", {"username": name})
    return Signer(fleet, name, key)
