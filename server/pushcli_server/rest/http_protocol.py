"""HTTP on a connection: uvicorn's, with bounds on all that costs before somebody is known.

The parser has none: a head, a chunk's extension or a trailer could grow, or take, for ever. What
comes in is fed to it in small pieces, and counted: bytes and headers of a head, bytes between
two pieces of a body, bytes of all who have proven nothing (`connections.py`). Trailers say
nothing here and are not kept.
"""

import asyncio
import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from pushcli_server.rest.connections import Connections
from pushcli_server.rest.errors import EXTENSIONS, Refused
from pushcli_server.rest.transport import BUFFER

_PIECE = 8_192
"""Bytes that are fed at once: counting is as exact as this."""


_TOO_MANY = "too many connections at once; try again"
_RETRY_AFTER = {"Retry-After": "5"}
"""Seconds; to which clients add some, each his own."""


class _Enough(Exception):
    """Ends the parser's work; what is to be said was said."""


class BoundedHttp(HttpToolsProtocol):
    """Ends connections that send too much or too slowly, or do not read their answers.

    Args:
        connections: all of the server; none: this one is on its own.
        answered: called with the status of an answer that the application does not give.
    """

    max_head = 65_536
    """Bytes of request line and headers."""
    max_headers = 100
    max_between = 16_384
    """Bytes that are no body, between two pieces of one, or after the last: chunks' sizes and
    extensions, trailers."""
    head_timeout = 30.0
    """Seconds in which a head must have come."""
    read_timeout = 20.0
    """Seconds in which a client must take some of what was sent to it."""
    read_progress = 4_096
    """Bytes that are some."""
    farewell_timeout = 2.0
    """Seconds in which one who was turned away has to go."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        connections: Connections | None = None,
        answered: Callable[[int], None] = lambda status: None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._connections = Connections(sys.maxsize) if connections is None else connections
        self.beginning: asyncio.Task[None] | None = None
        """The TLS handshake, while it goes on."""
        self._in_head = False
        self._in_body = False
        self._size = 0
        """Of the head so far, or since the last piece of the body."""
        self._body_seen = 0
        self._held = 0
        self._counts = True
        """Whether what comes in is kept for a stranger."""
        self._over = False
        """Whether nothing of what still comes is looked at."""
        self._refusal: tuple[HTTPStatus, str] | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread_peak = 0
        self._unread_since: float | None = None
        self._is_new = False
        """Whether the application did not hear of the request yet."""
        self._is_carried_out = False
        """Whether what is asked for may be done already."""
        self._is_turned_away = False
        self._answered = answered
        self.is_refused = False
        """Whether it was answered without the application, whose answer goes nowhere then."""

    # --- what the application says

    def prove(self) -> None:
        """The signature of the request that is worked on was verified, and its body is signed.

        Raises:
            Refused: whoever asked was told to come again.
        """
        self.carry_out()
        self.stop_counting()
        self._connections.prove(self)

    def carry_out(self) -> None:
        """What is asked for is done from now on.

        Raises:
            Refused: whoever asked was told to come again.
        """
        if self._is_turned_away:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, [_TOO_MANY])
        self._is_carried_out = True

    def stop_counting(self) -> None:
        """What still comes of this request is thrown away, or counted by whoever reads it."""
        self._counts, self._held = False, 0
        self._connections.hold(self, 0)

    # --- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._connections.enter(self, self.loop.time())
        # TLS would buffer half a megabyte each way.
        transport.set_write_buffer_limits(BUFFER)
        if (limit_reading := getattr(transport, "set_read_buffer_limits", None)) is not None:
            limit_reading(BUFFER)
        self._arm()
        if self._is_turned_away:
            self._bid_farewell()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._connections.leave(self)
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        # All lead back here: only the garbage collector would take us away.
        self.cycle = self.scope = None  # type: ignore[assignment]
        self.pipeline.clear()

    @property
    def is_made(self) -> bool:
        """Whether the connection is ready for HTTP, or was."""
        return self.transport is not None

    def drop(self) -> None:
        """End the connection at once."""
        self._over = True
        if self.is_made:
            self.transport.abort()
        elif self.beginning is not None:
            self.beginning.cancel()

    def turn_away(self) -> None:
        """Say that there are too many connections, once TLS is ready for that, and end this one."""
        self._is_turned_away = True
        if self.is_made:
            self._bid_farewell()

    def sweep(self, now: float) -> None:
        """End the connection if nothing was read of what was sent to it; call it now and then.

        Args:
            now: the loop's time.
        """
        unread = self.transport.get_write_buffer_size()
        self._unread_peak = max(self._unread_peak, unread)
        has_read = unread == 0 or self._unread_peak - unread >= self.read_progress
        if self._unread_since is None or has_read:
            self._unread_peak, self._unread_since = unread, now
        elif now - self._unread_since >= self.read_timeout:
            self.drop()

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            if self._over or self.transport.is_closing():
                return
            self._feed(data[start : start + _PIECE])
        if self._is_new and self._in_body:
            # Until the application asks for the body.
            self.flow.pause_reading()
        self._is_new = False

    def _feed(self, piece: bytes) -> None:
        within = self._in_head or self._in_body
        seen = self._body_seen
        super().data_received(piece)
        if self._over or self.transport.is_closing():
            return
        if self._counts:
            self._held += len(piece)
            self._connections.hold(self, self._held)
        if self._in_head or self._in_body:
            # What a piece brought besides is not told apart from what began in it.
            self._size = self._size + len(piece) if within and seen == self._body_seen else 0
            self._check_size()
        elif self.cycle is None or self.cycle.response_complete:
            # Also of what begins no request: an empty line would stop uvicorn's own clock.
            self._arm()

    def _check_size(self) -> None:
        if self._in_head and self._size > self.max_head:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the headers are too large")
        elif self._in_body and self._size > self.max_between:
            self._refuse(HTTPStatus.BAD_REQUEST, "too much between the pieces of a body")

    # --- the parser's callbacks

    def on_message_begin(self) -> None:
        if self.pipeline:
            # One request may wait behind the one that is worked on; nothing is kept of more.
            self._end_after_answers()
            raise _Enough
        super().on_message_begin()
        self.scope["state"]["connection"] = self
        self._in_head, self._size = True, 0
        if self.cycle is None or self.cycle.response_complete:
            self._counts = True
        self._arm()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return
        if len(self.headers) >= self.max_headers:
            self._refusal = (HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too many headers")
            raise _Enough
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body, self._size = False, True, 0
        self._disarm()
        super().on_headers_complete()
        self._is_new = True
        if self.parser.should_upgrade():
            # Nothing is upgraded to here, and what follows would be no HTTP.
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._body_seen += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()
        self._over = self._over or self.parser.should_upgrade()

    def on_response_complete(self) -> None:
        self._connections.rest(self, self.loop.time())
        self._counts, self._is_carried_out = True, False
        # What waits behind it is still held.
        self._held = self._held if self.pipeline else 0
        self._connections.hold(self, self._held)
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        if not self._over:
            self._refuse(*(self._refusal or (HTTPStatus.BAD_REQUEST, msg)))

    # --- ends

    def _arm(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_timeout, self._too_slow)

    def _disarm(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _too_slow(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _end_after_answers(self) -> None:
        """Answer what was asked so far, the last with `Connection: close`."""
        self._over = True
        self._disarm()
        self.cycle.keep_alive = False

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        """An answer in our form, outside of the application, and the end."""
        working = self.cycle is not None and not self.cycle.response_complete
        if working and not self._in_body:
            # It concerns what is behind the request that is worked on.
            self._end_after_answers()
            return
        self._over = True
        if working and (self.pipeline or self.cycle.response_started):
            # There is no place for one in what is being sent.
            self.transport.close()
            return
        self._write_refusal(status, text)
        self.transport.close()

    def _bid_farewell(self) -> None:
        """Answer whoever was turned away, unless he waits for nothing, or what he asked is done."""
        if self.transport.is_closing():
            return
        working = self.cycle is not None and not self.cycle.response_complete
        if working and (self._is_carried_out or self.cycle.response_started):
            self.drop()
            return
        self._over = True
        self._disarm()
        if working:
            # The application gives up, and what it still answers goes nowhere.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.cycle is not None and not working and not self._in_head:
            self.transport.close()
            return
        self._write_refusal(HTTPStatus.SERVICE_UNAVAILABLE, _TOO_MANY, _RETRY_AFTER)
        self._leave_slowly()

    def _leave_slowly(self) -> None:
        """End the connection when the client did: an earlier end could cost him the answer."""
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            # TLS has an end of its own, and waits for the client's.
            self.transport.close()
        self._head_timer = self.loop.call_later(self.farewell_timeout, self.drop)

    def _write_refusal(
        self, status: HTTPStatus, text: str, more: Mapping[str, str] | None = None
    ) -> None:
        self.is_refused = True
        self._answered(status.value)
        body = msgspec.json.encode({"error": [text]})
        headers: dict[str, Any] = {
            "Content-Type": "application/json",
            "Content-Length": len(body),
            "Connection": "close",
            **(more or {}),
            **EXTENSIONS,
        }
        lines = [
            f"HTTP/1.1 {status.value} {status.phrase}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
