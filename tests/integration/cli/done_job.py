"""A job that is over, and what its commands wrote, as a scripted server tells of it."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence

from tests.integration.cli.responder import EXTENSIONS, JOB_ID, Answer, Responder, job

_OURS = ",output-digests,default-capture,output-feed"
OFFERED = {"X-Pushcli-Extensions": EXTENSIONS["X-Pushcli-Extensions"] + _OURS}
FINE, BAD, NONE = b"all is well\n", b"\x1b[2Jno \xff space\n", b""


def digest(content: bytes) -> str:
    """As nodes' parts name it."""
    return hashlib.sha256(content).hexdigest()


def part(node: str, stdout: bytes, stderr: bytes = b"", **more: object) -> dict[str, object]:
    """A node's part in a job that captured."""
    return {
        "node": node, "state": "succeeded",
        "stdout_size": len(stdout), "stdout_digest": digest(stdout),
        "stderr_size": len(stderr), "stderr_digest": digest(stderr), **more,
    }  # fmt: skip


def show_done(
    responder: Responder, parts: Sequence[dict[str, object]], *contents: bytes, asked: bool = True
) -> None:
    """Have the server tell of these parts, and have these outputs.

    Args:
        asked: somebody asked for the output; or it is what is kept by default.
    """
    nodes = defaultdict(list)
    for each in parts:
        nodes[each["state"]].append(each["node"])
    shown = job("complete", nodes=nodes, **({"capture_output": True} if asked else {}))
    for path, value in ((f"jobs/{JOB_ID}", shown), (f"jobs/{JOB_ID}/nodes", parts)):
        responder.say("GET", path, Answer(200, json.dumps(value).encode(), headers=OFFERED))
    for content in contents:
        path = f"jobs/{JOB_ID}/output/{digest(content)}"
        responder.say("GET", path, Answer(200, content, "application/octet-stream", OFFERED))
