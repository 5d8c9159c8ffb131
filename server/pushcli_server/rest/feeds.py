"""Event feeds as server-sent events (Push Jobs protocol, section 8).

A reader is a cursor on a shared log. When there is news it rests a little before it takes a
slice, the longer the more readers there are, so that hundreds of them cost what a few do. One
that does not read is cut off.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pushcli_server import feeds
from pushcli_server.clock import Clock
from pushcli_server.core.identity import JobKey
from pushcli_server.feed_log import FeedLog, encode_event
from pushcli_server.jobs import JobService
from pushcli_server.rest.errors import not_found
from pushcli_server.rest.pieces import while_there
from pushcli_server.rest.request import Allowed, Call

MEDIA_TYPE = "text/event-stream"
SLICE = 65_536
KEEPALIVE = 15.0
"""Seconds of silence after which a comment shows that the stream lives."""
SLOW = 20.0
"""Seconds in which a reader must take a slice."""
REST_PER_READER = 0.001
LONGEST_REST = 0.5
"""Seconds between news and their reading: a burst reaches each of many readers as one slice."""
HISTORY = 60.0
RECHECK = 5.0
"""Seconds after which a reader's right is looked at again before more is sent to it."""


class FeedHandlers:
    """Handlers for feeds."""

    def __init__(self, logs: feeds.Feeds, jobs: JobService, clock: Clock) -> None:
        self._logs = logs
        self._jobs = jobs
        self._clock = clock

    async def job(self, call: Call) -> Response:
        """`GET job_status_feed/ID`: all of a job's events; later, a summary."""
        key = JobKey(call.org, call.path["job"])
        view = await self._jobs.show(key)
        if view is None:
            raise not_found("no such job")
        log = self._logs.job(key)
        if log is None:
            now = int(self._clock.date() * 1_000_000)
            nodes = {"nodes": view.pop("nodes")}
            summary = encode_event("summary", "job-1", now, {**nodes, **view})
            return Response(summary, headers=_HEADERS, media_type=MEDIA_TYPE)
        position = log.position(call.http.headers.get("last-event-id", ""))
        return EventStream(log, log.first if position is None else position, call.allowed)

    async def organization(self, call: Call) -> Response:
        """`GET job_status_feed`: what happens from now on, or since the last event seen."""
        log = self._logs.organization(call.org)
        last = call.http.headers.get("last-event-id")
        if last is None:
            return EventStream(log, log.end, call.allowed)
        position = log.position(last)
        if position is not None:
            return EventStream(log, position, call.allowed)
        oldest = self._clock.date() - HISTORY
        start = encode_event("start_of_history", "start_id", int(oldest * 1_000_000), {})
        return EventStream(log, log.since(oldest), call.allowed, start)


_HEADERS = {"X-Accel-Buffering": "no", "Cache-Control": "no-cache"}


def rest_of(readers: int, shortest: float = 0.0) -> float:
    """Seconds between news and their reading.

    By up to a half more or less: those who woke together do not all read in one turn of the event
    loop.
    """
    rest = min(shortest + REST_PER_READER * readers, LONGEST_REST)
    return rest * (0.5 + random.random())  # noqa: S311


class Read(Protocol):
    """What has readers."""

    readers: int


class Streamed(Response):
    """Events until there are no more, the reader leaves, does not read, or may not any more.

    Args:
        allowed: asks whether whoever reads may still.
        slow: seconds in which a reader must take a slice.
        recheck: seconds for which it may because it might.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self, read: Read, allowed: Allowed, *, slow: float = SLOW, recheck: float = RECHECK
    ) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._read = read
        self._allowed = allowed
        self._slow = slow
        self._recheck = recheck

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        self._read.readers += 1
        try:
            await while_there(receive, self._send(send))
        finally:
            self._read.readers -= 1

    async def _send(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        checked = loop.time()
        with contextlib.suppress(TimeoutError):
            async for chunk in self._chunks():
                if loop.time() - checked >= self._recheck:
                    # Whoever comes back is told why.
                    if not await self._allowed():
                        break
                    checked = loop.time()
                async with asyncio.timeout(self._slow):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _chunks(self) -> AsyncIterator[bytes]:
        raise NotImplementedError


class EventStream(Streamed):
    """A log from a position on, until it is complete or the reader leaves."""

    def __init__(
        self,
        log: FeedLog,
        position: int,
        allowed: Allowed,
        prologue: bytes = b"",
        *,
        slow: float = SLOW,
        recheck: float = RECHECK,
    ) -> None:
        super().__init__(log, allowed, slow=slow, recheck=recheck)
        self._log = log
        self._position = position
        self._prologue = prologue

    async def _chunks(self) -> AsyncIterator[bytes]:
        if self._prologue:
            yield self._prologue
        while True:
            chunk, self._position = self._log.read(self._position, SLICE)
            if chunk:
                yield chunk
            elif self._log.complete:
                return
            elif not await self._log.news(self._position, KEEPALIVE):
                yield b":keepalive\n"
            else:
                await asyncio.sleep(rest_of(self._log.readers))
