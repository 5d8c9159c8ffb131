"""`Range` of a request (RFC 9110, section 14): one part of what was asked for, in bytes."""

import re

from starlette.responses import Response

from pushcli_server.rest.errors import Refused

_ONE = re.compile(r"bytes=([0-9]{1,18})?-([0-9]{1,18})?", re.ASCII | re.IGNORECASE)


def part(asked: str | None, size: int) -> range | None:
    """Which bytes of `size` are asked for; None: all of them, as if nothing had been said.

    What is no range of bytes, or several, is not heeded, as the RFC allows.

    Raises:
        Refused: there are none of them (416).
    """
    found = None if asked is None else _ONE.fullmatch(asked.strip())
    if found is None or found.groups() == (None, None):
        return None
    first, last = (None if text is None else int(text) for text in found.groups())
    if first is None:
        # The last so many.
        wanted = range(max(0, size - (last or 0)), size)
    elif last is not None and last < first:
        return None
    else:
        wanted = range(first, size if last is None else min(last + 1, size))
    if not wanted:
        raise Refused(416, [f"there are {size} bytes"], {"Content-Range": f"bytes */{size}"})
    return wanted


def answer(data: bytes, asked: str | None) -> Response:
    """Bytes as they are: 200 with all, or 206 with the part that was asked for.

    Raises:
        Refused: there is nothing of what was asked for (416).
    """
    wanted = part(asked, len(data))
    headers = {"Accept-Ranges": "bytes"}
    status = 200
    if wanted is not None:
        status = 206
        headers["Content-Range"] = f"bytes {wanted[0]}-{wanted[-1]}/{len(data)}"
        data = data[wanted.start : wanted.stop]
    return Response(data, status, headers, media_type="application/octet-stream")
