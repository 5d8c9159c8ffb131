"""The server's core and some agents' cores, back to back: no process, no socket, no clock.

The server is `core/fleet.py` itself. Its store keeps what the effects said, once it was
committed; a restart begins from that alone. Time passes only to the moments that somebody
asked for, so that a deadline nobody asked for never comes.
"""

import heapq
import math
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from pushcli.protocol import extensions, messages
from pushcli.protocol.run import Outcome, RunSpec
from pushcli_agent.core import effects, events
from pushcli_agent.core.configuration import ServerConfig
from pushcli_agent.core.machine import handle as agent_handle
from pushcli_agent.core.state import Agent
from pushcli_agent.link.outgoing import Identity, Outgoing
from pushcli_server import persistence
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core import fleet_jobs
from pushcli_server.core.fleet import handle as fleet_handle
from pushcli_server.core.fleet_state import Fleet, Rules
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.core.job_state import Grace, JobSpec
from pushcli_server.core.node import Patience
from pushcli_server.core.states import NodeState
from pushcli_server.store import operations
from tests.unit.agent.core.script import STAMP, config, old_config
from tests.unit.joined.memory_store import MemoryStore

JOB = "1" * 32
ORG = "acme"
KEY = JobKey(ORG, JOB)
RULES = Rules(
    server_name="s",
    grace=Grace(voting=20, restart=20, lost=60),
    patience=Patience(interval=1.0, offline_threshold=3),
)


@dataclass
class Machine:
    """A node: what outlives its agent, and the agent that runs now."""

    key: NodeKey
    supervisors: dict[str, str] = field(default_factory=dict)
    """Jobs whose supervisors live, `committed` or `running`."""
    spool: dict[str, Outcome] = field(default_factory=dict)
    runs: Counter[str] = field(default_factory=Counter)
    number: int = 0
    agent: Agent = field(default_factory=lambda: Agent(random=lambda: 0.5))
    outgoing: Outgoing | None = None
    peer: bytes | None = None
    """Its connection to the server, if it stands."""
    to_server: deque[messages.NodeMessage] = field(default_factory=deque)
    to_agent: deque[messages.CommandMessage] = field(default_factory=deque)
    sequence: int = 0

    @property
    def curve_key(self) -> str:
        """Of this run of the agent."""
        return f"{self.key.name}-{self.number}"


class World:
    """One server, its store, a network, and machines.

    Args:
        offered: the extensions of the agents; none: they are as old ones, which keep no results.
    """

    def __init__(self, names: tuple[str, ...], offered: frozenset[str] = extensions.ALL) -> None:
        self.offered = offered
        self.now = 100.0
        self.store = MemoryStore()
        self.fleet = Fleet(RULES, "server-0")
        self.machines = {name: Machine(NodeKey(ORG, name)) for name in names}
        self.server_number = 0
        self.acknowledged: set[str] = set()
        """Nodes whose result the server said is stored."""
        self.aborted_at_work = False
        """Whether a node was aborted that had taken on a job which is not over."""
        self.voted: set[str] = set()
        """Nodes whose vote for the job was stored."""
        self.queue: deque[operations.Operation | on_fleet.Held] = deque()
        """What is submitted to the store, and what waits for it."""
        self.slow_store = False
        self._wakes: list[tuple[float, int, on_fleet.TimePassed]] = []
        self._ties = count()
        self._beat_at = self.now + 1.0
        self._signed = count(1)
        self._peers = count(1)
        self._beats = 0
        for machine in self.machines.values():
            self.boot(machine)

    # --- the server

    def start_job(self, quorum: int, run_timeout: float = 60.0, key: JobKey = KEY) -> None:
        spec = JobSpec(
            run=RunSpec(command="x", run_timeout=run_timeout),
            nodes=tuple(self.machines),
            quorum=quorum,
        )
        self.tell(on_fleet.JobRequested(job=key, spec=spec, requestor="ann", origin="here"))
        self.commit()

    def abort_job(self, key: JobKey = KEY) -> None:
        self.tell(on_fleet.AbortRequested(job=key, requestor="ann", origin="here"))

    def tell(self, event: on_fleet.Event) -> None:
        """One event, and its effects; the store commits at once unless it is slow."""
        for effect in fleet_handle(self.fleet, event, self.now):
            self._perform(effect)
        if not self.slow_store:
            self.commit()

    def commit(self) -> None:
        """The store catches up, and what waited for it goes on."""
        while self.queue:
            self.commit_next()

    def commit_next(self) -> None:
        """The store does the next thing that it was given, if there is one."""
        item = self.queue.popleft() if self.queue else None
        if isinstance(item, on_fleet.Held):
            for effect in fleet_handle(self.fleet, item, self.now):
                self._perform(effect)
        elif item is not None:
            self.store.apply(item)
            self._note_vote(item)

    def _note_vote(self, operation: operations.Operation) -> None:
        if isinstance(operation, operations.UpdateJobNodes) and operation.job_id == JOB:
            self.voted |= {c.node for c in operation.changes if c.state == "ready"}

    def _perform(self, effect: on_fleet.Effect) -> None:
        match effect:
            case on_fleet.OnceDurable(event):
                self.queue.append(event)
            case on_fleet.Send(node, peer, kind, fields):
                self._send(node, peer, kind(sequence=0, timestamp=STAMP, **fields))
            case on_fleet.WakeAt(subject, at):
                assert at < math.inf
                passed = on_fleet.TimePassed(subject, at)
                heapq.heappush(self._wakes, (at, next(self._ties), passed))
            case on_fleet.FindPart(node, message):
                part = self.store.job_nodes.get(message.job_id or "", {}).get(node.name)
                self.tell(
                    on_fleet.PartFound(
                        node=node,
                        message=message,
                        state=None if part is None else NodeState(part.state),
                        reported=part is not None and persistence.is_reported(part),
                    )
                )
            case (
                on_fleet.Publish()
                | on_fleet.CloseFeed()
                | on_fleet.CloseOrganization()
                | on_fleet.EndConnections()
                | on_fleet.ForgetPeer()
                | on_fleet.ForgetNode()
                | on_fleet.RecordNote()
                | on_fleet.CompareWhitelist()
                | on_fleet.ShowOutput()
            ):
                pass
            case _:
                self.queue.extend(persistence.operations_of(effect, self.now, _no_files))

    def _send(self, node: NodeKey, peer: bytes, message: messages.CommandMessage) -> None:
        """To the connection that the server means; lost if that is gone."""
        machine = self.machines.get(node.name) if node.org == ORG else None
        if isinstance(message, messages.Run) and message.job_id == JOB:
            self._check_run(node.name)
        if isinstance(message, messages.Abort):
            self.aborted_at_work |= fleet_jobs.is_at_work(self.fleet, node)
        if isinstance(message, messages.AckResult) and message.job_id == JOB:
            self.acknowledged.add(node.name)
        if machine is not None and machine.peer == peer:
            machine.sequence += 1
            # A message is immutable; its sequence is the connection's.
            rest = {f: getattr(message, f) for f in message.__struct_fields__ if f != "sequence"}
            machine.to_agent.append(type(message)(sequence=machine.sequence, **rest))

    def _check_run(self, name: str) -> None:
        record = self.store.jobs[JOB]
        assert record.status == "running", "run before that was stored"
        assert len(self.voted) >= record.quorum, "run without a quorum"
        assert self.store.job_nodes[JOB][name].state == "ready"
        job = self.fleet.jobs.get(KEY)
        assert job is not None, "run for a job that is over"
        assert job.has_unfinished(name), "run for a node whose part is over"

    def restart_server(self) -> None:
        """What was not committed is lost, and so is every connection."""
        self.queue.clear()
        self._wakes.clear()
        self.server_number += 1
        for machine in self.machines.values():
            self.disconnect(machine)
        self.fleet = Fleet(RULES, f"server-{self.server_number}")
        self.tell(
            persistence.restored(
                nodes=self.store.nodes.values(),
                clients=dict.fromkeys(self.store.nodes, ""),
                jobs=self.store.live_jobs(),
                grace=RULES.grace,
                held=lambda *_: 0,
            )
        )

    @property
    def is_quiet(self) -> bool:
        """Whether the server answers heartbeats, and nobody listens to its own."""
        return extensions.QUIET in self.offered

    @property
    def states(self) -> dict[str, NodeState]:
        """Of the job's nodes, as they are stored."""
        return {name: NodeState(part.state) for name, part in self.store.job_nodes[JOB].items()}

    # --- the network

    def connect(self, machine: Machine) -> None:
        admitted = self.fleet.admits(machine.curve_key, self.now)
        if machine.peer is None and machine.agent.link.config is not None and admitted:
            machine.peer = b"%d" % next(self._peers)
            machine.sequence = 0
            self.take(machine, events.Connected())

    def disconnect(self, machine: Machine) -> None:
        """What is on its way is lost, in both directions."""
        if machine.peer is not None:
            self._hang_up(machine)
            self.take(machine, events.Disconnected())

    def _hang_up(self, machine: Machine) -> None:
        was_there, machine.peer = machine.peer is not None, None
        machine.to_server.clear()
        machine.to_agent.clear()
        if was_there:
            self.tell(on_fleet.ConnectionEnded(machine.key))

    def deliver_to_server(self, machine: Machine) -> None:
        if machine.to_server and machine.peer is not None:
            message = machine.to_server.popleft()
            self.tell(on_fleet.MessageReceived(machine.key, machine.peer, "", message))

    def deliver_to_agent(self, machine: Machine) -> None:
        if machine.to_agent:
            self.take(machine, events.CommandReceived(machine.to_agent.popleft()))

    def pretend(self, kind: Any, name: str) -> None:
        """A node of another organization, of the same name, speaks of our job."""
        message = kind(
            node=name, org="other", incarnation_id="o", job_id=JOB, timestamp=STAMP,
            sequence=next(self._signed),
        )  # fmt: skip
        self.tell(on_fleet.MessageReceived(NodeKey("other", name), b"o", "", message))

    # --- machines

    def boot(self, machine: Machine) -> None:
        """A new run of the agent: it adopts what runs and what was spooled."""
        machine.number += 1
        self._hang_up(machine)
        machine.agent = Agent(random=lambda: 0.5)
        identity = Identity(
            node=machine.key.name, org=ORG, client="c", incarnation_id=f"run-{machine.number}"
        )
        machine.outgoing = Outgoing(identity, lambda *_: b"")
        # What never ran ended with the agent: its pipe closed.
        machine.supervisors = {j: s for j, s in machine.supervisors.items() if s == "running"}
        self.take(machine, events.Started(tuple(machine.supervisors), tuple(machine.spool.items())))

    def end_command(self, machine: Machine, outcome: Outcome | None) -> None:
        for job_id, state in list(machine.supervisors.items()):
            del machine.supervisors[job_id]
            if state == "running" and outcome is not None:
                machine.spool[job_id] = outcome
            kept = outcome if state == "running" else None
            self.take(machine, events.JobEnded(job_id, kept))

    def take(self, machine: Machine, event: events.Event) -> None:
        queue: deque[events.Event] = deque([event])
        while queue:
            for effect in agent_handle(machine.agent, queue.popleft(), self.now):
                queue.extend(self._do(machine, effect))

    def _do(self, machine: Machine, effect: effects.Effect) -> list[events.Event]:
        match effect:
            case effects.FetchConfig(adopts=adopts):
                self._configure(machine, frozenset(adopts))
                return [events.Configured(self._configuration())]
            case effects.Connect():
                self._hang_up(machine)
            case effects.StartSupervisor(job_id=job_id):
                machine.supervisors[job_id] = "committed"
                return [events.SupervisorStarted(job_id)]
            case effects.StartCommand(job_id=job_id):
                machine.runs[job_id] += 1
                assert machine.runs[job_id] == 1, f"{machine.key.name} ran a job twice"
                machine.supervisors[job_id] = "running"
            case effects.AbortJob(job_id=job_id):
                if machine.supervisors.pop(job_id, None) is not None:
                    return [events.JobEnded(job_id, Outcome(signal=15, aborted=True))]
            case effects.DiscardSpool(job_id=job_id):
                machine.spool.pop(job_id, None)
            case effects.SendHeartbeat() | effects.Answer() | effects.SendResult():
                assert machine.outgoing is not None
                body = machine.outgoing.body(effect, 65_536)
                if machine.peer is not None:
                    machine.to_server.append(messages.decode_node_message(body))
            case _:
                pass
        return []

    def _configuration(self) -> ServerConfig:
        incarnation_id = f"server-{self.server_number}"
        if self.is_quiet:
            interval = RULES.patience.quiet_interval
            return config(incarnation_id=incarnation_id, quiet_interval=interval)
        if self.offered:
            return config(incarnation_id=incarnation_id)
        return old_config(incarnation_id=incarnation_id)

    def _configure(self, machine: Machine, adopts: frozenset[str]) -> None:
        """The answer waits for the store, as REST does."""
        deletions = self.fleet.deletions.count
        curve_key = machine.curve_key
        self.tell(
            on_fleet.ConfigurationRequested(
                node=machine.key,
                curve_key=curve_key,
                offered=self.offered,
                adopts=adopts,
                deletions=deletions,
            )
        )
        self.commit()
        self.tell(
            on_fleet.ConfigurationStored(node=machine.key, curve_key=curve_key, deletions=deletions)
        )

    # --- time

    def pass_time(self, seconds: float) -> None:
        """Time passes, from one moment that somebody asked for to the next."""
        end = self.now + seconds
        while (moment := self._next_moment()) <= end:
            self.now = max(self.now, moment)
            self._moment()
        self.now = end

    def stall(self, seconds: float) -> None:
        """The server stands still, and the others go on: what is due is late, and it says so."""
        end = self.now + seconds
        agents = list(self.machines.values())
        while (moment := min(machine.agent.deadline() for machine in agents)) <= end:
            self.now = max(self.now, moment)
            for machine in agents:
                if machine.agent.deadline() <= self.now:
                    self.take(machine, events.TimePassed())
        self.now = end
        self.tell(on_fleet.Stalled(seconds))

    def _next_moment(self) -> float:
        agents = min(machine.agent.deadline() for machine in self.machines.values())
        server = self._wakes[0][0] if self._wakes else math.inf
        return min(agents, server, self._beat_at)

    def _moment(self) -> None:
        if self._beat_at <= self.now:
            self._beat()
        for machine in self.machines.values():
            if machine.agent.deadline() <= self.now:
                self.take(machine, events.TimePassed())
        while self._wakes and self._wakes[0][0] <= self.now:
            self.tell(heapq.heappop(self._wakes)[2])

    def _beat(self) -> None:
        self._beat_at = self.now + 1.0
        if self.is_quiet:
            return
        self._beats += 1
        message = messages.ServerHeartbeat(
            sequence=self._beats, timestamp=STAMP, server="s",
            incarnation_id=f"server-{self.server_number}",
        )  # fmt: skip
        for machine in self.machines.values():
            if machine.peer is not None:
                self.take(machine, events.ServerHeard(message))

    def calm_down(self, outcome: Outcome) -> None:
        """Everybody connects, everything is delivered, commands end, deadlines pass."""
        self.slow_store = False
        self.commit()
        for round_ in range(400):
            for machine in self.machines.values():
                self.connect(machine)
                while machine.to_server or machine.to_agent:
                    self.deliver_to_server(machine)
                    self.deliver_to_agent(machine)
                if round_ % 10 == 9:
                    self.end_command(machine, outcome)
            self.pass_time(0.5)


def _no_files(name: str) -> Path:
    raise AssertionError(f"nobody here writes output ({name})")
