"""Whatever comes in on the ZeroMQ port, the server goes on serving."""

import base64
import contextlib
import resource
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import zmq

from pushcli import keys
from pushcli.client.api import ApiClient
from pushcli.client.credentials import Profile
from pushcli.protocol import messages, session_keys, wire
from pushcli.protocol.timestamps import format_rfc1123
from pushcli.sandbox.sandbox import Sandbox
from tests.support import key_files
from tests.support.waiting import patient, until
from tests.support.zmtp_peer import GREETING, Subscriber, long

pytestmark = pytest.mark.timeout(60)
Context: TypeAlias = "zmq.Context[zmq.Socket[bytes]]"


@pytest.fixture(scope="module")
def context() -> Iterator["Context"]:
    with zmq.Context() as context:
        yield context


class Peer:
    """A peer with the configuration of a node, or of whoever asked for it."""

    def __init__(self, fleet: Sandbox, context: "Context", profile: Profile, node: str) -> None:
        self.public, self.secret = zmq.curve_keypair()
        client = ApiClient(profile)
        query = {"ccpk": self.public.decode(), "version": "2.0"}
        config = client.get(f"pushy/config/{node}", query)
        client.close()
        self.node = node
        self.key = session_keys.decrypt(
            config["encoded_session_key"], key_files.read(Path(profile.client_key))
        )
        self.config = config
        self.sequence = 0
        self.socket = connect(context, config, self.public, self.secret)

    def send(self, kind: type = messages.Heartbeat, **more: object) -> None:
        self.socket.send_multipart(wire.seal(self.body(kind, **more), self.key))

    def body(self, kind: type = messages.Heartbeat, **more: object) -> bytes:
        self.sequence += 1
        if kind is messages.Heartbeat:
            more.setdefault("job_state", "idle")
        fields = {
            "node": self.node, "org": "sandbox", "incarnation_id": "hostile",
            "sequence": self.sequence, "timestamp": format_rfc1123(time.time()), **more,
        }  # fmt: skip
        return messages.encode(kind(**fields))

    def answer(self, milliseconds: int) -> bytes | None:
        """The next message's type, or None if none comes."""
        if not self.socket.poll(milliseconds):
            return None
        return self.socket.recv_multipart()[1]


def connect(
    context: "Context", config: dict[str, Any], public: bytes, secret: bytes
) -> "zmq.Socket[bytes]":
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.curve_serverkey = config["curve_public_key"].encode()
    socket.curve_publickey, socket.curve_secretkey = public, secret
    socket.connect(config["push_jobs"]["heartbeat"]["command_addr"])
    return socket


def enroll(fleet: Sandbox, name: str) -> Profile:
    """A client of the server's, made by the validator."""
    pair = keys.generate()
    key = fleet.directory / f"{name}.pem"
    keys.write_private_key(key, pair)
    validator = fleet.server_directory / "keys" / "sandbox-validator.pem"
    common: Any = {"name": "x", "chef_server_url": fleet.url}
    client = ApiClient(
        Profile(client_name="sandbox-validator", client_key=str(validator), **common)
    )
    client.post("clients", {"name": name, "public_key": keys.public_pem(pair)})
    client.close()
    return Profile(client_name=name, client_key=str(key), **common)


@pytest.fixture
def peer(fleet: Sandbox, context: "Context") -> Iterator[Peer]:
    name = f"evil-{uuid.uuid4().hex[:8]}"
    peer = Peer(fleet, context, enroll(fleet, name), name)
    yield peer
    peer.socket.close()


@pytest.fixture(autouse=True)
def serves(fleet: Sandbox) -> Iterator[None]:
    """Whatever a test sent, afterwards a job runs as before."""
    yield
    fleet.wait_available(["n1"])
    assert fleet.cli("job", "start", "true", "n1").returncode == 0
    assert "Traceback" not in fleet.log("server").read_text()


def test_a_proper_message_is_answered(peer: Peer) -> None:
    peer.send()
    assert b'"abort"' in (peer.answer(int(patient(3000))) or b"")


@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"one"],
        [b"a", b"b", b"c", b"d", b"e"],
        [b"\xff" * 100, b"\xff" * 100],
        [b"H" * 5000, b"{}"],
        [b"Version:2.0;SigningMethod:hmac_sha256;Signature:AAAA", b"x" * 70_000],
        [b"Version:2.0;SigningMethod:hmac_sha256;Signature:" + base64.b64encode(b"0" * 32), b"{}"],
        [b"x" * 400_000, b"{}"],
    ],
    ids=["empty", "1 frame", "5 frames", "garbage", "long header", "long body", "wrong HMAC",
         "beyond ZeroMQ's own limit"],
)  # fmt: skip
def test_garbage_is_dropped_without_an_answer(peer: Peer, frames: list[bytes]) -> None:
    peer.socket.send_multipart(frames)
    assert peer.answer(300) is None


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"\xff", b"[" * 60_000, b'{"type":"heartbeat"}', b'{"type":"wibble"}'],
    ids=lambda b: repr(b[:12]),
)
def test_signed_garbage_is_dropped_too(peer: Peer, body: bytes) -> None:
    peer.socket.send_multipart(wire.seal(body, peer.key))
    assert peer.answer(300) is None


@pytest.mark.parametrize("seconds", [-400, 400])
def test_a_timestamp_that_is_too_far_off_is_dropped(peer: Peer, seconds: float) -> None:
    peer.send(timestamp=format_rfc1123(time.time() + seconds))
    assert peer.answer(300) is None


def test_a_valid_key_that_speaks_for_another_node_is_dropped(peer: Peer, fleet: Sandbox) -> None:
    peer.send(node="n1", job_state="running", job_id="0" * 32)
    assert peer.answer(300) is None
    assert fleet.api.node_state("n1")["availability"] == "available"


def test_an_unknown_curve_key_is_not_admitted(peer: Peer, context: "Context") -> None:
    socket = connect(context, peer.config, *zmq.curve_keypair())
    socket.send_multipart(wire.seal(peer.body(), peer.key))
    assert not socket.poll(500)
    socket.close()


def test_a_readers_configuration_of_a_node_opens_no_door(
    fleet: Sandbox, context: "Context"
) -> None:
    spy = Peer(fleet, context, fleet.profile, "n1")
    spy.send(job_state="idle", job_id=None)
    assert spy.answer(500) is None
    spy.socket.close()
    assert fleet.api.node_state("n1")["availability"] == "available"


def rss(fleet: Sandbox) -> float:
    """The server's resident memory in MiB."""
    pages = int(Path(f"/proc/{fleet.pid('server')}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def test_a_flood_of_distinct_subscriptions_to_heartbeats_is_not_kept(fleet: Sandbox) -> None:
    before, sent, number, highest = rss(fleet), 0, 0, 0.0
    while sent < 69_000_000:
        with Subscriber(fleet.ports[2]) as peer, contextlib.suppress(ConnectionError):
            for _ in range(1000):
                number += 50
                frames = [long(0, b"\1%0999d" % (number + i)) for i in range(50)]
                # Whatever is sent in one go counts: what the kernel took, we did send.
                sent += 50 * 1009
                peer.socket.sendall(b"".join(frames))
        highest = max(highest, rss(fleet))
    assert highest - before < 8
    with Subscriber(fleet.ports[2]) as peer:
        peer.read(64 + 27)
        assert len(peer.message()) == 2


@pytest.mark.parametrize("port", [1, 2], ids=["commands", "heartbeats"])
def test_descriptors_that_are_used_up_are_waited_for(fleet: Sandbox, port: int) -> None:
    pid, log = fleet.pid("server"), fleet.log("server")
    used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    length = log.stat().st_size
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 10, limits[1]))
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                stack.enter_context(Subscriber(fleet.ports[port], GREETING[:20]))
            time.sleep(1.5)
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    assert log.stat().st_size - length < 2000
    until(fleet.api.node_states, "it answers")


def test_one_address_has_only_so_many_connections_that_prove_nothing(fleet: Sandbox) -> None:
    length = fleet.log("server").stat().st_size
    with contextlib.ExitStack() as stack:
        peers = [
            stack.enter_context(Subscriber(fleet.ports[1], GREETING[:10])) for _ in range(1100)
        ]
        # The last ones were too many; the others may stay until their time is over.
        assert all(peer.is_hung_up() for peer in peers[-50:])
    assert fleet.log("server").stat().st_size - length < 2000
