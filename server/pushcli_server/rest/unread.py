"""Answers that are given before the request's body was read.

To close a connection on which data still comes in resets it, and the client may never see
why: many look for an answer only after they sent their whole body. So the rest is read and
thrown away, for a while, between the answer and the close.
"""

import asyncio
import contextlib

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Send

LINGER = 5.0
"""Seconds for which a client may go on with a body that nobody wants."""


class Incoming:
    """A request's messages; knows whether some of the body is still to come."""

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive = receive
        self._invited = "expect" not in headers
        self.unread = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers

    async def __call__(self) -> Message:
        """The next message."""
        message = await self._receive()
        self._invited = True
        if message["type"] != "http.request" or not message.get("more_body", False):
            self.unread = False
        return message

    async def discard(self) -> None:
        """Throw away what still comes; a client that was to wait for our word sends nothing."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while self.unread and self._invited:
                    await self()


def closes_if_unread(headers: MutableHeaders, incoming: Incoming) -> None:
    """Announce that the connection ends: what comes after the answer is no request."""
    if incoming.unread:
        headers["Connection"] = "close"


def outlasting(send: Send, incoming: Incoming) -> Send:
    """A `send` whose last message waits until the body was read or thrown away."""

    async def send_and_wait(message: Message) -> None:
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if not (last and incoming.unread):
            await send(message)
            return
        await send({**message, "more_body": True})
        await incoming.discard()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_and_wait
