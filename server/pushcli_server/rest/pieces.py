"""Answers that grow with what is stored: made and sent piece by piece.

However long one is, it holds a piece of itself at a time, the event loop never works on more,
and what is not read is not made.
"""

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from typing import Any, TypeVar

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pushcli_server.rest.errors import Refused
from pushcli_server.store import StoreUnavailable

T = TypeVar("T")
_AT_ONCE = 500
"""Values that are encoded at once: about a millisecond."""

_log = logging.getLogger(__name__)


async def listed(
    pages: AsyncIterator[bytes], before: bytes = b"[", after: bytes = b"]"
) -> Response:
    """An answer (200) with a JSON array in it.

    What goes wrong before the second page raises; later it breaks off the answer.

    Args:
        pages: some elements each, with commas between them; an empty one ends it.
        before: what stands before the elements.
        after: what stands behind them.
    """
    first = await anext(pages, b"")
    second = await anext(pages, b"") if first else b""
    if not second:
        return Response(before + first + after, media_type="application/json")
    return _Pieces(_joined(before + first, second, pages, after))


async def array(values: Iterable[Any], before: bytes = b"[", after: bytes = b"]") -> Response:
    """An answer (200) with these values in an array, made and encoded some at a time."""
    return await listed(_pages(values, list), before, after)


async def mapping(pairs: Iterable[tuple[str, Any]]) -> Response:
    """An answer (200) with an object of these keys and values."""
    return await listed(_pages(pairs, dict), b"{", b"}")


async def _pages(values: Iterable[T], shape: Callable[[list[T]], Any]) -> AsyncIterator[bytes]:
    left = iter(values)
    while some := list(itertools.islice(left, _AT_ONCE)):
        yield msgspec.json.encode(shape(some))[1:-1]
        await asyncio.sleep(0)


async def _joined(
    first: bytes, second: bytes, pages: AsyncIterator[bytes], after: bytes
) -> AsyncIterator[bytes]:
    yield first
    yield b"," + second
    async for page in pages:
        yield b"," + page
    yield after


class _Pieces(Response):
    media_type = "application/json"

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await while_there(receive, self._send(send))

    async def _send(self, send: Send) -> None:
        try:
            async for piece in self._pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        except (StoreUnavailable, Refused) as error:
            _log.warning("an answer was broken off: %s", error)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def while_there(receive: Receive, sending: Coroutine[Any, Any, None]) -> None:
    """Send until all is sent or the client left."""
    tasks = asyncio.create_task(_left(receive)), asyncio.create_task(sending)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
