"""What a connection may do before it has asked for anything, and how it ends."""

import asyncio
import contextlib
import http.client
import json
import select
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
import uvicorn

from pushcli import keys
from pushcli.protocol import signing
from pushcli.protocol.timestamps import format_iso8601
from pushcli.sandbox.sandbox import ADMIN
from pushcli_server.rest.connections import Connections
from pushcli_server.rest.errors import EXTENSIONS, answer
from pushcli_server.rest.http_protocol import BoundedHttp
from pushcli_server.rest.http_server import HttpServer
from pushcli_server.rest.unread import LINGER
from tests.support.fleet import Fleet
from tests.support.raw_http import Raw
from tests.support.waiting import patient

pytestmark = pytest.mark.timeout(60)
PATH = "/organizations/sandbox/pushy/jobs"
GET = b"GET /pushy/_status HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raw]:
    with Fleet(tmp_path_factory.mktemp("fleet"), []) as fleet:
        yield Raw(fleet)


def ending(
    connection: socket.socket, *, hangs_up: bool = False
) -> tuple[int, dict[str, str], bytes]:
    """The answer on a connection that is closed after it.

    Args:
        hangs_up: the client says that no more comes once it has the answer.
    """
    response = http.client.HTTPResponse(connection)
    response.begin()
    headers = {name.lower(): value for name, value in response.getheaders()}
    body = response.read()
    if hangs_up:
        connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b""
    return response.status, headers, body


REFUSED = [("POST", PATH, 400), ("POST", "/nothing", 404), ("PUT", PATH, 405)]


@pytest.mark.parametrize("size", [70_000, 900_000, 1_000_001, 4_000_000])
@pytest.mark.parametrize(("method", "path", "status"), REFUSED)
def test_a_client_that_sends_all_before_it_listens_gets_its_answer(
    raw: Raw, method: str, path: str, status: int, size: int
) -> None:
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", raw.port), timeout=patient(10)) as connection:
        connection.sendall(head.encode())
        connection.sendall(b"x" * size)
        assert ending(connection)[0] == status


def test_a_chunked_body_that_nobody_reads_is_taken_too(raw: Raw) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", raw.port), timeout=patient(10)) as connection:
        connection.sendall(head.encode())
        for _ in range(30):
            connection.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert ending(connection)[0] == 400


def test_the_answer_to_a_body_that_is_too_large_does_not_wait_for_it(raw: Raw) -> None:
    started = time.monotonic()
    refused = raw("POST", body=b"{}", Content_Length="999999999")
    assert refused.status == 413
    assert time.monotonic() - started < LINGER


def test_a_client_that_waits_to_be_asked_for_its_body_is_not_waited_for(raw: Raw) -> None:
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    started = time.monotonic()
    with socket.create_connection(("127.0.0.1", raw.port), timeout=patient(10)) as connection:
        connection.sendall(head.encode())
        assert ending(connection)[0] == 400
    assert time.monotonic() - started < LINGER


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"])
@pytest.mark.parametrize("fault", [{"user": "ghost"}, {"drop": "X-Ops-Authorization-1"}, {}])
def test_nobody_is_asked_for_a_body_before_the_head_is_proven(
    raw: Raw, fault: dict[str, str], expect: str
) -> None:
    headers = signing.sign(
        raw.key if fault else keys.generate(), method="POST", path=PATH, body=b"x" * 900_000,
        user=fault.get("user", ADMIN), timestamp=format_iso8601(time.time()),
    )  # fmt: skip
    lines = [f"{k}: {v}\r\n" for k, v in headers.items() if k != fault.get("drop")]
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n{expect}"
    with socket.create_connection(("127.0.0.1", raw.port), timeout=patient(10)) as connection:
        connection.sendall("".join([head, *lines, "\r\n"]).encode())
        # None of the body is sent: the answer, and no `100 Continue`, is all there is. Who
        # neither sends it nor hangs up is waited for: once is enough to see that it ends.
        assert ending(connection, hangs_up=bool(fault))[0] == 401


def test_a_refusal_without_a_body_keeps_the_connection(raw: Raw) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", raw.port, timeout=patient(10))
    connection.connect()
    first = connection.sock
    for path, status in (("/nothing", 404), (PATH, 400), ("/pushy/_status", 200)):
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        assert (response.status, response.getheader("connection")) == (status, None)
        assert connection.sock is first
    connection.close()


@pytest.mark.parametrize(
    "text",
    [
        b"junk\r\n\r\n",
        b"GET /caf\xc3\xa9 HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nX-Ops-Userid: a\0b\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
    ],
)
def test_what_is_no_http_is_refused_in_our_form(raw: Raw, text: bytes) -> None:
    with socket.create_connection(("127.0.0.1", raw.port), timeout=patient(10)) as connection:
        connection.sendall(text)
        status, headers, body = ending(connection)
    assert (status, list(json.loads(body))) == (400, ["error"])
    assert headers["content-type"] == "application/json"
    assert headers["x-pushcli-extensions"] == EXTENSIONS["X-Pushcli-Extensions"]


def test_headers_cannot_grow_without_end(raw: Raw) -> None:
    sent = 0
    with socket.create_connection(("127.0.0.1", raw.port), timeout=patient(10)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            while sent < 30_000_000:
                sent += connection.send(b"X: " + b"a" * 60_000 + b"\r\n")
    assert sent < 20_000_000
    assert raw().status == 200


def test_headers_that_are_too_large_are_told(raw: Raw) -> None:
    with socket.create_connection(("127.0.0.1", raw.port), timeout=patient(10)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        # What one read may bring is not counted; so it comes in parts.
        with contextlib.suppress(ConnectionError):
            for _ in range(20):
                connection.sendall(b"X: " + b"a" * 32_000 + b"\r\n")
                if select.select([connection], [], [], 0.05)[0]:
                    break
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.status == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


LARGE = 5_000_000
"""Bytes: more than the kernel keeps for a client."""


class Impatient(BoundedHttp):
    head_timeout = 0.3
    read_timeout = 0.5


@asynccontextmanager
async def server() -> AsyncIterator[int]:
    """An application that answers everything, over an impatient connection."""

    async def application(scope: object, receive: object, send: object) -> None:
        text = "x" * LARGE if scope["path"] == "/large" else "fine"  # type: ignore[index]
        await answer(200, text)(scope, receive, send)  # type: ignore[arg-type]

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        application, http=Impatient, log_config=None, lifespan="off", timeout_keep_alive=30
    )
    running = HttpServer(config, Connections(100), Impatient)
    serving = asyncio.create_task(running.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        running.should_exit = running.force_exit = True
        await serving


def run(scenario: Callable[[int], Awaitable[None]]) -> None:
    async def within() -> None:
        async with server() as port:
            await asyncio.wait_for(scenario(port), patient(10))

    asyncio.run(within())


@pytest.mark.parametrize("beginning", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\r\n"])
def test_a_request_that_does_not_come_ends_the_connection(beginning: bytes) -> None:
    async def scenario(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(beginning)
        assert await reader.read() == b""
        writer.close()

    run(scenario)


@pytest.mark.parametrize("drop", [b"X", b"\r\n"])
def test_a_request_that_comes_a_byte_at_a_time_ends_too(drop: bytes) -> None:
    async def scenario(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def drip() -> None:
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(drop)
                    await writer.drain()
                    await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        with contextlib.suppress(ConnectionError):
            await reader.read()
        dripping.cancel()
        writer.close()

    run(scenario)


def test_a_connection_that_has_asked_may_rest_but_not_drip() -> None:
    async def scenario(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(GET)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            await reader.readexactly(len(b'"fine"'))
            # Longer than a request's head may take: between requests it is no fault.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.5)
            assert not reader.at_eof()
        writer.write(b"\r\n")
        assert await reader.read() == b""
        writer.close()

    run(scenario)


def large_answer(port: int) -> socket.socket:
    """A connection on which much is to be read."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    connection.settimeout(patient(10))
    connection.connect(("127.0.0.1", port))
    asked = GET.replace(b"/pushy/_status", b"/large")
    connection.sendall(asked.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
    return connection


def test_who_does_not_read_his_answer_is_cut_off() -> None:
    async def scenario(port: int) -> None:
        with await asyncio.to_thread(large_answer, port) as connection:
            await asyncio.sleep(3)
            assert await asyncio.to_thread(all_of, connection) < LARGE

    run(scenario)


def test_who_reads_slowly_gets_all_of_it() -> None:
    async def scenario(port: int) -> None:
        with await asyncio.to_thread(large_answer, port) as connection:
            size = 0
            # In all longer than a client may go without reading anything.
            for _ in range(8):
                await asyncio.sleep(0.2)
                size += len(connection.recv(100_000))
            assert size + await asyncio.to_thread(all_of, connection) > LARGE

    run(scenario)


def all_of(connection: socket.socket) -> int:
    """Bytes that can still be read, and soon."""
    size = 0
    connection.settimeout(2)
    with contextlib.suppress(OSError):
        while more := connection.recv(1_000_000):
            size += len(more)
    return size
