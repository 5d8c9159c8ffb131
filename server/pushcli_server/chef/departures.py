"""Connected agents whose client was deleted on the Chef Infra Server: nobody there tells us."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable

from pushcli.protocol.chef_answers import ChefAway, ChefRefuses
from pushcli_server.core.identity import NodeKey
from pushcli_server.identities import Identities
from pushcli_server.store import StoreUnavailable

LEAST_PAUSE = 10.0
"""Seconds between two looks, at least."""
_log = logging.getLogger(__name__)


class Departures:
    """Ends their connections; while nobody can be asked, they stay.

    Args:
        connected: the nodes whose agents are.
        expel: a node's client is there no more.
        pause: seconds between two looks.
    """

    def __init__(
        self,
        identities: Identities,
        connected: Callable[[], Iterable[NodeKey]],
        expel: Callable[[NodeKey], object],
        pause: float,
    ) -> None:
        self._identities = identities
        self._connected = connected
        self._expel = expel
        self._pause = max(pause, LEAST_PAUSE)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._pause)
            await self.look()

    async def look(self) -> None:
        """At all that are connected, once."""
        nodes: dict[str, list[str]] = defaultdict(list)
        for key in self._connected():
            nodes[key.org].append(key.name)
        for org, names in nodes.items():
            try:
                await self._look_at(org, names)
            except (ChefAway, ChefRefuses, StoreUnavailable) as error:
                _log.debug("clients of %s cannot be asked for: %s", org, error)

    async def _look_at(self, org: str, names: list[str]) -> None:
        # One question for all of them; but a list alone takes nobody's connection.
        for name in await self._identities.unknown_clients(org, names):
            if not await self._identities.client_keys(org, name):
                _log.info("its client was deleted on the Chef Infra Server", extra={"node": name})
                self._expel(NodeKey(org, name))
