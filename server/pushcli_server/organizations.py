"""What REST asks about organizations: one goes, with all that is live in it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.identity import Requestor
from pushcli_server.engine import Engine, Spawn
from pushcli_server.store import Store, StoreUnavailable, operations, organizations
from pushcli_server.store.errors import OutcomeUnknown

_log = logging.getLogger(__name__)
_AGAIN = 5.0
"""Seconds after which is tried again what the database could not do."""


class OrganizationService:
    """Closes and opens organizations.

    Args:
        spawn: has something done beside everything else.
    """

    def __init__(self, engine: Engine, store: Store, spawn: Spawn) -> None:
        self._engine = engine
        self._store = store
        self._spawn = spawn

    async def delete(
        self,
        org: str,
        audit: operations.Audit,
        *,
        by: Requestor,
        origin: str,
        write: Callable[..., Awaitable[None]],
    ) -> None:
        """Abort its jobs, put its nodes out, end its feed, and drop all that is stored of it.

        Should the database go away meanwhile, it stays closed: what is queued is done once it is
        back, and a repeat does the rest.

        Args:
            write: what carries the request out: stores operations, all or none.

        Raises:
            Missing: there is none of this name (any more).
            OutcomeUnknown: the database went away meanwhile.
            StoreUnavailable: it is away; nothing was done.
        """
        self._store.require_health()
        self._engine.handle(on_fleet.OrganizationClosed(org, by, origin))
        try:
            # In pieces: whoever else writes waits for each.
            while await self._store.lists.ask(organizations.is_large, org):
                await self._store.write(operations.PurgeOrganization(org))
            await write(operations.DeleteOrganization(org), audit)
        except StoreUnavailable as error:
            # Its jobs are aborted, and some of it may be gone, or all of it.
            self._drop_unused()
            raise OutcomeUnknown(str(error)) from error
        self._drop_unused()

    def _drop_unused(self) -> None:
        """Nobody waits for it, and nothing behind it: the organization is gone all the same."""
        self._spawn("dropping what no organization refers to", self._dropped)

    async def _dropped(self) -> None:
        while True:
            try:
                await self._store.write(operations.DropUnusedBlobs())
            except StoreUnavailable as error:
                _log.warning("content that is not referred to is still stored: %s", error)
                await asyncio.sleep(_AGAIN)
            else:
                return

    def created(self, org: str) -> None:
        """There is one of this name now, perhaps again."""
        self._engine.handle(on_fleet.OrganizationOpened(org))
