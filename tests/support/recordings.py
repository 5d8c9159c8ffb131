"""The recordings of the original programs, as tests use them."""

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple

_VECTORS = Path(__file__).parents[1] / "vectors"


class RecordedMessage(NamedTuple):
    """A message of the command channel or the heartbeat broadcast, and what verifies it."""

    direction: str
    header: bytes
    body: bytes
    session_key: bytes
    broadcast: bool


def requests() -> list[dict[str, Any]]:
    """Signed requests; `public_key` is the signer's, `headers` are in lower case."""
    recorded = json.loads((_VECTORS / "rest_requests.json").read_text())
    keys = recorded["public_keys"]
    return [
        {
            **request,
            "headers": {name.lower(): value for name, value in request["headers"]},
            "public_key": keys[request["signer"]],
        }
        for request in recorded["requests"]
    ]


def messages() -> list[RecordedMessage]:
    """Messages in both directions."""
    recorded = json.loads((_VECTORS / "zmq_messages.json").read_text())
    return [
        RecordedMessage(
            direction=message["direction"],
            header=message["header"].encode(),
            body=message["body"].encode(),
            session_key=base64.b64decode(recorded["runs"][message["run"]]["session_key_base64"]),
            broadcast=message["socket"] == "PUB/SUB",
        )
        for message in recorded["messages"]
    ]


def server_public_key() -> str:
    """PEM; it signed the broadcasts."""
    recorded = json.loads((_VECTORS / "zmq_messages.json").read_text())
    key: str = recorded["server_public_key"]
    return key
