"""What both imports do with the store that they write to."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import TypeVar

from pushcli.errors import StoreError
from pushcli_server.settings import Settings
from pushcli_server.stopped import alone
from pushcli_server.store import StoreUnavailable

T = TypeVar("T")


def without_server(config: Settings, hint: str = "") -> socket.socket:
    """Hold the server's port until it is closed.

    Args:
        hint: what else may help whoever cannot.

    Raises:
        StartError: the server runs.
    """
    return alone(config, why="", remedy=f"stop it first{hint}; --dry-run needs no stop")


def whole(work: Callable[[], Coroutine[None, None, T]]) -> T:
    """What the work comes to.

    Raises:
        StoreError: the database went away meanwhile.
    """
    try:
        return asyncio.run(work())
    except StoreUnavailable as error:
        raise StoreError(
            f"the database went away: {error}", "run it again: it goes on where it stopped"
        ) from error
