"""Both sources of the whitelist as one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from pushcli.whitelist.entry import Entry
from pushcli.whitelist.match import Match, find

Source = Literal["local", "server"]
_NONE: Mapping[str, Entry] = MappingProxyType({})


class MergedWhitelist:
    """What is in force; a local entry wins over the server's of the same name.

    Later changes of the mappings have no effect.
    """

    def __init__(
        self, local: Mapping[str, Entry] = _NONE, server: Mapping[str, Entry] = _NONE
    ) -> None:
        self._local = frozenset(local)
        others = {name: entry for name, entry in server.items() if name not in local}
        # Patterns are tried in this order: the local ones first.
        self._entries = {**local, **others}

    def find(self, request: str) -> Match | None:
        """The entry of this very name, from whichever source, or else the first pattern."""
        return find(self._entries, request)

    def source(self, name: str) -> Source:
        """Where the entry of this name comes from."""
        return "local" if name in self._local else "server"
