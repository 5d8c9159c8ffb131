"""What REST asks about nodes: who is there, and why not."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec

from pushcli_server.clock import Clock
from pushcli_server.core.fleet_state import Fleet
from pushcli_server.core.identity import NodeKey
from pushcli_server.core.node import Node, Phase
from pushcli_server.facts import Facts
from pushcli_server.store import Store, chef_nodes
from pushcli_server.whitelist_push import Summary, WhitelistPush


class NodesElsewhere(Protocol):
    """Nodes of a Chef Infra Server."""

    async def names(self, org: str) -> tuple[list[str], list[str]]:
        """The nodes that there are, and those that were deleted and may still be connected."""

    async def read(self, org: str, names: Sequence[str]) -> list[str]:
        """Read these nodes now; agents hear of what changed. Returns those that there are not."""

    async def refresh(self, org: str, names: Sequence[str]) -> None:
        """The same for somebody who looks at them, where it is possible and not just done."""


class NodeService:
    """Shows nodes' states, and hears of changes to node objects.

    Args:
        elsewhere: None: the nodes are our own.
    """

    def __init__(
        self,
        fleet: Fleet,
        clock: Clock,
        store: Store,
        whitelists: WhitelistPush,
        facts: Facts,
        elsewhere: NodesElsewhere | None = None,
    ) -> None:
        self._fleet = fleet
        self._clock = clock
        self._store = store
        self._whitelists = whitelists
        self._facts = facts
        self.elsewhere = elsewhere

    async def states(self, org: str) -> Iterator[dict[str, str]]:
        """The body of `GET node_states`: all nodes that there are, by name."""
        names = await self._names(org)
        return (self.state(NodeKey(org, name)) for name in names)

    def state(self, key: NodeKey) -> dict[str, str]:
        """The body of `GET node_states/NODE`; an unknown node is offline."""
        node = self._fleet.nodes.get(key)
        online = node is not None and node.phase is not Phase.OFFLINE
        now = self._clock.now()
        paused = self._fleet.pause(key, now) is not None
        available = not paused and self._fleet.why_unavailable(key, now) is None
        return {
            "node_name": key.name,
            "status": "online" if online else "offline",
            "availability": "available" if available else "unavailable",
        }

    async def statuses(self, org: str) -> Iterator[dict[str, Any]]:
        """What is known of all nodes that there are, by name; more than their states."""
        return await self._statuses(org, await self._names(org))

    async def status(self, key: NodeKey) -> dict[str, Any]:
        """What is known of one node."""
        return next(await self._statuses(key.org, [key.name]))

    async def _names(self, org: str) -> list[str]:
        if self.elsewhere is not None:
            there, gone = await self.elsewhere.names(org)
            # Whose agent comes before chef-client has made its node object is a node, too.
            return sorted({*there, *(self._connected(org) - set(gone))})
        names = set(await self._store.lists.ask(chef_nodes.enrolled, org))
        return sorted(names | {node.name for node in self._fleet.nodes if node.org == org})

    def _connected(self, org: str) -> set[str]:
        nodes = self._fleet.nodes.items()
        return {key.name for key, node in nodes if key.org == org and node.peer is not None}

    async def _statuses(self, org: str, names: list[str]) -> Iterator[dict[str, Any]]:
        reports = await self._whitelists.summaries(org, names)
        # All of a node's state is of one moment: nothing is awaited in between.
        return (self._status(NodeKey(org, name), reports.get(name)) for name in names)

    def _status(self, key: NodeKey, report: Summary | None) -> dict[str, Any]:
        jobs = sorted(job.id for job in self._fleet.busy.get(key, ()))
        status: dict[str, Any] = {**self.state(key), "jobs": jobs}
        now, node = self._clock.now(), self._fleet.nodes.get(key)
        reason = self._fleet.why_unavailable(key, now)
        if (pause := self._fleet.pause(key, now)) is not None:
            status["paused"] = {
                "reason": pause.reason,
                "by": pause.by.name,
                "since": pause.at,
                "until": pause.until + self._fleet.offset,
            }
            reason = reason or pause.why
        if reason is not None:
            status["reason"] = reason
            if node is not None and node.clock_ahead is not None:
                status["clock_ahead"] = round(node.clock_ahead, 1)
        if node is not None:
            status |= self._contact(node)
        status["whitelist"] = None
        if report is not None:
            whitelist = msgspec.structs.asdict(report)
            opened, pinned = whitelist.pop("open"), whitelist.pop("pinned")
            status["whitelist"] = whitelist
            if pinned is not None:
                status["pinned"] = [
                    {"editor": one.editor, "key": one.key, "first_use": one.first_use}
                    for one in pinned
                ]
            if opened is not None:
                status["open"] = opened
        return status

    def _contact(self, node: Node) -> dict[str, Any]:
        """What its agent is, and when it was heard of; before our start, by what is stored."""
        last = max(node.heard_at, node.configured_at)
        if last <= 0:
            return {}
        return {"agent": node.agent or "ruby", "last_contact": last + self._fleet.offset}

    def changed(self, org: str, names: Sequence[str]) -> None:
        """Attributes of these nodes were changed: their agents are to hear of it."""
        self._whitelists.changed(org, names)
        for name in names:
            self._facts.forget(NodeKey(org, name))
