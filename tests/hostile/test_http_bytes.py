"""Bytes on the REST port that are not, or not yet, or more than a request."""

import contextlib
import socket
import time
from collections.abc import Callable

import pytest

from pushcli.sandbox.sandbox import Sandbox
from tests.hostile.chaos import Chaos
from tests.hostile.conftest import SECONDS
from tests.hostile.endurance import unharmed
from tests.support.raw_http import Raw
from tests.support.waiting import patient

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60 + 3 * SECONDS)]
HEAD = b"POST /organizations/sandbox/pushy/jobs HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /pushy/_status HTTP/1.1\r\nHost: x\r\n\r\n"
SIGNED = (
    b"X-Ops-Sign: version=1.3\r\nX-Ops-Userid: operator\r\n"
    b"X-Ops-Timestamp: 2026-11-26T12:00:00Z\r\nX-Ops-Content-Hash: "
    + b"A" * 44 + b"\r\nX-Ops-Authorization-1: " + b"A" * 60 + b"\r\n"
)  # fmt: skip
MOST = 5_000_000
"""Bytes that one connection sends at most."""
AT_ONCE = 100
"""Connections that are left open, and read nothing."""
Say = Callable[[Chaos], bytes]


def junk(chaos: Chaos) -> bytes:
    return chaos.junk(5000)


def a_torn_head(chaos: Chaos) -> bytes:
    return (HEAD + SIGNED)[: chaos.randrange(len(HEAD + SIGNED))]


def many_small_headers(chaos: Chaos) -> bytes:
    return HEAD + b"a:\r\n" * chaos.randrange(100_000)


def one_large_header(chaos: Chaos) -> bytes:
    return HEAD + b"X: " + b"a" * chaos.randrange(MOST)


def trailers(chaos: Chaos) -> bytes:
    return (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * chaos.randrange(500_000)
    )


def chunks(chaos: Chaos) -> bytes:
    sizes = [chaos.choice([b"0", b"1", b"ffffffffffffffff", b"-1", b"x", b"10;ext=1"])]
    body = b"".join(size + b"\r\n" + b"y" * 16 + b"\r\n" for size in sizes * chaos.randrange(1000))
    return HEAD + SIGNED + b"Transfer-Encoding: chunked\r\n\r\n" + body


def pipelined(chaos: Chaos) -> bytes:
    return GET * chaos.randrange(20_000)


def a_body_that_only_looks_signed(chaos: Chaos) -> bytes:
    size = chaos.choice([10, 999_999, 1_000_001, 10**12, -5])
    return HEAD + SIGNED + b"Content-Length: %d\r\n\r\n" % size + b"b" * min(max(size - 1, 0), MOST)


def contradictions(chaos: Chaos) -> bytes:
    lines = [b"Content-Length: 5", b"Content-Length: 6", b"Transfer-Encoding: chunked",
             b"Transfer-Encoding: x", b"Upgrade: h2c", b"Expect: 100-continue",
             b"Connection: close, keep-alive", b" folded", b": empty", b"Host: y"]  # fmt: skip
    return HEAD + b"\r\n".join(chaos.choices(lines, k=6)) + b"\r\n\r\nbody!" * 3


SAYINGS: list[Say] = [
    junk, a_torn_head, many_small_headers, one_large_header, trailers, chunks, pipelined,
    a_body_that_only_looks_signed, contradictions,
]  # fmt: skip


def send(port: int, data: bytes) -> socket.socket:
    """Connect and send until it blocks or breaks; nothing is read."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=patient(5))
    connection.settimeout(0.2)
    with contextlib.suppress(OSError):
        connection.sendall(data)
    return connection


def test_no_bytes_harm(fleet: Sandbox, chaos: Chaos, seconds: float) -> None:
    port, raw = fleet.ports[0], Raw(fleet)
    kept: list[socket.socket] = []
    end, count = time.monotonic() + seconds, 0
    with unharmed(fleet):
        while time.monotonic() < end:
            kept.append(send(port, chaos.choice(SAYINGS)(chaos)))
            count += 1
            while len(kept) > AT_ONCE:
                kept.pop(chaos.randrange(len(kept))).close()
            if not count % 20:
                assert raw().status == 200
        for connection in kept:
            connection.close()
    print(f"{count} connections")
