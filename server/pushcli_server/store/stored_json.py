"""JSON texts from the database: what cannot be read there hurts nobody but itself.

Whoever edited the database by hand, or a version without today's bounds, may have left
anything.
"""

from typing import Any

import msgspec

from pushcli.protocol import nesting
from pushcli_server.store.errors import Unreadable


def read(text: str) -> Any:
    """What the text says.

    Raises:
        Unreadable: it is not JSON, or nested deeper than anything that is taken in today.
    """
    try:
        nesting.require_bounded(text.encode("utf-8", "surrogatepass"))
        return msgspec.json.decode(text)
    except (nesting.TooNested, msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise Unreadable(str(error) or type(error).__name__) from error


def read_object(text: str) -> dict[str, Any]:
    """The object that the text says; an empty one where it says none."""
    try:
        value = read(text)
    except Unreadable:
        return {}
    return value if isinstance(value, dict) else {}


def raw(text: str, otherwise: bytes = b"null") -> msgspec.Raw:
    """The text as a part of an answer, which stays JSON whatever was stored.

    Args:
        otherwise: what stands for a text that cannot be read.
    """
    document = text.encode("utf-8", "surrogatepass")
    try:
        nesting.require_bounded(document)
        return msgspec.json.decode(document, type=msgspec.Raw)
    except (nesting.TooNested, msgspec.MsgspecError, ValueError, RecursionError):
        return msgspec.Raw(otherwise)
