"""A hostile server against a real agent: what it configures, and what it sends."""

import json
import os
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pushcli import keys
from pushcli.protocol import messages, wire
from pushcli.protocol.timestamps import format_rfc1123
from tests.hostile.chaos import Chaos
from tests.hostile.conftest import SECONDS
from tests.hostile.endurance import MAX_GROWTH, Log, Memory
from tests.support.agent_process import AgentProcess, agent_process
from tests.support.scripted_server import ScriptedServer, scripted_server
from tests.support.waiting import patient, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 3 * SECONDS)]
WHITELIST = {"wait": 'while [ ! -e "$CHEF_PUSH_JOB_ID" ]; do sleep 0.1; done; echo whole'}
TYPES = [kind.__struct_config__.tag for kind in get_args(messages.CommandMessage)]
HARMLESS = [kind for kind in TYPES if kind != "abort"]
"""A server may abort a job: that is no harm done to it."""
FIELDS: dict[str, Any] = {
    "job_id": "0" * 32, "server": "x", "command": "wait", "capture": True, "user": "nobody",
    "dir": "/", "env": {"A": "b"}, "file": "raw:x", "run_timeout": 5.0, "requestor": "x",
    "channel": "stdout", "size": 5, "digest": "x", "left_out": 0, "check_id": "x",
    "entries": [{"name": "x", "value": "true", "record": {"signer": "x", "version": 1}}],
    "removed": [{"name": "x", "record": {}}], "editors": [{"name": "x", "key": "y"}],
    "chain": [
        {
            "org": "sandbox", "signer": "x", "key": "SHA256:x", "previous": "0" * 64, "version": 1,
            "action": "checkpoint", "role": "edit", "kept": "0" * 64, "signature": "AAAA",
        }
    ],
}  # fmt: skip


ODD_KEY = rsa.RSAPublicNumbers((1 << 16_000) + 1, (1 << 16_384) - 1).public_key()
PEM = ODD_KEY.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
ADDRESSES = [
    "tcp://:1", "tcp://x:99999", "tcp://[::1:5", f"tcp://{'a' * 490}:1", "tcp://127.0.0.1:0",
    "tcp://*:5", "tcp://\u202e:1", "tcp://;:5", "tcp://a;b:5", "tcp://127.0.0.1:00000000000007",
]  # fmt: skip
ODD: list[dict[str, Any]] = [
    *({"curve_public_key": text * 40} for text in ("~", "é", " ", "\0", "0")),
    *({"public_key": text} for text in ("", "x" * 1_000_000, PEM)),
    *({name: text} for name in ("host", "incarnation_id") for text in ("", "\x1b[2J", "x" * 10**6)),
    *({"lifetime": number} for number in (1e-300, 1e7)),
    {"max_message_skew": 1e-9}, {"max_body_size": 4096}, {"max_body_size": 2**31},
    {"extensions": ["x"] * 100_000}, {"encoded_session_key": {"method": "x", "key": "y"}},
]  # fmt: skip
HEARTBEAT: list[dict[str, Any]] = [
    *({name: address} for name in ("out_addr", "command_addr") for address in ADDRESSES),
    *({"interval": number} for number in (1e-300, 1e-6, 1e7)),
    *({name: n} for name in ("offline_threshold", "online_threshold") for n in (0, 10_000)),
]
"""What has the right type, and should not be believed all the same."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ScriptedServer]:
    """It has the agent's key, and keys of its own."""
    node = keys.generate()
    keys.write_private_key(tmp_path / "client.pem", node)
    with scripted_server(keys.generate(), node.public_key()) as running:
        yield running


@pytest.fixture
def agent(tmp_path: Path, server: ScriptedServer) -> Iterator[AgentProcess]:
    """Started, with a whitelist of one command."""
    with agent_process(tmp_path, server.url, WHITELIST) as process:
        yield process.start()


def require_alive(agent: AgentProcess) -> None:
    """It did not end."""
    assert agent.process is not None
    assert agent.process.poll() is None, agent.log.read_text()[-3000:]


def test_no_configuration_harms(
    agent: AgentProcess, server: ScriptedServer, chaos: Chaos, seconds: float
) -> None:
    server.meet()
    good = server.configuration()
    log, memory = Log(agent.log), Memory(agent.pid)
    end = time.monotonic() + max(seconds, 4)
    while time.monotonic() < end:
        asked = len(server.requests)
        changed = odd(chaos, good) if chaos.random() < 0.5 else chaos.mutated(good)
        server.changed = changed if isinstance(changed, dict) else {"x": changed}
        server.refuse = None
        if chaos.random() < 0.2:
            server.refuse = (chaos.choice([200, 204, 301, 401, 404, 500]), server.changed)
        agent.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 1
        while len(server.requests) == asked and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        require_alive(agent)
    come_back(agent, server)
    log.require_little()
    assert memory.end() < MAX_GROWTH


def odd(chaos: Chaos, good: dict[str, Any]) -> dict[str, Any]:
    """A configuration with one value that is possible and odd."""
    if chaos.random() < 0.5:
        return {**good, **chaos.choice(ODD)}
    heartbeat = {**good["push_jobs"]["heartbeat"], **chaos.choice(HEARTBEAT)}
    return {**good, "push_jobs": {"heartbeat": heartbeat}}


def test_no_odd_value_of_a_configuration_harms(
    agent: AgentProcess, server: ScriptedServer, chaos: Chaos, seconds: float
) -> None:
    server.meet()
    heartbeat = server.configuration()["push_jobs"]["heartbeat"]
    values = [*ODD, *({"push_jobs": {"heartbeat": {**heartbeat, **one}}} for one in HEARTBEAT)]
    log = Log(agent.log)
    for value in chaos.sample(values, min(len(values), int(4 * seconds))):
        server.changed, asked, used = value, len(server.requests), cpu_seconds(agent.pid)
        agent.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + 2
        while len(server.requests) == asked and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
        require_alive(agent)
        assert cpu_seconds(agent.pid) - used < 1, value
    come_back(agent, server)
    log.require_little()


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def come_back(agent: AgentProcess, server: ScriptedServer) -> None:
    """What was right before is right again."""
    server.changed, server.refuse = {}, None
    while server.router.poll(0):
        server.router.recv_multipart()
    until(lambda: hears_again(agent, server), "it comes back", 30)


def hears_again(agent: AgentProcess, server: ScriptedServer) -> bool:
    """Whether the agent speaks to us; it may have been told to ask never again."""
    require_alive(agent)
    agent.send_signal(signal.SIGUSR1)
    return bool(server.router.poll(1000))


def command(chaos: Chaos, sequence: int, job_id: str) -> bytes:
    """A message that may be wrong in everything."""
    kind = chaos.choice(HARMLESS)
    known = set(kind_of(kind).__struct_fields__)
    body: dict[str, Any] = {
        "type": kind, "sequence": sequence, "timestamp": format_rfc1123(time.time()),
        **{name: value for name, value in FIELDS.items() if name in known},
    }  # fmt: skip
    act = chaos.randrange(8)
    if act == 0:
        body["type"] = f"{chaos.text()} {sequence}"
    elif act == 1:
        body["timestamp"] = chaos.text()
    elif act == 2:
        return json.dumps(body)[:-1].encode() + b', "x": ' + chaos.nested(15_000) + b"}"
    elif act == 3:
        body[chaos.choice(list(body))] = "x" * (wire.MAX_BODY_FROM_SERVER - 3000)
    elif act == 4 and "job_id" in body:
        body["job_id"] = job_id
    elif act < 7:
        return chaos.body(body).replace(b'"abort"', b'"x"')
    return json.dumps(body).encode()


def kind_of(tag: object) -> type[messages.CommandMessage]:
    """The message of this type."""
    (kind,) = (k for k in get_args(messages.CommandMessage) if k.__struct_config__.tag == tag)
    found: type[messages.CommandMessage] = kind
    return found


def test_no_message_harms_the_agent_or_its_job(
    agent: AgentProcess, server: ScriptedServer, chaos: Chaos, seconds: float
) -> None:
    job_id, count = uuid.uuid4().hex, 0
    peer = server.meet()
    server.run(peer, job_id, "wait", dir=str(agent.directory), capture=True)
    log, memory = Log(agent.log), Memory(agent.pid)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        count += 1
        body = command(chaos, count + 100, job_id)
        if chaos.random() < 0.1:
            server.router.send_multipart([peer, chaos.junk(), chaos.junk()])
        elif chaos.random() < 0.01:
            # More than ZeroMQ lets through: the connection ends.
            server.send_body(peer, bytes(wire.MAX_MESSAGE + 1))
        else:
            server.send_body(peer, body)
        if not count % 20:
            peer = newest_peer(server, peer)
            require_alive(agent)
    (agent.directory / job_id).touch()
    outcome = until(lambda: result(server, job_id), "the result comes", 30)
    assert outcome["type"] == "succeeded"
    log.require_little()
    assert memory.end() < MAX_GROWTH
    print(f"{count} messages")


def newest_peer(server: ScriptedServer, peer: bytes) -> bytes:
    """Read what came, and go on where the agent is now."""
    while server.router.poll(5):
        now = server.router.recv_multipart()[0]
        if now != peer:
            server.send(now, "ack")
        peer = now
    return peer


def result(server: ScriptedServer, job_id: str) -> dict[str, Any] | None:
    """The job's result, if it is the next message; whoever connects is acknowledged."""
    if not server.router.poll(int(patient(200))):
        return None
    message = server.receive()
    server.send(message.peer, "ack")
    found = message.type in {"succeeded", "failed"} and message.body["job_id"] == job_id
    return message.body if found else None
