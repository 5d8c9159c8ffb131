"""Whitelists as the server tells of them, checked (docs/api.md)."""

from enum import StrEnum
from typing import Any

import msgspec

from pushcli.protocol.attributes import NORMAL


class Signature(StrEnum):
    """What became of verifying who signed an entry."""

    HOLDS = "holds"
    MISMATCH = "does not match"
    """The entry was changed since, or the record is no record."""
    UNKNOWN_KEY = "unknown key"
    """It was made with a key that the server does not list as the signer's."""


class ServerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry in the node's attributes; the signer of an unsigned one is None.

    Args:
        signature: verified here, where no agent tells; None: it was not.
    """

    name: str
    value: Any
    level: str = NORMAL
    signer: str | None = None
    version: int | None = None
    signature: Signature | None = None


class EntryInForce(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that the agent goes by; `since` in seconds since the epoch."""

    name: str
    value: Any
    source: str
    signer: str | None = None
    version: int | None = None
    since: float | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the server that the agent does not take, and why."""

    name: str
    reason: str


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """What the agent reported last.

    Args:
        at: when, in seconds since the epoch.
        error: why a local file was not taken over.
        left_out: entries that did not fit into the report.
        keys: that the agent knows; None: those of version 0.1.0.
        open: what of a job is its caller's choice there; None: the agent does not say.
    """

    at: float
    error: str | None = None
    entries: list[EntryInForce] = []
    refused: list[Refusal] = []
    left_out: int = 0
    keys: list[str] | None = None
    open: list[str] | None = None


class NodeWhitelist(msgspec.Struct, frozen=True, kw_only=True):
    """What the server has for a node, and what is in force there (None: never reported).

    Args:
        removed: names and versions of signed removals.
    """

    node: str
    entries: list[ServerEntry] = []
    removed: dict[str, int | None] = {}
    in_force: InForce | None = None

    def entry(self, name: str) -> ServerEntry | None:
        """The server's entry of this name, at whatever level."""
        return next((entry for entry in self.entries if entry.name == name), None)

    @property
    def normal(self) -> dict[str, Any]:
        """The entries that operators edit."""
        return {entry.name: entry.value for entry in self.entries if entry.level == NORMAL}

    @property
    def local(self) -> dict[str, EntryInForce]:
        """The entries of the node's own files."""
        entries = self.in_force.entries if self.in_force else []
        return {entry.name: entry for entry in entries if entry.source == "local"}

    def versions(self, name: str) -> list[int]:
        """Those seen of this name; none if nothing was signed."""
        entry = self.entry(name)
        seen = [entry.version if entry else None, self.removed.get(name)]
        return [version for version in seen if version is not None]


class SignedEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of a node that was signed with a certain key."""

    node: str
    name: str
    value: Any


class EditOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a change on our server.

    Args:
        connected: nodes that could be told at once.
        not_in_force: those of them where it does not hold (yet), and why.
    """

    nodes: int
    connected: int
    in_force: int
    not_in_force: dict[str, str] = {}

    def __add__(self, other: "EditOutcome") -> "EditOutcome":
        return EditOutcome(
            nodes=self.nodes + other.nodes,
            connected=self.connected + other.connected,
            in_force=self.in_force + other.in_force,
            not_in_force=self.not_in_force | other.not_in_force,
        )


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of a request: `ready`, `nacked`, `unavailable` or `unknown`."""

    state: str
    reason: str | None = None
    entry: str | None = None
    source: str | None = None
    runs: str | tuple[str, ...] | None = None
