"""Whitelists on their way to the agents, and what agents say is in force.

Level-triggered: heartbeats carry the digest of what an agent has; whoever has another one
than the store is sent the whole again. So it does not matter what was lost, or who restarted.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from pushcli.protocol import extensions, limits, messages
from pushcli.whitelist.statements import Change
from pushcli_server.clock import Clock
from pushcli_server.core.fleet_state import Fleet
from pushcli_server.core.identity import NodeKey
from pushcli_server.core.node import Node
from pushcli_server.guarded import guarded
from pushcli_server.latest import Latest
from pushcli_server.outbox import Outbox
from pushcli_server.store import Store, StoreUnavailable, operations, whitelist_reads

RESEND = 5.0
"""Seconds before what an agent did not confirm is sent again."""
SETTLE = 2.0
"""Seconds for which an edit waits for the connected agents."""
_BATCH = 200
_RETRY = 1.0
_log = logging.getLogger(__name__)


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """An agent's report in short; `at` in seconds since the epoch."""

    at: float
    error: str | None
    entries: int
    refused: int
    open: list[str] | None
    """What of a job is its caller's choice there; None: its agent does not report that."""
    pinned: list[messages.PinnedKey] | None
    """The editors' keys that the node trusts by itself; None likewise."""


class _Report(msgspec.Struct, kw_only=True, omit_defaults=True):
    """As it is stored."""

    at: float
    digest: str | None
    error: str | None
    entries: list[messages.EntryInForce]
    refused: list[messages.EntryRefused]
    left_out: int
    keys: list[str] | None = None
    open: list[str] | None = None
    pinned: list[messages.PinnedKey] | None = None


class Settled(msgspec.Struct, frozen=True):
    """What became of an edit: nodes that were connected, and those where it does not hold,
    with the reason.
    """

    connected: int
    not_in_force: dict[str, str]


_UNCONFIRMED = "its agent has not confirmed it yet"


class _Waiter:
    """An edit that waits for agents; made before it goes out."""

    def __init__(self, nodes: Iterable[NodeKey], changes: Sequence[Change]) -> None:
        self.left = set(nodes)
        self.refusals: dict[str, str] = {}
        self.errors: dict[NodeKey, str] = {}
        """What keeps agents from it, by what they reported since it went out."""
        self._sent: set[NodeKey] = set()
        self.done = asyncio.Event()
        self._changes = changes
        if not self.left:
            self.done.set()

    def sent(self, key: NodeKey) -> None:
        """The edit, or something newer, goes out."""
        self._sent.add(key)

    def has(self, key: NodeKey) -> None:
        """The agent reported the same before: it was told by others, or nothing changed."""
        self.left.discard(key)
        if not self.left:
            self.done.set()

    def note(self, key: NodeKey, error: str | None) -> None:
        """A report that rests on something older."""
        if error is None:
            self.errors.pop(key, None)
        elif key in self._sent:
            # Else it is about what the node had to take over before.
            self.errors[key] = error

    def confirm(self, key: NodeKey, report: messages.WhitelistReport) -> None:
        """A report that rests on the edit or on something newer."""
        self.left.discard(key)
        reason = self._refusal(report)
        if reason is not None:
            self.refusals[key[1]] = reason
        if not self.left:
            self.done.set()

    def _refusal(self, report: messages.WhitelistReport) -> str | None:
        in_force = {entry.name: entry for entry in report.entries}
        refused = {entry.name: entry.reason for entry in report.refused}
        for change in self._changes:
            entry = in_force.get(change.name)
            if change.name in refused:
                return refused[change.name]
            if entry is not None and entry.source == "local":
                return f"a local entry {change.name!r} wins: it is in the node's agent.toml"
            if change.value is not None and entry is None and not report.left_out:
                return "the agent does not take entries of the server"
        return None


class WhitelistPush:
    """Sends whitelists to agents, and keeps what they report.

    Args:
        keeper: of the nodes' attributes.
    """

    def __init__(
        self,
        fleet: Fleet,
        outbox: Outbox,
        clock: Clock,
        store: Store,
        keeper: whitelist_reads.Keeper = "own",
    ) -> None:
        self._fleet = fleet
        self._outbox = outbox
        self._clock = clock
        self._store = store
        self._keeper = keeper
        self._writes = Latest(store)
        self._wanted: dict[NodeKey, str] = {}
        self._held: dict[NodeKey, str | None] = {}
        self._sent_at: dict[NodeKey, float] = {}
        self._queue: dict[NodeKey, None] = {}
        self._queued = asyncio.Event()
        self._reading: set[NodeKey] = set()
        """Nodes whose whitelists are read now, and did not change since."""
        self._stored: dict[NodeKey, bytes] = {}
        self._summaries: dict[NodeKey, Summary] = {}
        self._waiters: list[_Waiter] = []
        self._forgotten = 0

    def compare(self, node: NodeKey, digest: str | None) -> None:
        """A heartbeat: whether the agent has what it should."""
        self._held[node] = digest
        if digest is None or self._wanted.get(node) != digest:
            self._look_at(node)

    def changed(self, org: str, names: Iterable[str]) -> None:
        """Attributes of these nodes were changed, or who may edit them."""
        for name in names:
            key = NodeKey(org, name)
            self._reading.discard(key)
            self._wanted.pop(key, None)
            self._sent_at.pop(key, None)
            if self._reaches(key):
                self._look_at(key)

    def forget(self, node: NodeKey) -> None:
        """The node is gone; the next of its name has another whitelist, and another report."""
        self._forgotten += 1
        self._reading.discard(node)
        self._writes.forget(node)
        for of_nodes in (
            self._wanted, self._held, self._sent_at, self._queue, self._stored, self._summaries,
        ):  # fmt: skip
            of_nodes.pop(node, None)

    def editors_changed(self, org: str) -> None:
        """All of an organization's nodes are to hear of it."""
        self.changed(org, [node.name for node in self._fleet.nodes if node.org == org])

    async def settled(self, org: str, names: Sequence[str], changes: Sequence[Change]) -> Settled:
        """Wait a little until the connected agents have it, and say where it does not hold."""
        keys = [NodeKey(org, name) for name in names]
        connected = [key for key in keys if self._reaches(key)]
        waiter = _Waiter(connected, changes)
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(SETTLE):
                await waiter.done.wait()
        except TimeoutError:
            late = {key.name: waiter.errors.get(key, _UNCONFIRMED) for key in waiter.left}
            return Settled(len(connected), {**waiter.refusals, **late})
        finally:
            self._waiters.remove(waiter)
        return Settled(len(connected), waiter.refusals)

    def record(self, node: NodeKey, message: messages.WhitelistReport) -> None:
        """What is in force on a node."""
        self._held[node] = message.digest
        at = self._clock.date()
        self._summaries[node] = Summary(
            at=at,
            error=message.error,
            entries=len(message.entries) + message.left_out,
            refused=len(message.refused),
            open=message.open,
            pinned=message.pinned,
        )
        self._save(node, message, at)
        has_it = message.digest is not None and message.digest == self._wanted.get(node)
        for waiter in self._waiters:
            if node in waiter.left:
                if has_it:
                    waiter.confirm(node, message)
                else:
                    waiter.note(node, message.error)

    async def summaries(self, org: str, names: Sequence[str]) -> dict[str, Summary]:
        """The reports in short of those nodes that ever reported."""
        keys = [NodeKey(org, name) for name in names]
        unknown = [key.name for key in keys if key not in self._summaries]
        forgotten, found = self._forgotten, {}
        for name, summary in await self._store.lists.ask(_stored_summaries, org, unknown):
            found[NodeKey(org, name)] = summary
        if forgotten == self._forgotten:
            # Else one of them may have gone while the store answered.
            self._summaries |= found
        known = found | self._summaries
        return {key.name: known[key] for key in keys if key in known}

    def _save(self, key: NodeKey, message: messages.WhitelistReport, at: float) -> None:
        stored = _Report(
            at=at,
            digest=message.digest,
            error=message.error,
            entries=message.entries,
            refused=message.refused,
            left_out=message.left_out,
            keys=message.keys,
            open=message.open,
            pinned=message.pinned,
        )
        said = msgspec.json.encode(msgspec.structs.replace(stored, at=0.0))
        fingerprint = hashlib.sha256(said).digest()
        if self._stored.get(key) != fingerprint:
            # A fleet that reconnects says what it said before: nothing to write.
            text = msgspec.json.encode(stored).decode()
            self._stored[key] = fingerprint
            self._writes.submit(key, operations.SaveWhitelistReport(*key, text))

    # --- on their way

    def _look_at(self, key: NodeKey) -> None:
        if time.monotonic() - self._sent_at.get(key, -RESEND) >= RESEND:
            self._queue[key] = None
            self._queued.set()

    async def run(self) -> None:
        """Send what is due until cancelled."""
        while True:
            await self._queued.wait()
            self._queued.clear()
            while self._queue:
                org = next(iter(self._queue)).org
                keys = [key for key in self._queue if key.org == org][:_BATCH]
                self._reading = set(keys)
                for key in keys:
                    del self._queue[key]
                    self._sent_at[key] = time.monotonic()
                try:
                    found = await self._messages_to(org, keys)
                except StoreUnavailable:
                    for key in keys:
                        self._sent_at.pop(key, None)
                    await asyncio.sleep(_RETRY)
                    continue
                for name, fields in found:
                    # What was read of others is not the newest, and a report that rests on it
                    # confirms nothing: they are read again.
                    if (key := NodeKey(org, name)) in self._reading:
                        guarded(self._push, key, fields)
                    # Each may be 300,000 bytes: others have their turn between them.
                    await asyncio.sleep(0)

    async def _messages_to(
        self, org: str, keys: Sequence[NodeKey]
    ) -> list[tuple[str, dict[str, Any]]]:
        names = [key.name for key in keys]
        chained = {key.name for key in keys if self._knows_chains(key)}
        latest = int((self._clock.date() + limits.MAX_AHEAD) * 1_000_000)
        try:
            return await self._store.lists.ask(
                whitelist_reads.messages_to, org, names, chained, latest, self._keeper
            )
        except StoreUnavailable:
            raise
        except Exception:
            if len(names) == 1:
                _log.exception("the whitelist cannot be read", extra={"node": names[0]})
                return []
        # One of them must not cost the others theirs.
        return [each for key in keys for each in await self._messages_to(org, [key])]

    def _push(self, key: NodeKey, fields: dict[str, Any]) -> None:
        self._wanted[key] = fields["digest"]
        if self._held.get(key) == fields["digest"]:
            for waiter in self._waiters:
                waiter.has(key)
        elif self._reaches(key):
            _log.debug("the whitelist of %s goes out", key.name)
            self._outbox.send(key, messages.Whitelist, **fields)
            for waiter in self._waiters:
                waiter.sent(key)

    def _knows_chains(self, key: NodeKey) -> bool:
        node = self._fleet.nodes.get(key)
        return node is not None and extensions.EDITORS in node.extensions

    def _reaches(self, key: NodeKey) -> bool:
        node = self._fleet.nodes.get(key)
        return node is not None and _accepts(node)


def _stored_summaries(connection: Any, org: str, names: Sequence[str]) -> list[tuple[str, Summary]]:
    """Of the stored reports; read beside the event loop."""
    found = []
    for name, text in whitelist_reads.reports(connection, org, names):
        try:
            stored = msgspec.json.decode(text, type=_Report)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        summary = Summary(
            at=stored.at,
            error=stored.error,
            entries=len(stored.entries) + stored.left_out,
            refused=len(stored.refused),
            open=stored.open,
            pinned=stored.pinned,
        )
        found.append((name, summary))
    return found


def _accepts(node: Node) -> bool:
    return node.peer is not None and extensions.WHITELIST in node.extensions
