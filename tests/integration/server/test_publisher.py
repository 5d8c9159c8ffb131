"""The heartbeat port on real sockets: libzmq subscribes, strangers take nothing from others."""

import asyncio
import errno
import logging
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager

import pytest
import zmq
import zmq.asyncio

from pushcli_server.accepting import Acceptor
from pushcli_server.channel import zmtp
from pushcli_server.channel.crowd import Limits
from pushcli_server.channel.publisher import MAX_UNSENT, Loss, Publisher
from pushcli_server.channel.zmtp import Connection, Violation
from tests.support.waiting import patient
from tests.support.zmtp_peer import GREETING, OURS, READY_SUB, SUBSCRIBER, Subscriber, long, short

pytestmark = pytest.mark.timeout(60)
BEAT = [b"h" * 391, b"body" * 45]
WIRE = zmtp.message(BEAT)


@asynccontextmanager
async def publisher(
    limit: int = 1000, per_address: int = 1000, handshake_timeout: float = 30.0
) -> AsyncIterator[Publisher]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
    limits = Limits(limit, per_address, per_address)
    running = Publisher(listener, limits, handshake_timeout=handshake_timeout)
    try:
        yield running
    finally:
        running.close()


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + patient(seconds)
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), patient(50)))


def rss() -> float:
    """Resident memory of this process in MiB."""
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.parametrize("kind", [zmq.SUB, zmq.XSUB])
@pytest.mark.parametrize("topic", [b"", b"h", b"not what is published"])
def test_a_socket_of_libzmq_gets_what_is_published(kind: int, topic: bytes) -> None:
    async def scenario() -> None:
        with zmq.asyncio.Context() as context, context.socket(kind) as sub:
            async with publisher() as running:
                sub.linger = 0
                # PING and PONG, and what a long subscription is.
                sub.heartbeat_ivl, sub.heartbeat_timeout = 20, int(patient(2000))
                if kind == zmq.SUB:
                    sub.subscribe(topic)
                    sub.subscribe(b"x" * 300)
                sub.connect(f"tcp://127.0.0.1:{running.port}")
                await until(lambda: running.subscribers)
                await asyncio.sleep(0.2)
                for number in range(3):
                    await running.publish(zmtp.message([b"h", b"%d" % number]))
                # SUB filters what it gets by itself, too.
                if topic != b"not what is published":
                    for number in range(3):
                        assert await sub.recv_multipart() == [b"h", b"%d" % number]
                assert (running.subscribers, running.drops) == (1, {})

    run(scenario)


def test_a_socket_that_lost_its_publisher_comes_back() -> None:
    async def scenario() -> None:
        with zmq.asyncio.Context() as context, context.socket(zmq.SUB) as sub:
            sub.linger = 0
            sub.subscribe(b"")
            async with publisher() as running:
                port = running.port
                sub.connect(f"tcp://127.0.0.1:{port}")
                await until(lambda: running.subscribers == 1)
            listener = socket.create_server(("127.0.0.1", port))
            again = Publisher(listener, Limits(10, 10, 10))
            await until(lambda: again.subscribers == 1)
            await again.publish(WIRE)
            assert await sub.recv_multipart() == BEAT
            again.close()

    run(scenario)


@pytest.mark.parametrize("kind", [zmq.REQ, zmq.DEALER, zmq.PUB, zmq.PAIR])
def test_another_kind_of_socket_is_hung_up_on(kind: int) -> None:
    async def scenario() -> None:
        with zmq.asyncio.Context() as context, context.socket(kind) as other:
            async with publisher() as running:
                other.linger = 0
                other.connect(f"tcp://127.0.0.1:{running.port}")
                await until(lambda: running.drops)
                assert set(running.drops) == {Violation.SOCKET_TYPE}
                assert running.subscribers == 0

    run(scenario)


def test_curve_where_it_is_null_is_hung_up_on() -> None:
    async def scenario() -> None:
        async with publisher() as running:
            with Subscriber(running.port, GREETING.replace(b"NULL\0", b"CURVE")) as other:
                assert await asyncio.to_thread(other.is_hung_up)
                assert running.drops == {Violation.MECHANISM: 1}
        # libzmq itself sees that ours is another one, and gives up.
        with zmq.asyncio.Context() as context, context.socket(zmq.SUB) as sub:
            async with publisher() as running:
                sub.linger = 0
                sub.curve_serverkey, _ = zmq.curve_keypair()
                sub.curve_publickey, sub.curve_secretkey = zmq.curve_keypair()
                sub.connect(f"tcp://127.0.0.1:{running.port}")
                await asyncio.sleep(0.3)
                assert running.subscribers == 0

    run(scenario)


def test_whoever_gets_less_than_all_of_it_at_once_gets_all_of_it() -> None:
    async def scenario() -> None:
        async with publisher() as running:
            with Subscriber(running.port, b"") as peer:
                for byte in SUBSCRIBER + short(4, b"\4PING\0\0x"):
                    await asyncio.to_thread(peer.socket.sendall, bytes([byte]))
                await until(lambda: running.subscribers)
                await asyncio.to_thread(peer.read, OURS)
                assert await asyncio.to_thread(peer.frame) == (4, b"\4PONGx")
                await running.publish(WIRE)
                assert await asyncio.to_thread(peer.message) == BEAT

    run(scenario)


def test_a_peer_that_reads_nothing_is_dropped_and_the_others_do_not_wait_for_it() -> None:
    async def scenario() -> None:
        with zmq.asyncio.Context() as context, context.socket(zmq.SUB) as sub:
            async with publisher() as running:
                sub.linger, sub.rcvhwm = 0, 0
                sub.subscribe(b"")
                sub.connect(f"tcp://127.0.0.1:{running.port}")
                with Subscriber(running.port, receive_buffer=4096) as deaf:
                    await until(lambda: running.subscribers == 2)
                    beats = 0
                    # Two minutes of heartbeats twice a second are less than it may leave unread.
                    while not running.drops:
                        beats += 1
                        assert beats < 4 * (MAX_UNSENT // len(WIRE)) + 500
                        await running.publish(WIRE)
                        assert await sub.recv_multipart() == BEAT
                    assert beats > MAX_UNSENT // len(WIRE)
                    assert running.drops == {Loss.READS_TOO_SLOWLY: 1}
                    assert running.connections == 1
                    assert await asyncio.to_thread(deaf.is_hung_up)

    run(scenario)


def test_a_peer_that_reads_later_has_lost_nothing() -> None:
    async def scenario() -> None:
        async with publisher() as running:
            with Subscriber(running.port) as peer:
                await until(lambda: running.subscribers)
                for _ in range(60):
                    await running.publish(WIRE)
                await asyncio.to_thread(peer.read, OURS)
                for _ in range(60):
                    assert await asyncio.to_thread(peer.message) == BEAT
                assert running.drops == {}

    run(scenario)


def test_a_flood_of_distinct_subscriptions_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        async with publisher() as running:
            before, sent, number = rss(), 0, 0

            def flood() -> int:
                nonlocal number
                done = 0
                with Subscriber(running.port) as peer:
                    try:
                        while done < 10_000_000:
                            frames = []
                            for _ in range(50):
                                number += 1
                                frames.append(long(0, b"\1" + number.to_bytes(8, "big") * 124))
                            peer.socket.sendall(b"".join(frames))
                            done += 50 * 1002
                    except ConnectionError:
                        pass
                return done

            while sent < 69_000_000:
                sent += await asyncio.to_thread(flood)
            await until(lambda: running.connections == 0)
            assert set(running.drops) == {Violation.TOO_MUCH}
            assert rss() - before < 8

    run(scenario)


@pytest.mark.parametrize("beginning", [b"", GREETING[:5], GREETING, GREETING + READY_SUB[:-1]])
def test_a_handshake_that_does_not_end_is_ended(beginning: bytes) -> None:
    async def scenario() -> None:
        async with publisher(handshake_timeout=0.2) as running:
            with Subscriber(running.port, beginning) as slow, Subscriber(running.port):
                await until(lambda: running.drops)
                assert running.drops == {Loss.HANDSHAKE_TIMEOUT: 1}
                assert await asyncio.to_thread(slow.is_hung_up)
                await asyncio.sleep(0.5)
                assert running.subscribers == 1

    run(scenario)


def test_beyond_the_limit_others_wait_until_somebody_leaves() -> None:
    async def scenario() -> None:
        async with publisher(limit=10) as running:
            with ExitStack() as stack:
                peers = [stack.enter_context(Subscriber(running.port)) for _ in range(15)]
                await until(lambda: running.subscribers == 10)
                await asyncio.sleep(0.1)
                assert running.connections == 10
                for peer in peers[:5]:
                    peer.socket.close()
                await asyncio.to_thread(peers[14].read, OURS)
                await until(lambda: running.subscribers == 10)
                await running.publish(WIRE)
                assert await asyncio.to_thread(peers[14].message) == BEAT
                assert running.drops == {}

    run(scenario)


def test_one_address_cannot_take_all_there_is() -> None:
    async def scenario() -> None:
        async with publisher(limit=10, per_address=6) as running:
            with ExitStack() as stack:
                for _ in range(9):
                    stack.enter_context(Subscriber(running.port))
                await until(lambda: running.drops[Loss.TOO_MANY] == 3)
                assert running.connections == 6
                other = stack.enter_context(socket.socket())
                other.bind(("127.0.0.2", 0))
                other.connect(("127.0.0.1", running.port))
                await until(lambda: running.connections == 7)
            await until(lambda: running.connections == 0)

    run(scenario)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_without_descriptors_it_waits_and_says_so_once(
    number: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        tries, taken = 0, []

        def accept() -> tuple[socket.socket, tuple[str, int]]:
            nonlocal tries
            tries += 1
            if tries <= 3:
                raise OSError(number, os.strerror(number))
            return listener.accept()

        acceptor = Acceptor(
            listener, "test port", lambda sock, _: taken.append(sock), lambda: True, accept
        )
        with socket.create_connection(listener.getsockname()):
            started = time.monotonic()
            acceptor.resume()
            await until(lambda: taken)
            assert time.monotonic() - started >= 0.1 + 0.2 + 0.4
        acceptor.close()
        taken[0].close()

    with caplog.at_level(logging.WARNING):
        run(scenario)
    assert [record.getMessage() for record in caplog.records] == [
        f"test port: {os.strerror(number)}; new connections wait"
    ]


def test_it_logs_little_whatever_comes(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with publisher() as running:
            for number in range(300):
                junk = b"\x1b[31m\n" + bytes([number % 256]) * number
                await asyncio.to_thread(Subscriber(running.port, junk).__exit__)
            await until(lambda: sum(running.drops.values()) > 250)

    with caplog.at_level(logging.WARNING):
        run(scenario)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert "\x1b" not in lines[0]


async def latest(during: "asyncio.Task[None]") -> float:
    """How late timers were meanwhile, at most, in seconds."""
    worst = 0.0
    while not during.done():
        due = time.monotonic() + 0.01
        await asyncio.sleep(0.01)
        worst = max(worst, time.monotonic() - due)
    return worst


FLOODS = {
    "connections": (SUBSCRIBER, 4000),
    "empty frames": (SUBSCRIBER + short(0, b"") * 30_000, 300),
    "short subscriptions": (SUBSCRIBER + short(0, b"\1x") * 10_000, 700),
}


@pytest.mark.parametrize("said", FLOODS)
def test_who_connects_again_and_again_delays_nobody_else(said: str) -> None:
    """The flood is another process, as it would be: its work is none of the loop's."""
    first, number = FLOODS[said]

    async def scenario() -> None:
        async with publisher() as running:
            flood = await asyncio.create_subprocess_exec(
                sys.executable, "-c", CHURN, str(running.port), str(number),
                stdin=asyncio.subprocess.PIPE,
            )  # fmt: skip
            flooding = asyncio.create_task(fed(flood, first))
            assert await latest(flooding) < patient(0.1)
            await flooding
            if said == "connections":
                assert running.drops[Loss.TOO_FAST]
            with Subscriber(running.port), socket.socket() as other:
                other.bind(("127.0.0.2", 0))
                other.connect(("127.0.0.1", running.port))
                other.sendall(SUBSCRIBER)
                await until(lambda: running.subscribers)

    run(scenario)


CHURN = """
import contextlib, socket, sys
first = sys.stdin.buffer.read()
held = []
for _ in range(int(sys.argv[2])):
    with contextlib.suppress(OSError):
        held.append(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
        held[-1].settimeout(1)
        held[-1].sendall(first)
    if len(held) >= 20:
        for one in held:
            one.close()
        held.clear()
"""


async def fed(process: asyncio.subprocess.Process, data: bytes) -> None:
    """It reads these bytes, and ends."""
    await process.communicate(data)
    assert process.returncode == 0


def test_what_tests_say_as_a_subscriber_is_what_libzmq_says() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        zmq.Context() as context,
        context.socket(zmq.SUB) as sub,
    ):
        sub.linger = 0
        sub.subscribe(b"")
        sub.connect(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        listener.settimeout(patient(5))
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(patient(5))
            connection.sendall(Connection(0.0).greeting())
            said = receive(connection, len(GREETING) + len(READY_SUB))
            assert said[:11] + b"?" + said[12:] == GREETING[:11] + b"?" + GREETING[12:] + READY_SUB
            ours = Connection(0.0)
            connection.sendall(ours.receive(said, 0.0))
            # A message in ZMTP 3.0, a command in 3.1.
            (flags, size) = receive(connection, 2)
            body = receive(connection, size)
            assert (flags, body) in {(0, b"\1"), (4, b"\x09SUBSCRIBE")}
            assert ours.receive(bytes([flags, size]) + body, 0.0) == b""
            assert (ours.ready, ours.closed) == (True, None)


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly so many bytes."""
    got = b""
    while len(got) < size:
        got += connection.recv(size - len(got))
    return got
