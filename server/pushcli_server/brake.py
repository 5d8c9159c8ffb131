"""What REST asks about the brake: jobs are frozen, nodes paused.

What is asked for is stored first: it holds over a restart, or it was not done.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from pushcli_server import brake_records
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.brake_state import Freeze, Pause
from pushcli_server.core.identity import NodeKey
from pushcli_server.engine import Engine
from pushcli_server.identities import Identities
from pushcli_server.store import Store, operations
from pushcli_server.store.errors import OutcomeUnknown

Write = Callable[..., Awaitable[None]]
"""Stores operations, all or none."""


class UnknownNodes(Exception):
    """There are no such nodes."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"{len(names)} unknown nodes")
        self.names = names


class BrakeService:
    """Holds jobs and nodes back, and lets them go."""

    def __init__(self, engine: Engine, store: Store, identities: Identities) -> None:
        self._engine = engine
        self._store = store
        self._identities = identities
        # What is stored last must also be what holds.
        self._turn = asyncio.Lock()

    def freeze(self, org: str) -> Freeze | None:
        """Why no job of the organization starts; None: they do."""
        return self._engine.fleet.freezes.get(org)

    async def set_freeze(
        self, org: str, freeze: Freeze | None, audit: operations.Audit, *, write: Write
    ) -> Freeze | None:
        """Freeze the organization's jobs, or let them start; returns what held before.

        Args:
            audit: not recorded where they are let start and were not frozen: nothing happened.

        Raises:
            StoreUnavailable: it is as before; but for `OutcomeUnknown`, when jobs are frozen.
        """
        async with self._turn:
            before = self.freeze(org)
            record = None if freeze is None else brake_records.freeze_record(freeze)
            try:
                done = [] if freeze is None and before is None else [audit]
                await write(operations.SetFreeze(org, record), *done)
            except OutcomeUnknown:
                if freeze is not None:
                    self._engine.handle(on_fleet.FreezeStored(org, freeze))
                raise
            self._engine.handle(on_fleet.FreezeStored(org, freeze))
        return before

    async def pause(
        self, org: str, names: Sequence[str], pause: Pause, audit: Sequence[operations.Audit],
        *, write: Write,
    ) -> None:  # fmt: skip
        """Pause nodes; who is paused already is so for this reason and time from now on.

        Raises:
            UnknownNodes: some are no nodes of the organization; then none is paused.
            StoreUnavailable: none is; but for `OutcomeUnknown`, when all are.
        """
        async with self._turn:
            deletions = self._engine.fleet.deletions.count
            await self._require_nodes(org, names)
            record = brake_records.pause_record(pause, self._engine.clock.offset())
            stored = on_fleet.PausesStored(org, names, pause, deletions)
            try:
                await write(operations.SetPauses(org, names, record), *audit)
            except OutcomeUnknown:
                self._engine.handle(stored)
                raise
            self._engine.handle(stored)

    async def _require_nodes(self, org: str, names: Sequence[str]) -> None:
        if unknown := await self._identities.unknown_clients(org, names):
            raise UnknownNodes(unknown)

    async def paused(self, org: str, names: Sequence[str]) -> list[str]:
        """Those of the nodes that are paused.

        Raises:
            UnknownNodes: some are no nodes of the organization.
        """
        await self._require_nodes(org, names)
        fleet, now = self._engine.fleet, self._engine.clock.now()
        return [name for name in names if fleet.pause(NodeKey(org, name), now) is not None]

    async def resume(
        self, org: str, names: Sequence[str], audit: Sequence[operations.Audit], *, write: Write
    ) -> None:
        """Let nodes take part in jobs again.

        Raises:
            StoreUnavailable: those that were paused still are.
        """
        async with self._turn:
            await write(operations.SetPauses(org, names, None), *audit)
            deletions = self._engine.fleet.deletions.count
            self._engine.handle(on_fleet.PausesStored(org, names, None, deletions))
