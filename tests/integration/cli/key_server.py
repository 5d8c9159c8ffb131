"""A server of one user's keys that checks every signature, and fails where a test tells it to."""

import json
import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import requests
import responses
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from pushcli.protocol import verification

ROOT = "https://chef.example.com"
URL = f"{ROOT}/organizations/acme"


class KeyServer:
    """The keys of the user `ann`; the first is named `default`.

    Args:
        keys: what is known of each, by name.
        requests: that came, as `METHOD NAME`.
        interfere: called with each before it is answered; an answer of its own wins.
    """

    def __init__(self, mock: responses.RequestsMock, first: RSAPrivateKey) -> None:
        self.keys: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.interfere: Callable[[str], tuple[int, Any] | BaseException | None] = lambda request: (
            None
        )
        self._put("default", keys.public_pem(first), "infinity")
        for method in ("GET", "POST", "PUT", "DELETE"):
            mock.add_callback(method, re.compile(re.escape(f"{ROOT}/")), self._answer)

    def accepts(self, key: RSAPrivateKey) -> bool:
        """Whether requests that this key signs are accepted."""
        return keys.public_pem(key) in self._valid()

    def _valid(self) -> list[str]:
        now = time.time()
        return [k["public_key"] for k in self.keys.values() if _end(k["expiration_date"]) > now]

    def _put(self, name: str, public_key: str, date: str) -> None:
        self.keys[name] = {"name": name, "public_key": public_key, "expiration_date": date}

    def _answer(self, request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        parts = urlsplit(str(request.url))
        body = request.body or b""
        assert isinstance(body, bytes)
        signed = verification.parse_headers(
            {k.lower(): str(v) for k, v in request.headers.items()}, time.time()
        )
        method = str(request.method)
        name = parts.path.removeprefix("/users/ann/keys").removeprefix("/")
        self.requests.append(f"{method} {name}".strip())
        known = any(
            verification.verify(
                signed, keys.load_public_key(pem), method=method, path=parts.path, body=body
            )
            for pem in self._valid()
        )
        wish = self.interfere(self.requests[-1])
        if isinstance(wish, BaseException):
            raise wish
        if wish is not None:
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
