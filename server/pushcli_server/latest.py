"""Writes of which only the last counts: however often a node says it, two are kept of it."""

import asyncio

from pushcli_server.core.identity import NodeKey
from pushcli_server.store import Store
from pushcli_server.store.operations import Operation

_PAUSE = 0.1


class Latest:
    """One write of each node is on its way to the database, and one waits for it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._tickets: dict[NodeKey, int] = {}
        self._waiting: dict[NodeKey, Operation] = {}
        self._timer: asyncio.TimerHandle | None = None

    def submit(self, node: NodeKey, operation: Operation) -> None:
        """Write this, unless another follows before that of this node is committed."""
        if self._is_free(node):
            self._waiting.pop(node, None)
            self._tickets[node] = self._store.submit(operation)
        else:
            self._waiting[node] = operation
            self._schedule()

    def forget(self, node: NodeKey) -> None:
        """What waits is of a node that is gone: the next of its name must not get it."""
        self._waiting.pop(node, None)
        self._tickets.pop(node, None)

    def _is_free(self, node: NodeKey) -> bool:
        return self._tickets.get(node, 0) <= self._store.committed

    def _schedule(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_PAUSE, self._try_again)

    def _try_again(self) -> None:
        self._timer = None
        for node in [node for node in self._waiting if self._is_free(node)]:
            self._tickets[node] = self._store.submit(self._waiting.pop(node))
        if self._waiting:
            self._schedule()
