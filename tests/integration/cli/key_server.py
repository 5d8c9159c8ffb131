"""A server of one user's keys that checks every signature, and fails where a test tells it to."""

import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from pushcli.protocol import verification
from tests.integration.cli.played_server import ROOT, Reply, Request

Wish = tuple[int, Any]
"""Status and JSON of an answer."""


NOTHING: Wish = (0, None)
"""No answer of one's own."""


def goes_on(_request: str) -> Wish:
    """Interferes with nothing."""
    return NOTHING


class KeyServer:
    """The keys of the user `ann`; the first is named `default`.

    Args:
        keys: what is known of each, by name.
        requests: that came, as `METHOD NAME`.
        interfere: called with each before it is answered; an answer of its own wins, and
            where that is None the connection breaks.
    """

    def __init__(self, first: RSAPrivateKey) -> None:
        self.keys: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.interfere: Callable[[str], Wish | None] = goes_on
        self._put("default", keys.public_pem(first), "infinity")

    def accepts(self, key: RSAPrivateKey) -> bool:
        """Whether requests that this key signs are accepted."""
        return keys.public_pem(key) in self._valid()

    def _valid(self) -> list[str]:
        now = time.time()
        return [k["public_key"] for k in self.keys.values() if _end(k["expiration_date"]) > now]

    def _put(self, name: str, public_key: str, date: str) -> None:
        self.keys[name] = {"name": name, "public_key": public_key, "expiration_date": date}

    def answer(self, request: Request) -> Reply | None:
        """Play the server."""
        signed = verification.parse_headers(
            {name.lower(): value for name, value in request.headers.items()}, time.time()
        )
        method, path, body = request.method, request.path, request.body
        name = path.removeprefix("/users/ann/keys").removeprefix("/")
        self.requests.append(f"{method} {name}".strip())
        known = any(
            verification.verify(
                signed, keys.load_public_key(pem), method=method, path=path, body=body
            )
            for pem in self._valid()
        )
        wish = self.interfere(self.requests[-1])
        if wish is None:
            return None
        if wish is not NOTHING:
            return wish[0], {}, json.dumps(wish[1])
        if not known or signed.user != "ann":
            return 401, {}, '{"error": ["Invalid signature for user or client"]}'
        status, value = self._handle(method, name, json.loads(body or b"{}"))
        return status, {}, json.dumps(value)

    def _handle(self, method: str, name: str, said: dict[str, Any]) -> tuple[int, Any]:
        match method, name:
            case "GET", "":
                now = time.time()
                return 200, [
                    {"name": n, "uri": f"{ROOT}/users/ann/keys/{n}",
                     "expired": _end(k["expiration_date"]) < now}
                    for n, k in self.keys.items()
                ]  # fmt: skip
            case "POST", "":
                self._put(said["name"], said["public_key"], said["expiration_date"])
                return 201, {"uri": f"{ROOT}/users/ann/keys/{said['name']}"}
            case _, known if known not in self.keys:
                return 404, {"error": ["no such key"]}
            case "PUT", known:
                self.keys[known] |= said
            case "DELETE", known:
                return 200, self.keys.pop(known)
        return 200, self.keys[name]


def _end(date: str) -> float:
    return float("inf") if date == "infinity" else datetime.fromisoformat(date).timestamp()
