"""Whose client was deleted since: what was found in the store before that counts no more."""

from pushcli_server.core.identity import NodeKey

REMEMBERED = 10_000
"""Names. Between a look into the store and what comes of it far fewer are deleted."""


class Deletions:
    """The clients, of nodes and of others, that were deleted last, or that keys were taken from.

    Attributes:
        count: how many were deleted up to now; who keeps it can ask later what happened `since`.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self.count = 0
        self._remembered = remembered
        self._last: dict[NodeKey, int] = {}
        self._forgotten = 0

    def note(self, key: NodeKey) -> None:
        """The client of this name was deleted, or a key of it revoked."""
        self.count += 1
        self._last.pop(key, None)
        self._last[key] = self.count
        if len(self._last) > self._remembered:
            oldest = next(iter(self._last))
            self._forgotten = self._last.pop(oldest)

    def since(self, count: int, key: NodeKey) -> bool:
        """Whether that of this name was deleted; also where that is no longer known."""
        return self._last.get(key, self._forgotten) > count
