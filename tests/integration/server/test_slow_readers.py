"""A reader of a feed that does not read is cut off."""

import asyncio
import http.client
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn

from pushcli_server.feed_log import FeedLog
from pushcli_server.rest.connections import Connections
from pushcli_server.rest.feeds import SLOW, EventStream
from pushcli_server.rest.http_protocol import BoundedHttp
from pushcli_server.rest.http_server import HttpServer
from tests.support.waiting import patient

EVENTS, SIZE = 45, 240_000
"""Many times what the kernel holds for a reader."""
PATIENCE = 0.5


async def allowed() -> bool:
    return True


def run(scenario: Callable[[int], Awaitable[None]]) -> None:
    """With a feed on a port, whose readers have little time; the connection itself gives more."""
    assert BoundedHttp.read_timeout > PATIENCE

    async def within() -> None:
        log = FeedLog("job")
        for number in range(EVENTS):
            log.show(log.add("start", time.time(), {"command": f"{number} {'x' * SIZE}"}))
        listener = socket.create_server(("127.0.0.1", 0))
        stream = EventStream(log, log.first, allowed, slow=PATIENCE)
        config = uvicorn.Config(stream, http=BoundedHttp, log_config=None, lifespan="off")
        server = HttpServer(config, Connections(100))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with asyncio.timeout(patient(10)):
                await scenario(listener.getsockname()[1])
                # Whoever was cut off counts as a reader no more.
                while log.readers:
                    await asyncio.sleep(0.01)
        finally:
            server.should_exit = server.force_exit = True
            await serving

    asyncio.run(within())


def opened(port: int) -> tuple[socket.socket, http.client.HTTPResponse]:
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.settimeout(patient(10))
    reader.connect(("127.0.0.1", port))
    reader.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n")
    response = http.client.HTTPResponse(reader)
    response.begin()
    assert response.status == 200
    return reader, response


def test_a_reader_that_does_not_read_is_cut_off() -> None:
    async def scenario(port: int) -> None:
        reader, response = await asyncio.to_thread(opened, port)
        with reader, response:
            # Nothing tells a reader that does not read: only time does.
            await asyncio.sleep(4 * PATIENCE)
            with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
                await asyncio.to_thread(response.read)

    run(scenario)


def test_a_real_reader_has_time_enough() -> None:
    assert SLOW >= 20


def test_nothing_is_sent_to_a_reader_whose_right_ended() -> None:
    log, messages, answers = FeedLog("job"), list[Any](), [True, False]

    async def allowed() -> bool:
        log.show(log.add("start", 1.0, {}))
        return answers.pop(0)

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        messages.append(message)

    log.show(log.add("start", 1.0, {}))
    stream = EventStream(log, log.first, allowed, recheck=0.0)
    asyncio.run(stream({"type": "http"}, receive, send))
    _, first, end = messages
    assert first["body"].count(b"id: job-1") == 1
    assert (end["body"], end["more_body"]) == (b"", False)
    assert not log.readers
