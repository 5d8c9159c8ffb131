"""Requests that somebody reads on their way, and sends again."""

import json
import time
from typing import Any, NamedTuple

from pushcli.protocol import signing
from pushcli.protocol.timestamps import format_iso8601
from pushcli.sandbox.sandbox import ORG
from tests.support.identities import Signer
from tests.support.raw_http import JSON, Answer, Raw


class Captured(NamedTuple):
    """A request as it went over the wire."""

    raw: Raw
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    def send(self, **changed: str) -> Answer:
        """These bytes, with headers that are not signed changed."""
        headers = {**self.headers, **changed}
        return self.raw.send(self.method, self.target, headers, self.body)


def captured(
    by: Signer,
    method: str,
    path: str,
    body: Any = None,
    version: str = "1.3",
    *,
    query: str = "",
    timestamp: str | None = None,
    **headers: str,
) -> Captured:
    """A request that is signed, and not sent yet."""
    target = path if path.startswith("/") else f"/organizations/{ORG}/{path}"
    content = b"" if body is None else json.dumps(body).encode()
    signed = signing.sign(
        by.raw.key, method=method, path=target, body=content, user=by.name, version=version,
        timestamp=timestamp or format_iso8601(time.time()),
    )  # fmt: skip
    sent = {**signed, **(JSON if content else {"Accept": "application/json"}), **headers}
    sent["Host"] = f"127.0.0.1:{by.raw.port}"
    return Captured(by.raw, method, target + query, sent, content)
