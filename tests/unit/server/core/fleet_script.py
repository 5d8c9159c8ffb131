"""A fleet with a clock and a store that commits when it is told to: tests read as scripts.

Time passes only to moments that effects asked for.
"""

import heapq
import itertools
from collections import deque
from typing import Any, TypeVar

from pushcli.protocol import extensions, messages
from pushcli.protocol.run import RunSpec
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.fleet import handle
from pushcli_server.core.fleet_state import Fleet, Rules
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.core.job_state import Grace, Job, JobSpec
from pushcli_server.core.node import Patience
from pushcli_server.core.states import NodeState

USUAL = extensions.ALL - {extensions.QUIET}
"""What most agents here offer: those that are heard at every interval."""
STAMP = "Mon, 23 Nov 2026 20:43:16 GMT"
JOB = JobKey("acme", "1" * 32)
A, B = NodeKey("acme", "a"), NodeKey("acme", "b")
RULES = Rules(
    server_name="push",
    grace=Grace(voting=20, restart=30, lost=100),
    patience=Patience(interval=1.0, offline_threshold=3),
    lifetime=600,
)
E = TypeVar("E", bound=on_fleet.Effect)


class Script:
    """One fleet. `done` has all effects so far."""

    def __init__(self, *, slow_store: bool = False, rules: Rules = RULES) -> None:
        self.fleet = Fleet(rules)
        self.now = 1000.0
        self.slow_store = slow_store
        self.done: list[on_fleet.Effect] = []
        self._held: deque[on_fleet.Held] = deque()
        self._wakes: list[tuple[float, int, on_fleet.TimePassed]] = []
        self._count = itertools.count(1)

    def tell(self, event: on_fleet.Event) -> list[on_fleet.Effect]:
        """One event; all effects that it has, at once or once they may."""
        begin = len(self.done)
        for effect in handle(self.fleet, event, self.now):
            self.done.append(effect)
            if isinstance(effect, on_fleet.WakeAt):
                passed = on_fleet.TimePassed(effect.subject, effect.at)
                heapq.heappush(self._wakes, (effect.at, next(self._count), passed))
            elif isinstance(effect, on_fleet.OnceDurable):
                self._held.append(effect.event)
        if not self.slow_store:
            self.commit()
        return self.done[begin:]

    def commit(self) -> None:
        """All that was saved is durable."""
        while self._held:
            self.tell(self._held.popleft())

    def wait(self, seconds: float) -> list[on_fleet.Effect]:
        """Let time pass."""
        begin, end = len(self.done), self.now + seconds
        while self._wakes and self._wakes[0][0] <= end:
            self.now = max(self.now, self._wakes[0][0])
            self.tell(heapq.heappop(self._wakes)[2])
        self.now = end
        return self.done[begin:]

    def hear(
        self, node: NodeKey, kind: type[messages.NodeMessage] = messages.Heartbeat, **fields: Any
    ) -> list[on_fleet.Effect]:
        """A message of a node on its usual connection."""
        if kind is messages.Heartbeat:
            fields.setdefault("job_state", "idle")
        peer = fields.pop("peer", node.name.encode())
        fields = {"incarnation_id": f"run of {node.name}", "job_id": None, **fields}
        own = self.fleet.nodes.get(node)
        curve_key = fields.pop("curve_key", (own and own.curve_key) or "")
        message = kind(
            node=node.name, org=node.org, sequence=next(self._count), timestamp=STAMP, **fields
        )
        return self.tell(on_fleet.MessageReceived(node, peer, "192.0.2.1", message, curve_key))

    def configure(
        self,
        node: NodeKey,
        key: str = "key 1",
        *,
        offered: frozenset[str] = USUAL,
        adopts: frozenset[str] = frozenset(),
        repeated: bool = False,
        client_key: str = "",
    ) -> list[on_fleet.Effect]:
        """A node's client asks for its configuration, and gets it.

        Args:
            client_key: that signed the request.
            repeated: with the signature of a request before.
        """
        deletions = self.fleet.deletions.count
        begin = len(self.done)
        self.tell(
            on_fleet.ConfigurationRequested(
                node=node,
                curve_key=key,
                offered=offered,
                adopts=adopts,
                deletions=deletions,
                client_key=client_key,
                repeated=repeated,
            )
        )
        if repeated:
            return self.done[begin:]
        stored = on_fleet.ConfigurationStored(
            node=node, curve_key=key, deletions=deletions, client_key=client_key
        )
        self.tell(stored)
        return self.done[begin:]

    def bring(self, *nodes: NodeKey, offered: frozenset[str] = USUAL) -> None:
        """These nodes come, and are available."""
        for node in nodes:
            self.configure(node, f"key of {node.name} in {node.org}", offered=offered)
            self.hear(node)
            self.hear(node, messages.Aborted)
            assert self.fleet.why_unavailable(node, self.now) is None

    def keep_alive(self, seconds: float, *nodes: NodeKey, **doing: Any) -> None:
        """Time in which these nodes send their heartbeats."""
        for _ in range(int(seconds)):
            self.wait(1.0)
            for node in nodes:
                self.hear(node, **doing)

    def start(
        self,
        *nodes: NodeKey,
        quorum: int | None = None,
        run_timeout: float = 50.0,
        **run: Any,
    ) -> list[on_fleet.Effect]:
        """A job on these nodes."""
        spec = JobSpec(
            run=RunSpec(command="x", run_timeout=run_timeout, **run),
            nodes=tuple(node.name for node in nodes),
            quorum=len(nodes) if quorum is None else quorum,
        )
        return self.tell(
            on_fleet.JobRequested(job=JOB, spec=spec, requestor="ann", origin="192.0.2.7")
        )

    def run(self, *nodes: NodeKey, offered: frozenset[str] = USUAL, **more: Any) -> None:
        """A job that runs on these nodes."""
        self.bring(*nodes, offered=offered)
        self.start(*nodes, **more)
        for node in nodes:
            self.hear(node, messages.AckCommit, job_id=JOB.id)
        for node in nodes:
            self.hear(node, messages.AckRun, job_id=JOB.id)
        assert set(self.job.nodes.values()) == {NodeState.RUNNING}

    @property
    def job(self) -> Job:
        """The job, live or just ended."""
        job = self.fleet.job(JOB)
        assert job is not None
        return job

    def state(self, node: NodeKey) -> NodeState:
        """Of a node in the job."""
        return self.job.nodes[node.name]


def restarted(fleet: Script, *nodes: NodeKey, rules: Rules = RULES) -> Script:
    """Another run of the server, which knows what this one saved."""
    again = Script(rules=rules)
    again.now = fleet.now
    known = tuple(
        on_fleet.KnownNode(
            key=key,
            incarnation=fleet.fleet.nodes[key].incarnation,
            extensions=fleet.fleet.nodes[key].extensions,
            configured_at=fleet.fleet.nodes[key].configured_at,
            curve_key=fleet.fleet.nodes[key].curve_key,
            previous_curve_key=fleet.fleet.nodes[key].previous_curve_key,
            client_key=fleet.fleet.nodes[key].client_key,
            previous_client_key=fleet.fleet.nodes[key].previous_client_key,
        )
        for key in nodes
    )
    again.tell(on_fleet.Restored(known, tuple(fleet.fleet.jobs.values())))
    return again


def of(kind: type[E], effects: list[on_fleet.Effect]) -> list[E]:
    """The effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


def sent(effects: list[on_fleet.Effect], node: NodeKey) -> list[type[messages.CommandMessage]]:
    """What is sent to a node."""
    return [effect.kind for effect in of(on_fleet.Send, effects) if effect.node == node]
