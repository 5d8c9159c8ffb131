"""What REST asks about organizations: one goes, with all that is live in it."""

from collections.abc import Awaitable, Callable

from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.identity import Requestor
from pushcli_server.engine import Engine
from pushcli_server.store import Store, StoreUnavailable, operations, organizations
from pushcli_server.store.errors import OutcomeUnknown


class OrganizationService:
    """Closes and opens organizations."""

    def __init__(self, engine: Engine, store: Store) -> None:
        self._engine = engine
        self._store = store

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
            # Its jobs are aborted, and some of it may be gone.
            raise OutcomeUnknown(str(error)) from error
        # Nobody waits for it: the organization is gone, whatever comes of this.
        self._store.submit(operations.DropUnusedBlobs())

    def created(self, org: str) -> None:
        """There is one of this name now, perhaps again."""
        self._engine.handle(on_fleet.OrganizationOpened(org))
