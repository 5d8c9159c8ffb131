"""What both imports do with the store that they write to."""

import asyncio
import functools
import socket
from collections.abc import Callable, Coroutine
from typing import ParamSpec, TypeVar

from pushcli.errors import StoreError
from pushcli_server.askers import Askers
from pushcli_server.settings import Settings
from pushcli_server.stopped import alone
from pushcli_server.store import StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")
_AT_ONCE = 16
"""Questions to the other server."""


class Asking:
    """Asks the other server, beside the event loop: whoever interrupts does not wait for it."""

    def __init__(self) -> None:
        self._threads = Askers(_AT_ONCE)

    async def __call__(self, ask: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What is answered."""
        call = functools.partial(ask, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def close(self) -> None:
        """Ask no more."""
        self._threads.shutdown()


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
