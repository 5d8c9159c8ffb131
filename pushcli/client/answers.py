"""What a server answers, checked: what a peer sends is nothing of ours until it fits."""

from typing import Any, TypeVar

import msgspec

from pushcli.errors import ServerError

S = TypeVar("S")


def decoded(body: bytes) -> Any:
    """The JSON in the body of an answer.

    Raises:
        ServerError: it is none.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ServerError(
            "the server's answer is not JSON", "does the URL point to a Push Jobs server?"
        ) from error


def checked(value: Any, shape: type[S]) -> S:
    """What the server sent, as what it should be.

    Raises:
        ServerError: it is not.
    """
    try:
        return msgspec.convert(value, shape, strict=True)
    except msgspec.ValidationError as error:
        raise ServerError(
            f"unexpected answer from the server: {error}",
            "does the URL point to a Push Jobs server?",
        ) from error
