"""`GET jobs/ID/output_feed` (an extension): what commands write while they write it.

Server-sent events, in the order in which parts grew. Each has the id that a reader goes on from;
where its server was restarted meanwhile it gets from the beginning what it has already, and
tells by the offsets. A reader costs a piece at a time; one that does not read is cut off.
"""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.responses import Response

from pushcli.protocol import names
from pushcli_server.core.identity import JobKey
from pushcli_server.output_feeds import OutputFeeds
from pushcli_server.output_log import OutputLog, Part
from pushcli_server.rest.errors import Refused, not_found
from pushcli_server.rest.feeds import KEEPALIVE, Streamed, rest_of
from pushcli_server.rest.request import Allowed, Call
from pushcli_server.store import StoreUnavailable

_log = logging.getLogger(__name__)

PIECE = 32_768
"""Bytes of output in an event."""
REST = 0.02
"""Seconds between news and their reading: what comes together is read together."""
LOOK = 0.1
"""Seconds between two looks whether the job is over."""
MAX_NODES = 1000
"""Nodes that a reader may name; without any it gets them all."""


class OutputFeedHandlers:
    """The handler for the feed of a job's output."""

    def __init__(self, outputs: OutputFeeds) -> None:
        self._outputs = outputs

    async def job(self, call: Call) -> Response:
        """`GET jobs/ID/output_feed`."""
        query = call.http.query_params
        nodes = frozenset(name for name in query.get("nodes", "").split(",") if name)
        if len(nodes) > MAX_NODES or not all(map(names.is_node_name, nodes)):
            raise Refused(400, [f"nodes must be up to {MAX_NODES} names of nodes, with commas"])
        key = JobKey(call.org, call.path["job"])
        log = await self._outputs.open(key)
        if log is None:
            raise not_found("no output was captured")
        last = call.http.headers.get("last-event-id") or query.get("after", "")
        return OutputStream(self._outputs, key, log, nodes, log.position(last), call.allowed)


class OutputStream(Streamed):
    """A job's output from a number on, until no more of it is to be expected."""

    def __init__(
        self,
        outputs: OutputFeeds,
        key: JobKey,
        log: OutputLog,
        nodes: frozenset[str],
        number: int,
        allowed: Allowed,
    ) -> None:
        super().__init__(log, allowed)
        self._outputs, self._key, self._log = outputs, key, log
        self._nodes = nodes
        self._first = self._number = number
        self._positions: dict[Part, int] = {}

    async def _chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._followed():
                yield chunk
        except StoreUnavailable as error:
            # Without its last event a feed is not over: readers come back.
            _log.warning("a feed of output was broken off: %s", error, extra={"job": self._key.id})

    async def _followed(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        # The headers leave with the first bytes: the reader knows that it is heard.
        yield b":output\n"
        while True:
            async for chunk in self._news():
                sent_at = loop.time()
                yield chunk
            if self._outputs.is_over(self._key, self._log):
                await self._outputs.refresh(self._key, self._log)
                async for chunk in self._news():
                    yield chunk
                yield self._event("end", self._number, {})
                return
            if await self._log.news(self._number, LOOK):
                await asyncio.sleep(rest_of(self._log.readers, REST))
            # Also where there is news, of nodes that this reader did not ask for.
            if loop.time() - sent_at >= KEEPALIVE:
                sent_at = loop.time()
                yield b":keepalive\n"

    async def _news(self) -> AsyncIterator[bytes]:
        for part, number in self._log.since(self._number):
            if not self._nodes or part[0] in self._nodes:
                async for chunk in self._part(part, number):
                    yield chunk
            self._number = number

    async def _part(self, part: Part, number: int) -> AsyncIterator[bytes]:
        """What is new of a part; its last event has the number of its growth."""
        position = self._positions.get(part)
        if position is None:
            position = self._log.size_at(part, self._first)
        while position < (size := self._log.size(part)):
            limit = min(PIECE, size - position)
            data = await self._outputs.read(self._key, part, position, limit)
            if not data:
                break
            node, channel = part
            fields = {"node": node, "channel": channel, "offset": position, **_as_text(data)}
            position += len(data)
            self._positions[part] = position
            yield self._event("output", number if position >= size else self._number, fields)

    def _event(self, name: str, number: int, fields: dict[str, Any]) -> bytes:
        event_id, data = self._log.event_id(number).encode(), msgspec.json.encode(fields)
        return b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), event_id, data)


def _as_text(data: bytes) -> dict[str, str]:
    """`text` where it is UTF-8, else `base64`."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
