"""A Chef Infra Server that plays what one was recorded to answer (`tests/vectors`).

It stands behind nginx: without `X-Chef-Version` a request gets nginx's page. It checks signatures,
and answers 599 to what was not recorded, so that no test passes by an answer that nobody gave.
"""

import json
import re
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pushcli.protocol import verification
from tests.integration.cli.played_server import ROOT, Reply, Request

_FILE = Path(__file__).parents[2] / "vectors" / "chef_server.jsonl"
_PAGE = "<!DOCTYPE html><html><body>Welcome to Chef Infra Server</body></html>"
HTML = "<HTML><HEAD><TITLE>404 Not Found</TITLE></HEAD><BODY><H1>Not Found</H1></BODY></HTML>"


class RecordedChef:
    """Answers as recorded; `strange` are the requests that were not.

    Args:
        key: whose signatures are accepted, whoever signs.
    """

    def __init__(self, key: RSAPublicKey) -> None:
        self.calls: list[Request] = []
        self.strange: list[str] = []
        self.instead: dict[tuple[str, str], Reply] = {}
        """Answers of a server in another state, by method and path below the organization."""
        self._key = key
        self._recorded = [json.loads(line) for line in _FILE.read_text().splitlines()]

    def answer(self, request: Request) -> Reply:
        """What it says."""
        self.calls.append(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        if not re.fullmatch(r"\d{2,}\.\d+\.\d+", headers.get("x-chef-version", "")):
            return (200 if request.method == "GET" else 405), {"Content-Type": "text/html"}, _PAGE
        signed = verification.parse_headers(headers, time.time())
        if not verification.verify(
            signed, self._key, method=request.method, path=request.path, body=request.body
        ):
            return _json(401, {"error": [f"Invalid signature for user or client '{signed.user}'"]})
        below = request.path.removeprefix("/organizations/acme/")
        if (reply := self.instead.get((request.method, below))) is not None:
            return reply
        found = self._find(request, headers.get("x-ops-server-api-version", "0"))
        if found is None:
            self.strange.append(f"{request.method} {request.path}?{request.query}")
            return _json(599, {"error": [f"nobody recorded {self.strange[-1]}"]})
        return _reply(found)

    def _find(self, request: Request, version: str) -> dict[str, Any] | None:
        same = [
            one for one in self._recorded
            if (one["server"], one["method"], one["path"], one["query"])
            == ("chef-zero", request.method, request.path, request.query)
            and "accept" in one["request_headers"]
        ]  # fmt: skip
        asked = [one for one in same if _version(one) == version]
        # For these there is no difference between 1 and 2.
        is_same = "/users" not in request.path and "/clients" not in request.path
        return next(iter(asked or (same if is_same else [])), None)


def _version(one: dict[str, Any]) -> str:
    return str(one["request_headers"].get("x-ops-server-api-version", "0"))


def _reply(one: dict[str, Any]) -> Reply:
    """As the real server has it where chef-zero is known to differ."""
    said = re.match(r"(\d{3})(?:, text/html| (?P<body>\{.*?\})(?:  |$))",
                    one.get("real_chef_server", ""))  # fmt: skip
    if said is None:
        text = json.dumps(one["response_body"]).replace("https://chef.example.com", ROOT)
        return one["status"], {"Content-Type": "application/json"}, text
    if said["body"] is None:
        return int(said[1]), {"Content-Type": "text/html"}, HTML
    return _json(int(said[1]), json.loads(said["body"]))


def _json(status: int, value: object) -> Reply:
    return status, {"Content-Type": "application/json"}, json.dumps(value)
