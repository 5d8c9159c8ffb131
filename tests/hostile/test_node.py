"""An enrolled node with a valid session that sends whatever it likes, and as much."""

import base64
import contextlib
import json
import time
import uuid
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import zmq

from pushcli.protocol import extensions, messages
from pushcli.protocol.timestamps import format_rfc1123
from pushcli.sandbox.sandbox import ORG, Sandbox
from tests.hostile.chaos import Chaos
from tests.hostile.conftest import SECONDS
from tests.hostile.endurance import OTHER, WORKING, unharmed
from tests.support.old_agent import OldAgent
from tests.support.waiting import start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 3 * SECONDS)]
TYPES = [kind.__struct_config__.tag for kind in get_args(messages.NodeMessage)]
FIELDS: dict[str, Any] = {
    "job_state": "running", "pending_results": ["0" * 32], "whitelist": "x", "reason": "because",
    "stdout": "out", "stderr": "err", "spooled": True, "exit_code": 0, "signal": 9,
    "timed_out": False, "started_at": 1.5, "ended_at": 2.5, "stdout_base64": "b3V0",
    "stderr_base64": "", "stdout_size": 3, "stderr_size": 0, "channel": "stdout", "offset": 0,
    "data": base64.b64encode(b"x" * 30_000).decode(), "automatic": {"a": {"b": ["c"]}},
    "digest": "x", "error": "e", "left_out": 0,
    "entries": [{"name": "x", "value": "true", "source": "server", "since": 1.0}],
    "refused": [{"name": "x", "reason": "because"}],
    "check_id": "x", "ready": True, "entry": "x", "source": "local", "runs": ["true"],
}  # fmt: skip
BODY = 65_536


@pytest.fixture
def evil(fleet: Sandbox) -> Iterator[OldAgent]:
    """It offers all that our own agents can."""
    with zmq.Context() as context:
        offers = ",".join(sorted(extensions.ALL))
        agent = OldAgent(fleet, context, f"evil-{uuid.uuid4().hex[:8]}", offers=offers)
        yield agent
        agent.close()


def message(chaos: Chaos, evil: OldAgent, jobs: list[str]) -> bytes:
    """One that is signed and has everything, and may be wrong in all of it."""
    evil.sequence += 1
    kind = chaos.choice(TYPES)
    known = set(kind_of(kind).__struct_fields__)
    body: dict[str, Any] = {
        "node": evil.name, "client": "vm", "protocol_version": "2.0", "org": ORG, "type": kind,
        "sequence": evil.sequence, "timestamp": format_rfc1123(time.time()),
        "incarnation_id": evil.incarnation, "job_id": chaos.choice([*jobs, None, "0" * 32]),
        **{name: value for name, value in FIELDS.items() if name in known},
    }  # fmt: skip
    act = chaos.randrange(12)
    if act == 0:
        body["type"] = f"{chaos.text()} {evil.sequence}"
    elif act == 1:
        body["node"] = chaos.choice([*WORKING, OTHER, "", "é" * 1000])
    elif act == 2:
        body["incarnation_id"] = str(uuid.uuid4())
    elif act == 3:
        body["sequence"] = chaos.choice([0, -1, 2**63 - 1, 2**63, 10**30])
    elif act == 4:
        body["timestamp"] = chaos.text()
    elif act == 5:
        return json.dumps(body)[:-1].encode() + b', "x": ' + chaos.nested(15_000) + b"}"
    elif act == 6:
        body[chaos.choice(list(body))] = "x" * BODY
    elif act == 7:
        body["automatic"] = {f"{chaos.random()}": "x" * 10 for _ in range(1500)}
    elif act < 10:
        return chaos.body(body)
    return json.dumps(body).encode()


def kind_of(tag: object) -> type[messages.NodeMessage]:
    """The message of this type."""
    (kind,) = (k for k in get_args(messages.NodeMessage) if k.__struct_config__.tag == tag)
    found: type[messages.NodeMessage] = kind
    return found


def test_no_message_harms(fleet: Sandbox, evil: OldAgent, chaos: Chaos, seconds: float) -> None:
    end, count = time.monotonic() + seconds, 0
    with unharmed(fleet):
        (live,) = (j["id"] for j in fleet.api.jobs() if j["status"] == "running")
        jobs = [live]
        while time.monotonic() < end:
            count += 1
            if not count % 500:
                # Meanwhile it is asked itself, and so has a job of its own.
                jobs = [live, start(fleet, "true", evil.name, run_timeout=1, capture_output=True)]
            if not count % 1000:
                reconnect(chaos, evil)
            assert evil.socket is not None
            with contextlib.suppress(zmq.Again):
                evil.send_raw(message(chaos, evil, jobs))
            if chaos.random() < 0.1:
                while evil.socket.poll(0):
                    evil.socket.recv_multipart()
    print(f"{count} messages")
    assert count > 10 * seconds


def reconnect(chaos: Chaos, evil: OldAgent) -> None:
    """As another run, or only on another connection."""
    if chaos.random() < 0.3:
        evil.restart()
    else:
        evil.connect()
    assert evil.socket is not None
    evil.socket.sndtimeo = 1000


def test_ever_new_types_leave_nothing_behind(
    fleet: Sandbox, evil: OldAgent, seconds: float
) -> None:
    end, count = time.monotonic() + seconds, 0
    assert evil.socket is not None
    evil.socket.sndtimeo = 1000
    with unharmed(fleet):
        while time.monotonic() < end:
            count += 1
            forged = f"{count}\n2026-11-26 ERROR forged \x1b[2J" + "x" * 60_000
            with contextlib.suppress(zmq.Again):
                evil.send(forged)
    print(f"{count} messages")
