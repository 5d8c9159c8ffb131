"""The whitelist that is in force: local files and the server's entries, and the report of it."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from pushcli.protocol import messages
from pushcli.whitelist.entry import Entry, to_value
from pushcli_agent.config import AgentSettings
from pushcli_agent.whitelist.local import LocalWhitelist
from pushcli_agent.whitelist.merged import MergedWhitelist
from pushcli_agent.whitelist.server_whitelist import ServerWhitelist

_log = logging.getLogger("pushcli_agent")
LOOK_INTERVAL = 1.0
"""Seconds between looks at the local files."""
_ENVELOPE = 2048
_LONGEST_REASON = 300


class WhitelistInForce:
    """Both sources, merged: what `current` holds is in force.

    Args:
        file: agent.toml.

    Raises:
        ConfigError: what the server's entries rest on cannot be read.
    """

    def __init__(
        self, settings: AgentSettings, file: Path, now: Callable[[], float] = time.time
    ) -> None:
        self._now = now
        self._look_at = 0.0
        self._local = LocalWhitelist(file) if settings.whitelist_source != "server" else None
        self._server: ServerWhitelist | None = None
        if settings.whitelist_source != "local":
            self._server = ServerWhitelist(
                file.parent,
                org=settings.organization,
                node=settings.node_name,
                accept_unsigned=settings.accept_unsigned_whitelist,
            )
        self._since: dict[str, tuple[Entry, float]] = {}
        self._digest: str | None = None
        self._merge()

    @property
    def digest(self) -> str | None:
        """Of the server's last whitelist."""
        return self._digest

    @property
    def due_at(self) -> float:
        """When to look at the local files again (monotonic)."""
        return self._look_at

    def apply(self, message: messages.Whitelist) -> None:
        """Put in force what the server has for this node, as far as it counts."""
        # Noted even where its entries do not count: it need not be sent again.
        self._digest = message.digest
        if self._server is not None:
            for void in self._server.apply(message):
                _log.info("a statement about editors is without effect here: %s", void.reason)
            self._digest = self._server.digest
        self._merge()

    def refresh(self) -> bool:
        """Look at the local files; whether they, or what is wrong with them, changed."""
        self._look_at = time.monotonic() + LOOK_INTERVAL
        is_changed = self._local is not None and self._local.refresh()
        if self._server is not None and self._server.refresh():
            # Without a digest the server sends everything again.
            self._digest = self._server.digest
            is_changed = True
        if is_changed:
            self._merge()
        return is_changed

    @property
    def error(self) -> str | None:
        """Why something is not in force; one line."""
        found = [
            None if self._local is None else self._local.error,
            None if self._server is None else self._server.error,
        ]
        return "; ".join(error for error in found if error) or None

    def pins_report(self) -> dict[str, Any]:
        """What the server may know of the pinned keys: fields of `messages.WhitelistReport`."""
        return {} if self._server is None else {"pinned": self._server.pinned()}

    def report(self, max_body: int, more: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of the report, for a message of `max_body` bytes; entries by name.

        Args:
            more: fields to report beside what is in force.
        """
        refused = self._server.refused if self._server is not None else []
        fields: dict[str, Any] = {
            **more,
            "digest": self._digest,
            "error": self.error,
            "refused": [
                messages.EntryRefused(name=one.name, reason=one.reason[:_LONGEST_REASON])
                for one in refused
            ],
        }
        room = max_body - _ENVELOPE - len(msgspec.json.encode(fields))
        in_force = []
        for name in sorted(self._since):
            entry = self._in_force(name)
            room -= len(msgspec.json.encode(entry)) + 1
            if room < 0:
                break
            in_force.append(entry)
        left_out = len(self._since) - len(in_force)
        if room < 0 and not in_force:
            fields["refused"] = []
        server_left_out = self._server.left_out if self._server is not None else 0
        return {**fields, "entries": in_force, "left_out": left_out + server_left_out}

    def _in_force(self, name: str) -> messages.EntryInForce:
        entry, since = self._since[name]
        accepted = None if self._server is None else self._server.accepted.get(name)
        if accepted is None or self._is_local(name):
            value = to_value(entry)
            return messages.EntryInForce(name=name, value=value, source="local", since=since)
        return messages.EntryInForce(
            name=name,
            value=accepted.value,
            source="server",
            since=accepted.since,
            signer=accepted.signer,
            version=accepted.version,
        )

    def _is_local(self, name: str) -> bool:
        return self._local is not None and name in self._local.entries

    def _merge(self) -> None:
        local = {} if self._local is None else dict(self._local.entries)
        accepted = {} if self._server is None else self._server.accepted
        server = {name: one.entry for name, one in accepted.items()}
        refused = [] if self._server is None else self._server.refused
        reasons = {one.name: one.reason[:_LONGEST_REASON] for one in refused}
        self.current = MergedWhitelist(local, server, reasons)
        now = self._now()
        since = {}
        for name, entry in {**server, **local}.items():
            known = self._since.get(name)
            since[name] = known if known is not None and known[0] == entry else (entry, now)
        self._since = since
