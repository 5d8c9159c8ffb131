"""What a server answers, checked: what a peer sends is nothing of ours until it fits."""

from typing import Any, TypeVar

import msgspec

from pushcli.errors import ServerError

S = TypeVar("S")


def checked(value: Any, shape: type[S]) -> S:
    """What the server sent, as what it should be.

    Raises:
        ServerError: it is not.
    """
    try:
        return msgspec.convert(value, shape, strict=True)
    except msgspec.ValidationError as error:
        raise ServerError(
            f"the server's answer makes no sense: {error}",
            "is --server-url a Push Jobs server's?",
        ) from error
