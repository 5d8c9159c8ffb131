"""Answers with stored content, sent piece by piece: many readers cost a piece each."""

import logging
from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from pushcli_server.rest import ranges
from pushcli_server.rest.pieces import while_there
from pushcli_server.store import StoreUnavailable
from pushcli_server.store.contents import Content

PIECE = 65_536
"""Bytes that are read and sent at once."""
_TYPE = "application/octet-stream"
_log = logging.getLogger(__name__)


async def answer(
    content: Content,
    headers: Mapping[str, str],
    wanted: range | None = None,
    status: int = 200,
) -> Response:
    """All of a content as it is, or the wanted part of it, and its end."""
    wanted = range(content.size) if wanted is None else wanted
    if not content.is_short:
        return _Pieces(content, wanted, status, headers)
    data = await content.piece(wanted.start, len(wanted))
    return Response(data, status, headers, media_type=_TYPE)


async def part(content: Content, asked: str | None) -> Response:
    """200 with all, or 206 with the part that was asked for.

    Raises:
        Refused: there is nothing of what was asked for (416).
    """
    headers = {"Accept-Ranges": "bytes"}
    try:
        wanted = ranges.part(asked, content.size)
    except BaseException:
        content.close()
        raise
    if wanted is None:
        return await answer(content, headers)
    headers["Content-Range"] = f"bytes {wanted[0]}-{wanted[-1]}/{content.size}"
    return await answer(content, headers, wanted, 206)


class _Pieces(Response):
    media_type = _TYPE

    def __init__(
        self, content: Content, wanted: range, status: int, headers: Mapping[str, str]
    ) -> None:
        super().__init__(None, status, headers)
        self.headers["content-length"] = str(len(wanted))
        self._content, self._wanted = content, wanted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        start = {"type": "http.response.start", "status": self.status_code}
        try:
            await send({**start, "headers": self.raw_headers})
            await while_there(receive, self._send(send))
        finally:
            self._content.close()

    async def _send(self, send: Send) -> None:
        left = self._wanted
        try:
            while left:
                data = await self._content.piece(left.start, min(PIECE, len(left)))
                left = left[len(data) :]
                body = {"type": "http.response.body", "body": data, "more_body": bool(left)}
                await send(body)
        except StoreUnavailable as error:
            # Its length is said already: whoever reads sees that it is not all.
            _log.warning("an answer was broken off: %s", error)
