"""Both sources of the whitelist as one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from pushcli.whitelist.entry import Entry
from pushcli.whitelist.match import Match, find

Source = Literal["local", "server"]
_MAX_COMPARED = 40
"""Characters of a name that is compared with a request, and of the request."""
_MAX_NAMES = 100
"""Comparing is cubic at worst, and the agent does nothing else meanwhile: a few milliseconds."""
_NONE: Mapping[str, Entry] = MappingProxyType({})
_NO_REASONS: Mapping[str, str] = MappingProxyType({})


class MergedWhitelist:
    """What is in force; a local entry wins over the server's of the same name.

    Args:
        refused: why entries of the server's are not in force, by their names.

    Later changes of the mappings have no effect.
    """

    def __init__(
        self,
        local: Mapping[str, Entry] = _NONE,
        server: Mapping[str, Entry] = _NONE,
        refused: Mapping[str, str] = _NO_REASONS,
    ) -> None:
        self._local = frozenset(local)
        self._refused = dict(refused)
        others = {name: entry for name, entry in server.items() if name not in local}
        # Patterns are tried in this order: the local ones first.
        self._entries = {**local, **others}

    def find(self, request: str) -> Match | None:
        """The entry of this very name, from whichever source, or else the first pattern."""
        return find(self._entries, request)

    def why_refused(self, name: str) -> str | None:
        """Why the server's entry of this very name is not in force; None: there is none."""
        return self._refused.get(name)

    def nearest(self, request: str) -> str | None:
        """The name of the entry that was probably meant.

        Neither a pattern nor one for some operators only. Bounded: whoever may start jobs may
        ask for anything.
        """
        import difflib  # noqa: PLC0415 - for mistakes alone

        names = [
            name for name, entry in self._entries.items()
            if len(name) <= _MAX_COMPARED and not entry.is_pattern and entry.operators is None
        ]  # fmt: skip
        if len(request) > _MAX_COMPARED:
            return None
        found = difflib.get_close_matches(request, names[:_MAX_NAMES], n=1, cutoff=0.7)
        return found[0] if found else None

    def source(self, name: str) -> Source:
        """Where the entry of this name comes from."""
        return "local" if name in self._local else "server"
