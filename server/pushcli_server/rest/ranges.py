"""`Range` of a request (RFC 9110, section 14): one part of what was asked for, in bytes."""

import re

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
