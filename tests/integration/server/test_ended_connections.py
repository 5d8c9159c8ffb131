"""Of a connection that is over nothing is kept: not even until the garbage collector comes."""

import asyncio
import contextlib
import gc
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pushcli_server.rest.http_protocol import BoundedHttp
from pushcli_server.rest.transport import Transport
from tests.integration.server.test_crowded_http import GET, Slow, run, serving
from tests.support.waiting import patient

pytestmark = pytest.mark.timeout(60)
KEPT = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Ending = Callable[[socket.socket], object]


def closes(connection: socket.socket) -> None:
    connection.sendall(GET)
    while connection.recv(1000):
        pass


def is_left(connection: socket.socket) -> None:
    connection.sendall(KEPT)
    connection.recv(1000)


def is_reset(connection: socket.socket) -> None:
    is_left(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def is_left_waiting(connection: socket.socket) -> None:
    connection.sendall(KEPT)


def is_left_with_another_request_behind(connection: socket.socket) -> None:
    connection.sendall(KEPT + KEPT)


def asks_nothing(connection: socket.socket) -> None:
    connection.sendall(KEPT[:-9])


def sends_nonsense(connection: socket.socket) -> None:
    connection.sendall(b"\x00\x01\r\n\r\n")
    connection.recv(1000)


@contextlib.contextmanager
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def left() -> list[object]:
    return [one for one in gc.get_objects() if isinstance(one, BoundedHttp | Transport)]


def talk(port: int, trust: ssl.SSLContext | None, ending: Ending) -> None:
    connection = socket.create_connection(("127.0.0.1", port), timeout=patient(10))
    if trust is not None:
        connection = trust.wrap_socket(connection, server_hostname="127.0.0.1")
    with connection:
        ending(connection)


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize(
    "ending",
    [
        closes, is_left, is_reset, is_left_waiting, is_left_with_another_request_behind,
        asks_nothing, sends_nonsense,
    ],
)  # fmt: skip
def test_it_is_gone(tmp_path: Path, ending: Ending, *, with_tls: bool) -> None:
    async def scenario() -> None:
        async with serving(Slow(), tmp_path if with_tls else None) as (port, trust):
            with no_collector():
                for _ in range(3):
                    await asyncio.to_thread(talk, port, trust, ending)
                async with asyncio.timeout(patient(10)):
                    while left():
                        await asyncio.sleep(0.05)

    run(scenario)


def test_a_handshake_that_fails_leaves_nothing_either(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(Slow(), tmp_path) as (port, _):
            with no_collector():
                await asyncio.to_thread(talk, port, None, sends_nonsense)
                async with asyncio.timeout(patient(10)):
                    while left():
                        await asyncio.sleep(0.05)

    run(scenario)
