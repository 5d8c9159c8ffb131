"""A server's and some agents' pure cores, back to back: no process, no socket, no clock.

The driver around the server's cores mirrors `pushcli_server.engine`; what is stored is what
the effects said so, and a restart of the server begins from that alone.
"""

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from pushcli.protocol import extensions, messages
from pushcli_agent.core import effects, events
from pushcli_agent.core.machine import handle as agent_handle
from pushcli_agent.core.state import Agent
from pushcli_agent.link.outgoing import Identity, Outgoing
from pushcli_server.core import job as job_core
from pushcli_server.core import job_events as on_job
from pushcli_server.core import node as node_core
from pushcli_server.core.job import Grace, Job, JobSpec
from pushcli_server.core.node import Interest, Node, Patience
from pushcli_server.core.states import JobStatus, NodeState
from tests.unit.agent.core.script import STAMP, config

JOB = "1" * 32
ORG = "acme"
_PATIENCE = Patience(interval=1.0, offline_threshold=3)


@dataclass
class Machine:
    """A node: what outlives its agent, and the agent that runs now."""

    name: str
    supervisors: dict[str, str] = field(default_factory=dict)
    """Jobs whose supervisors live, `committed` or `running`."""
    spool: dict[str, events.Outcome] = field(default_factory=dict)
    runs: Counter[str] = field(default_factory=Counter)
    number: int = 0
    agent: Agent = field(default_factory=lambda: Agent(random=lambda: 0.5))
    outgoing: Outgoing | None = None
    peer: bytes | None = None
    """Its connection to the server, if it stands."""
    fresh: bool = True
    to_server: deque[messages.NodeMessage] = field(default_factory=deque)
    to_agent: deque[messages.CommandMessage] = field(default_factory=deque)
    sequence: int = 0


class World:
    """One server, its store, a network, and machines."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.now = 100.0
        self.connections = 0
        self.machines = {name: Machine(name) for name in names}
        self.stored: dict[str, NodeState] = {}
        self.stored_job: dict[str, Any] = {}
        self.results: set[str] = set()
        self.voted: set[str] = set()
        """Nodes whose vote for the job was stored."""
        self.finals: dict[str, NodeState] = {}
        self.nodes: dict[str, Node] = {}
        self.job: Job | None = None
        self.ended_at = -math.inf
        self.server_number = 0
        self.beats = 0
        self._renew_nodes({})
        for machine in self.machines.values():
            self.boot(machine)

    # --- the server

    def _renew_nodes(self, known: dict[str, tuple[str | None, frozenset[str]]]) -> None:
        self.nodes = {name: Node(org=ORG, name=name, patience=_PATIENCE) for name in self.machines}
        for name, (incarnation, offered) in known.items():
            self.nodes[name].incarnation = incarnation
            self.nodes[name].extensions = offered

    def start_job(self, quorum: int, run_timeout: float = 60.0) -> None:
        spec = JobSpec(
            command="x", nodes=tuple(self.machines), quorum=quorum, run_timeout=run_timeout
        )
        self.job = Job(
            id=JOB, org=ORG, spec=spec, requestor="ann", created_at=self.now, updated_at=self.now,
            grace=Grace(voting=20, restart=20, lost=60),
        )  # fmt: skip
        down = {n: "down" for n, node in self.nodes.items() if not node.available(self.now)}
        self.tell_job(on_job.Started(down))

    def restart_server(self) -> None:
        known = {n: (node.incarnation, node.extensions) for n, node in self.nodes.items()}
        self.server_number += 1
        for machine in self.machines.values():
            self.disconnect(machine)
        self._renew_nodes(known)
        live = self.stored_job.get("status") in {JobStatus.VOTING, JobStatus.RUNNING}
        former, self.job = self.job, None
        if live and former is not None:
            self.job = Job(
                id=JOB, org=ORG, spec=former.spec, requestor="ann", created_at=0, updated_at=0,
                grace=former.grace, nodes=dict(self.stored), **self.stored_job,
            )  # fmt: skip
            self.tell_job(on_job.Resumed())

    def tell_job(self, event: on_job.Event) -> None:
        if self.job is None or self.job.status.is_final:
            return
        for effect in job_core.handle(self.job, event, self.now):
            self._perform(self.job, effect)

    def _perform(self, job: Job, effect: on_job.Effect) -> None:
        match effect:
            case on_job.SaveNew():
                self.stored = dict(job.nodes)
                self._store_job(job)
            case on_job.SaveJob():
                self._store_job(job)
            case on_job.SaveNodes(changes):
                for change in changes:
                    assert change.node not in self.finals, "a final state changed"
                    self.stored[change.node] = change.state
                    if change.state is NodeState.READY:
                        self.voted.add(change.node)
                    if change.state.is_final:
                        self.finals[change.node] = change.state
            case on_job.SendCommit(nodes):
                for name in nodes:
                    self.send(name, messages.Commit, job_id=JOB, command="x", run_timeout=60.0)
            case on_job.SendRun(nodes):
                assert self.stored_job["status"] is JobStatus.RUNNING, "run before it was stored"
                assert len(self.voted) >= job.spec.quorum, "run without a quorum"
                for name in nodes:
                    assert self.stored[name] is NodeState.READY
                    self.send(name, messages.Run, job_id=JOB)
            case on_job.Reset(nodes):
                for name in nodes:
                    self.tell_node(name, node_core.ResetRequested())
            case on_job.Ended():
                self.ended_at = self.now
            case _:
                pass

    def _store_job(self, job: Job) -> None:
        self.stored_job = {
            "status": job.status,
            "voting_deadline": job.voting_deadline,
            "run_deadline": job.run_deadline,
        }

    def tell_node(self, name: str, event: node_core.Event) -> None:
        node = self.nodes[name]
        for effect in node_core.handle(node, event, self.now):
            match effect:
                case node_core.SendAbort():
                    self.send(name, messages.Abort)
                case node_core.SendAck():
                    self.send(name, messages.Ack)
                case node_core.Forward(message):
                    self._forward(name, message)
                case node_core.TellDown(spools):
                    self._tell_about(name, on_job.NodeDown(name, spools))
                case node_core.TellRestarted(keeps):
                    if JOB not in keeps:
                        self._tell_about(name, on_job.NodeRestarted(name))
                case node_core.TellReconnected():
                    self._tell_about(name, on_job.Reconnected(name))
                case _:
                    pass

    def _tell_about(self, name: str, event: on_job.Event) -> None:
        if self.job is not None and self.job.has_unfinished(name):
            self.tell_job(event)

    def _interest(self, name: str, job_id: str | None) -> Interest:
        if job_id is None:
            return Interest.NONE
        if self.job is None or self.job.status.is_final:
            recent = self.job is not None and self.now - self.ended_at < 5
            return Interest.ENDED if recent else Interest.UNKNOWN
        return Interest.ACTIVE if self.job.has_unfinished(name) else Interest.OVER

    def _forward(self, name: str, message: messages.NodeMessage) -> None:
        live = self.job is not None and not self.job.status.is_final
        match message:
            case messages.Heartbeat():
                doing = message.job_state if message.job_id == JOB else "idle"
                pending = JOB in (message.pending_results or [])
                self._tell_about(name, on_job.HeartbeatReceived(name, doing, pending))
            case messages.Succeeded() | messages.Failed():
                self.results.add(name)
                if live:
                    succeeded = isinstance(message, messages.Succeeded)
                    self.tell_job(on_job.ResultReceived(name, succeeded, message.spooled))
                self.send(name, messages.AckResult, job_id=JOB)
            case messages.Aborted(job_id=None):
                self._tell_about(name, on_job.UnexpectedReceived(name))
            case messages.AckCommit() | messages.NackCommit() if live:
                ready = isinstance(message, messages.AckCommit)
                self.tell_job(on_job.VoteReceived(name, ready))
            case messages.AckRun() | messages.NackRun() if live:
                self.tell_job(on_job.RunAnswered(name, isinstance(message, messages.AckRun)))
            case messages.Aborted() if live:
                self.tell_job(on_job.UnexpectedReceived(name))
            case _:
                pass

    def send(self, name: str, kind: type, **fields: Any) -> None:
        """To the connection that the server knows; lost if that is gone."""
        machine = self.machines[name]
        if machine.peer is not None and self.nodes[name].peer == machine.peer:
            machine.sequence += 1
            machine.to_agent.append(kind(sequence=machine.sequence, timestamp=STAMP, **fields))

    # --- the network

    def connect(self, machine: Machine) -> None:
        if machine.peer is None and machine.agent.link.config is not None:
            self.connections += 1
            machine.peer = b"%d" % self.connections
            machine.sequence = 0
            self.take(machine, events.Connected())

    def disconnect(self, machine: Machine) -> None:
        """What is on its way is lost, in both directions."""
        if machine.peer is not None:
            machine.peer = None
            machine.to_server.clear()
            machine.to_agent.clear()
            self.take(machine, events.Disconnected())

    def deliver_to_server(self, machine: Machine) -> None:
        if machine.to_server and machine.peer is not None:
            message = machine.to_server.popleft()
            interest = self._interest(machine.name, message.job_id)
            received = node_core.Received(machine.peer, message, interest)
            self.tell_node(machine.name, received)

    def deliver_to_agent(self, machine: Machine) -> None:
        if machine.to_agent:
            self.take(machine, events.CommandReceived(machine.to_agent.popleft()))

    # --- machines

    def boot(self, machine: Machine) -> None:
        """A new run of the agent: it adopts what runs and what was spooled."""
        machine.number += 1
        machine.peer = None
        machine.to_server.clear()
        machine.to_agent.clear()
        machine.fresh = True
        machine.agent = Agent(random=lambda: 0.5)
        identity = Identity(
            node=machine.name, org=ORG, client="c", incarnation_id=f"run-{machine.number}"
        )
        machine.outgoing = Outgoing(identity, lambda *_: b"")
        # What never ran ended with the agent: its pipe closed.
        machine.supervisors = {j: s for j, s in machine.supervisors.items() if s == "running"}
        self.take(machine, events.Started(tuple(machine.supervisors), tuple(machine.spool.items())))

    def end_command(self, machine: Machine, outcome: events.Outcome | None) -> None:
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
                new, machine.fresh = machine.fresh, False
                self.tell_node(
                    machine.name,
                    node_core.Configured(new, extensions.ALL, frozenset(adopts)),
                )
                answer = config(incarnation_id=f"server-{self.server_number}")
                return [events.Configured(answer)]
            case effects.Connect():
                machine.peer = None
                machine.to_server.clear()
                machine.to_agent.clear()
            case effects.StartSupervisor(commit=commit):
                machine.supervisors[str(commit.job_id)] = "committed"
                return [events.SupervisorStarted(str(commit.job_id))]
            case effects.TellRun(job_id=job_id):
                machine.runs[job_id] += 1
                assert machine.runs[job_id] == 1, f"{machine.name} ran a job twice"
                machine.supervisors[job_id] = "running"
            case effects.AbortJob(job_id=job_id):
                if machine.supervisors.pop(job_id, None) is not None:
                    return [events.JobEnded(job_id, events.Outcome(signal=15, aborted=True))]
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

    # --- time

    def pass_time(self, seconds: float) -> None:
        """Time passes in small steps; whoever waits for it is told."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 0.5)
            self.beats += 1
            for machine in self.machines.values():
                if self.beats % 2 == 0 and machine.peer is not None:
                    self.take(machine, events.ServerHeard(self._server_heartbeat()))
                if machine.agent.deadline() <= self.now:
                    self.take(machine, events.TimePassed())
            for name, node in self.nodes.items():
                if node.deadline() <= self.now:
                    self.tell_node(name, node_core.TimePassed())
            self.tell_job(on_job.TimePassed())

    def _server_heartbeat(self) -> messages.ServerHeartbeat:
        return messages.ServerHeartbeat(
            sequence=self.beats, timestamp=STAMP, server="s",
            incarnation_id=f"server-{self.server_number}",
        )  # fmt: skip

    def calm_down(self, outcome: events.Outcome) -> None:
        """Everybody connects, everything is delivered, commands end, deadlines pass."""
        for round_ in range(400):
            for machine in self.machines.values():
                self.connect(machine)
                while machine.to_server or machine.to_agent:
                    self.deliver_to_server(machine)
                    self.deliver_to_agent(machine)
                if round_ % 10 == 9:
                    self.end_command(machine, outcome)
            self.pass_time(0.5)
