"""Connected agents that were admitted by a key of their client which counts no more.

Keys expire, and nobody tells us what is revoked on a Chef Infra Server.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

from pushcli.protocol.chef_answers import ChefAway, ChefRefuses
from pushcli_server.core.identity import NodeKey
from pushcli_server.store import StoreUnavailable

LEAST_PAUSE = 10.0
"""Seconds between two looks, at least."""
AT_ONCE, OF_CHEF = 500, 100
"""Nodes that one look is at: each is a question, maybe to a Chef Infra Server."""
_IN_A_ROW = 5
"""Questions that are not answered, after which a look is given up."""
_log = logging.getLogger(__name__)


class Revocations:
    """Looks at the keys of some agents after the other; while nobody can be asked, they stay.

    Args:
        connected: the nodes whose agents are.
        look_at: one of them, and what follows if its key counts no more.
        pause: seconds between two looks.
        at_once: so many at a look.
    """

    def __init__(
        self,
        connected: Callable[[], Iterable[NodeKey]],
        look_at: Callable[[NodeKey], Awaitable[object]],
        pause: float,
        at_once: int,
    ) -> None:
        self._connected = connected
        self._look_at = look_at
        self._pause = max(pause, LEAST_PAUSE)
        self._at_once = at_once
        self._next: deque[NodeKey] = deque()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._pause)
            await self.look()

    async def look(self) -> None:
        """At the next ones, once; at everybody before anybody again."""
        if not self._next:
            self._next.extend(self._connected())
        missed = 0
        for _ in range(min(self._at_once, len(self._next))):
            node = self._next.popleft()
            try:
                await self._look_at(node)
                missed = 0
            except (ChefAway, ChefRefuses, StoreUnavailable) as error:
                _log.debug("keys of %s cannot be asked for: %s", node.name, error)
                missed += 1
                if missed >= _IN_A_ROW:
                    return
