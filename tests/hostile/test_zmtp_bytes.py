"""Bytes on the two ZeroMQ ports: handshakes, frames, floods, and connections that say nothing."""

import contextlib
import socket
import time
from collections.abc import Callable

import pytest
import zmq

from pushcli.sandbox.sandbox import Sandbox
from tests.hostile.chaos import Chaos
from tests.hostile.conftest import SECONDS
from tests.hostile.endurance import unharmed
from tests.support.waiting import patient
from tests.support.zmtp_peer import (
    GREETING,
    READY_SUB,
    SUBSCRIBER,
    Subscriber,
    long,
    ready,
    short,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 3 * SECONDS)]
CURVE = GREETING[:12] + b"CURVE".ljust(20, b"\0") + GREETING[32:]
HELLO = b"\5HELLO\1\0" + bytes(72 + 32 + 8 + 80)
AT_ONCE = 200
Say = Callable[[Chaos], bytes]


def junk(chaos: Chaos) -> bytes:
    return chaos.junk(5000)


def a_torn_handshake(chaos: Chaos) -> bytes:
    whole = chaos.choice([SUBSCRIBER, CURVE + short(4, HELLO), GREETING + READY_SUB])
    return whole[: chaos.randrange(len(whole))]


def a_mutated_handshake(chaos: Chaos) -> bytes:
    whole = bytearray(chaos.choice([SUBSCRIBER, CURVE + short(4, HELLO)]))
    for _ in range(chaos.randrange(1, 4)):
        whole[chaos.randrange(len(whole))] = chaos.randrange(256)
    return bytes(whole)


def properties(chaos: Chaos) -> bytes:
    kind = chaos.choice([b"SUB", b"PUB", b"REQ", b"", chaos.junk(300)])
    return GREETING + ready(Socket_Type=kind, Identity=chaos.junk(300), X_Y=chaos.junk(3000))


def frames(chaos: Chaos) -> bytes:
    said = bytearray(chaos.choice([SUBSCRIBER, CURVE, CURVE + short(4, HELLO)]))
    for _ in range(chaos.randrange(40)):
        body = chaos.choice([chaos.junk(255), b"\4PING\0\0" + chaos.junk(17), b"\5ERROR\1x"])[:255]
        said += chaos.choice([short, long])(chaos.choice([0, 1, 4, 5, 8, 255]), body)
    return bytes(said)


def a_huge_frame(chaos: Chaos) -> bytes:
    beginning = chaos.choice([SUBSCRIBER, CURVE, CURVE + short(4, HELLO)])
    size = chaos.choice([2000, 65_000, 262_000, 2**31, 2**63, 2**64 - 1])
    flags = chaos.choice([2, 6])
    return beginning + bytes([flags]) + size.to_bytes(8, "big") + bytes(min(size - 1, 262_000))


def subscriptions(chaos: Chaos) -> bytes:
    return SUBSCRIBER + b"".join(long(0, b"\1" + chaos.randbytes(1000)) for _ in range(500))


def pings(chaos: Chaos) -> bytes:
    return SUBSCRIBER + short(4, b"\4PING\0\0" + chaos.randbytes(16)) * 20_000


SAYINGS: list[Say] = [
    junk, a_torn_handshake, a_mutated_handshake, properties, frames, a_huge_frame, subscriptions,
    pings,
]  # fmt: skip


def send(port: int, data: bytes) -> socket.socket:
    """Connect and send until it blocks or breaks; nothing is read."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=patient(5))
    connection.settimeout(0.2)
    with contextlib.suppress(OSError):
        connection.sendall(data)
    return connection


def wrong_sockets(chaos: Chaos, context: "zmq.Context[zmq.Socket[bytes]]", port: int) -> None:
    """What libzmq itself can be told to do wrong."""
    kind = chaos.choice([zmq.DEALER, zmq.SUB, zmq.REQ, zmq.PUSH, zmq.XSUB])
    with context.socket(kind) as wrong:
        wrong.linger = 0
        if chaos.random() < 0.5:
            wrong.curve_serverkey, _ = zmq.curve_keypair()
            wrong.curve_publickey, wrong.curve_secretkey = zmq.curve_keypair()
        if kind == zmq.SUB:
            wrong.subscribe(chaos.junk(1500))
        wrong.connect(f"tcp://127.0.0.1:{port}")
        with contextlib.suppress(zmq.ZMQError):
            wrong.send(chaos.junk(), zmq.NOBLOCK)
        time.sleep(0.02)


@pytest.mark.parametrize("port", [1, 2], ids=["commands", "heartbeats"])
def test_no_bytes_harm(fleet: Sandbox, chaos: Chaos, seconds: float, port: int) -> None:
    number = fleet.ports[port]
    kept: list[socket.socket] = []
    end, count = time.monotonic() + seconds, 0
    deaf = Subscriber(number, receive_buffer=4096)
    with zmq.Context() as context, unharmed(fleet), deaf:
        while time.monotonic() < end:
            kept.append(send(number, chaos.choice(SAYINGS)(chaos)))
            count += 1
            while len(kept) > AT_ONCE:
                kept.pop(chaos.randrange(len(kept))).close()
            if not count % 20:
                wrong_sockets(chaos, context, number)
            if not count % 50 and port == 2:
                with Subscriber(number) as good:
                    good.read(64 + 27)
                    assert len(good.message()) == 2
        for connection in kept:
            connection.close()
    print(f"{count} connections")
