"""More connections at once than there may be: each gets its answer, or 503 with `Retry-After`."""

import asyncio
import json
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request

from pushcli import tls
from pushcli_server.rest.connections import STAY, Connections
from pushcli_server.rest.errors import answer, answer_for
from pushcli_server.rest.http_protocol import BoundedHttp
from pushcli_server.rest.http_server import HttpServer
from tests.support.waiting import patient

pytestmark = [pytest.mark.timeout(90), pytest.mark.slow]
LIMIT = 20
CLIENTS = 40
GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
Scope = dict[str, Any]


class Slow:
    """An application that answers one request at a time, and nobody knows who asks."""

    pause = 0.2

    def __init__(self) -> None:
        self.turn = asyncio.Lock()
        self.done: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Whoever asks for /write has it done at once, though it is said only later."""
        path = scope["path"]
        response = answer(200, "fine")
        try:
            if path == "/write":
                scope["state"]["connection"].carry_out()
                self.done[path] += 1
            async with self.turn:
                await asyncio.sleep(self.pause)
            if path == "/late":
                scope["state"]["connection"].prove()
            self.done[path] += 1
        except Exception as error:
            response = answer_for(error)
        await response(scope, Request(scope, receive).receive, send)


@asynccontextmanager
async def serving(
    application: Slow, place: Path | None, answered: Callable[[int], None] = lambda status: None
) -> AsyncIterator[tuple[int, ssl.SSLContext | None]]:
    """Its port, and how clients speak TLS to it.

    Args:
        place: for its certificate; None: it speaks no TLS.
    """
    files, trust = {}, None
    if place is not None:
        certificate, key = tls.make_self_signed(["127.0.0.1"])
        (place / "c.pem").write_text(certificate)
        (place / "k.pem").write_bytes(key)
        files = {"ssl_certfile": str(place / "c.pem"), "ssl_keyfile": str(place / "k.pem")}
        trust = ssl.create_default_context(cafile=str(place / "c.pem"))
    listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
    config = uvicorn.Config(
        application, http=BoundedHttp, log_config=None, lifespan="off",
        **files,  # type: ignore[arg-type]
    )  # fmt: skip
    running = HttpServer(config, Connections(LIMIT), answered=answered)
    task = asyncio.create_task(running.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1], trust
    finally:
        running.should_exit = running.force_exit = True
        await task


async def ask(port: int, trust: ssl.SSLContext | None, text: bytes = GET) -> tuple[int, bytes]:
    """Status, and the whole answer; 0: there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
    try:
        writer.write(text)
        said = await reader.read()
    except ConnectionError:
        said = b""
    finally:
        writer.close()
    return (int(said.split()[1]) if said else 0), said


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        await asyncio.wait_for(scenario(), patient(60))

    asyncio.run(within())


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
def test_everybody_is_answered(tmp_path: Path, *, with_tls: bool) -> None:
    async def scenario() -> None:
        application = Slow()
        counted: Counter[int] = Counter()
        count = counted.update
        place = tmp_path if with_tls else None
        async with serving(application, place, lambda status: count([status])) as (port, trust):
            answers = await asyncio.gather(*(ask(port, trust) for _ in range(CLIENTS)))
        found = Counter(status for status, _ in answers)
        assert set(found) == {200, 503}, found
        # What the application did not answer is counted, too.
        assert counted == {503: found[503]}
        assert found[200] >= STAY / Slow.pause / 4
        for status, said in answers:
            head, _, body = said.partition(b"\r\n\r\n")
            if status == 503:
                assert b"\r\nRetry-After: 5\r\n" in head
                assert json.loads(body) == {"error": ["too many connections at once; try again"]}

    run(scenario)


@pytest.mark.parametrize("with_tls", [False, True], ids=["plain", "tls"])
def test_one_that_has_not_asked_yet_is_told_too(tmp_path: Path, *, with_tls: bool) -> None:
    async def scenario() -> None:
        async with serving(Slow(), tmp_path if with_tls else None) as (port, trust):
            silent = [
                await asyncio.open_connection("127.0.0.1", port, ssl=trust)
                for _ in range(LIMIT - LIMIT // 10)
            ]
            assert (await ask(port, trust))[0] == 200
            assert (await silent[0][0].read()).startswith(b"HTTP/1.1 503 ")
            for _, each in silent:
                each.close()

    run(scenario)


def test_one_that_was_told_to_come_again_has_nothing_done() -> None:
    async def scenario() -> None:
        application = Slow()
        application.pause = 2 * STAY
        async with serving(application, None) as (port, trust):
            late = GET.replace(b"/ ", b"/late ", 1)
            asked = [asyncio.create_task(ask(port, trust, late)) for _ in range(LIMIT - 2)]
            await asyncio.sleep(STAY)
            asked += [asyncio.create_task(ask(port, trust)) for _ in range(2)]
            assert (await asked[0])[0] == 503
            async with asyncio.timeout(patient(20)):
                while not application.done["/"]:
                    await asyncio.sleep(0.1)
                    application.pause = 0.0
            for each in asked:
                each.cancel()
        statuses = [each.result()[0] for each in asked[:2] if not each.cancelled()]
        assert statuses == [503, 503]
        # All others were answered, those two were not worked on.
        assert application.done["/late"] == LIMIT - 4

    run(scenario)


def test_one_whose_request_may_be_done_is_not_told_to_repeat_it() -> None:
    async def scenario() -> None:
        application = Slow()
        application.pause = 2 * STAY
        async with serving(application, None) as (port, trust):
            write = GET.replace(b"/ ", b"/write ", 1)
            asked = [asyncio.create_task(ask(port, trust, write)) for _ in range(LIMIT - 2)]
            await asyncio.sleep(STAY)
            more = asyncio.create_task(ask(port, trust))
            status, said = await asked[0]
            assert (status, said) == (0, b"")
            for each in [*asked, more]:
                each.cancel()

    run(scenario)


def test_idle_ones_go_without_a_word() -> None:
    async def scenario() -> None:
        async with serving(Slow(), None) as (port, trust):
            idle = []
            for _ in range(LIMIT - LIMIT // 10):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(GET.replace(b"Connection: close\r\n", b""))
                await reader.readuntil(b'fine"')
                idle.append((reader, writer))
            assert (await ask(port, trust))[0] == 200
            assert await idle[0][0].read() == b""
            for _, writer in idle:
                writer.close()

    run(scenario)
