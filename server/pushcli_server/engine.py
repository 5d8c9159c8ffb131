"""The loop around the pure machines: events in, effects carried out, in order.

Nodes and live jobs are kept here, in memory; the store has them too. An effect that stores
something takes a ticket, and what leaves the server after it waits for that ticket.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, assert_never

from pushcli.protocol import extensions, messages
from pushcli_server.channel.admissions import Admission
from pushcli_server.channel.command_channel import CommandChannel
from pushcli_server.clock import Clock
from pushcli_server.core import job as job_core
from pushcli_server.core import job_events as on_job
from pushcli_server.core import node as node_core
from pushcli_server.core.job import Grace, Job
from pushcli_server.core.node import Interest, Node, Patience
from pushcli_server.core.states import JobStatus
from pushcli_server.feeds import Feeds
from pushcli_server.persistence import Persistence
from pushcli_server.release import Releases
from pushcli_server.timers import Timers

ENDED_KEPT = 5.0
"""Seconds for which an ended job swallows late messages and its feed can be had."""

NodeKey = tuple[str, str]
"""Organization and node."""
_M = TypeVar("_M", bound=messages.Message)


@dataclass(slots=True)
class Fleet:
    """Everything live. `busy` has the live jobs in which a node's part is not over."""

    nodes: dict[NodeKey, Node] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    ended: dict[str, Job] = field(default_factory=dict)
    busy: dict[NodeKey, set[str]] = field(default_factory=dict)


class Engine:
    """Carries events to the machines and their effects to the store and the channel.

    Args:
        server_name: what commits say of who sent them.
    """

    def __init__(
        self,
        *,
        server_name: str,
        grace: Grace,
        patience: Patience,
        clock: Clock,
        persistence: Persistence,
        releases: Releases,
        feeds: Feeds,
    ) -> None:
        self.fleet = Fleet()
        self.clock = clock
        self.grace = grace
        self.feeds = feeds
        self.releases = releases
        self.timers = Timers(clock)
        self._channel: CommandChannel | None = None
        self._server_name = server_name
        self._patience = patience
        self.persistence = persistence
        self._due: dict[NodeKey, float] = {}
        self._votes: dict[str, asyncio.Event] = {}
        # The results' side of things registers itself here.
        self.on_result: Callable[[Node, messages.Succeeded | messages.Failed, Interest], None]
        self.on_output: Callable[[Node, messages.Output], None]
        # And here what concerns nodes, not jobs.
        self.on_note: Callable[[Node, messages.Note], None]
        self.on_whitelist_digest: Callable[[Node, str | None], None]

    def connect(self, channel: CommandChannel) -> None:
        """Send through this channel from now on."""
        self._channel = channel

    # --- from outside

    def node(self, org: str, name: str) -> Node:
        """The node of this name; one that was never heard of begins offline."""
        key = (org, name)
        if key not in self.fleet.nodes:
            self.fleet.nodes[key] = Node(org=org, name=name, patience=self._patience)
        return self.fleet.nodes[key]

    def receive(
        self, admission: Admission, address: str, peer: bytes, message: messages.NodeMessage
    ) -> None:
        """A verified message of a node."""
        node = self.node(admission.org, admission.node)
        interest = self._interest(node, message.job_id)
        former = node.peer
        self.tell_node(node, node_core.Received(peer, message, interest, address))
        if former is not None and former != node.peer and self._channel is not None:
            self._channel.forget(former)

    def expel(self, org: str, name: str) -> None:
        """The node's client was deleted: nothing goes to its connection any more."""
        node = self.fleet.nodes.get((org, name))
        if node is None:
            return
        former = node.peer
        self.tell_node(node, node_core.Expelled())
        if former is not None and self._channel is not None:
            self._channel.forget(former)

    def begin(self, job: Job) -> None:
        """Take a job in, new or from the store."""
        self.fleet.jobs[job.id] = job
        for name in job.nodes:
            if job.has_unfinished(name):
                self.fleet.busy.setdefault((job.org, name), set()).add(job.id)

    def tell_job(self, job: Job, event: on_job.Event) -> None:
        """One event for a live job."""
        for effect in job_core.handle(job, event, self.clock.now()):
            self._perform(job, effect)

    def tell_node(self, node: Node, event: node_core.Event) -> None:
        """One event for a node."""
        for effect in node_core.handle(node, event, self.clock.now()):
            self._perform_for(node, effect)
        self._schedule(node)

    def send(self, node: Node, kind: type[_M], **fields: Any) -> None:
        """Send to the node's current connection, if there is one; a lost message is ordinary."""
        if node.peer is not None and self._channel is not None:
            self._channel.send(node.peer, node.org, node.name, kind, **fields)

    def tell_jobs_of(
        self, node: Node, event: on_job.Event, but: frozenset[str] = frozenset()
    ) -> None:
        """The same event for every live job in which this node's part is not over."""
        for job_id in list(self.fleet.busy.get((node.org, node.name), ())):
            if job_id not in but and (job := self.fleet.jobs.get(job_id)) is not None:
                self.tell_job(job, event)

    async def vote_over(self, job: Job) -> None:
        """Wait until this live job's vote is over."""
        if job.status is JobStatus.VOTING:
            await self._votes.setdefault(job.id, asyncio.Event()).wait()

    # --- a job's effects

    def _perform(self, job: Job, effect: on_job.Effect) -> None:
        match effect:
            case on_job.SaveNew():
                self.releases.after(self.persistence.save_new(job))
            case on_job.SaveJob():
                self.releases.after(self.persistence.save_job(job))
                if (waiting := self._votes.pop(job.id, None)) is not None:
                    waiting.set()
            case on_job.SaveNodes(changes):
                self.releases.after(self.persistence.save_nodes(job, changes))
                self._note_finished(job, changes)
            case on_job.SendCommit(nodes):
                for name in nodes:
                    self.releases.add(self._send_commit, job, name)
            case on_job.SendRun(nodes):
                for name in nodes:
                    self.releases.add(self._send_run, job, name)
            case on_job.Reset(nodes):
                for name in nodes:
                    self.releases.add(self._reset, job.org, name)
            case on_job.Publish():
                ticket, show = self.feeds.record(job, effect)
                self.releases.after(ticket)
                self.releases.add(show)
            case on_job.WakeAt(time):
                self.timers.at(time, partial(self._wake, job))
            case on_job.Ended():
                self._end(job)
            case _:
                assert_never(effect)

    def _send_commit(self, job: Job, name: str) -> None:
        node = self.node(job.org, name)
        timeout = job.spec.run_timeout if extensions.TIMEOUT in node.extensions else None
        self.send(
            node,
            messages.Commit,
            job_id=job.id,
            server=self._server_name,
            command=job.spec.command,
            user=job.spec.user,
            dir=job.spec.dir,
            env=job.spec.env,
            file=job.spec.file,
            capture=job.spec.capture,
            run_timeout=timeout,
            requestor=job.requestor if extensions.REQUESTOR in node.extensions else None,
        )

    def _send_run(self, job: Job, name: str) -> None:
        # It may have been aborted or lost while the commit to the store was under way.
        if job.has_unfinished(name):
            self.send(self.node(job.org, name), messages.Run, job_id=job.id)

    def _reset(self, org: str, name: str) -> None:
        node = self.fleet.nodes.get((org, name))
        if node is not None:
            self.tell_node(node, node_core.ResetRequested())

    def _wake(self, job: Job) -> None:
        if job.id in self.fleet.jobs:
            self.tell_job(job, on_job.TimePassed())

    def _note_finished(self, job: Job, changes: list[on_job.NodeChange]) -> None:
        for change in changes:
            if change.state.is_final and (jobs := self.fleet.busy.get((job.org, change.node))):
                jobs.discard(job.id)
                if not jobs:
                    del self.fleet.busy[(job.org, change.node)]

    def _end(self, job: Job) -> None:
        del self.fleet.jobs[job.id]
        self.fleet.ended[job.id] = job
        self.timers.at(self.clock.now() + ENDED_KEPT, partial(self._forget, job))

    def _forget(self, job: Job) -> None:
        self.fleet.ended.pop(job.id, None)
        self.feeds.forget(job.id)

    # --- a node's effects

    def _perform_for(self, node: Node, effect: node_core.Effect) -> None:
        match effect:
            case node_core.SendAbort():
                self.send(node, messages.Abort)
            case node_core.SendAck():
                self.send(node, messages.Ack)
            case node_core.Forward(message):
                self._forward(node, message)
            case node_core.TellDown(spools):
                self.tell_jobs_of(node, on_job.NodeDown(node.name, spools))
            case node_core.TellRestarted(keeps):
                self.tell_jobs_of(node, on_job.NodeRestarted(node.name), but=keeps)
            case node_core.TellReconnected():
                self.tell_jobs_of(node, on_job.Reconnected(node.name))
            case node_core.SaveNode():
                self.releases.after(self.persistence.save_incarnation(node))
            case _:
                assert_never(effect)

    def _forward(self, node: Node, message: messages.NodeMessage) -> None:
        name = node.name
        match message:
            case messages.Heartbeat():
                self._heartbeat(node, message)
            case messages.Succeeded() | messages.Failed():
                self.on_result(node, message, self._interest(node, message.job_id))
            case messages.Output():
                self.on_output(node, message)
            case messages.Facts() | messages.WhitelistReport() | messages.Checked():
                self.on_note(node, message)
            case messages.Aborted(job_id=None):
                self.tell_jobs_of(node, on_job.UnexpectedReceived(name))
            case messages.AckCommit():
                self._tell(message, on_job.VoteReceived(name, ready=True))
            case messages.NackCommit():
                self._tell(message, on_job.VoteReceived(name, ready=False, reason=message.reason))
            case messages.AckRun():
                self._tell(message, on_job.RunAnswered(name, started=True))
            case messages.NackRun():
                self._tell(message, on_job.RunAnswered(name, started=False))
            case messages.Aborted():
                self._tell(message, on_job.UnexpectedReceived(name))
            case _:
                assert_never(message)

    def _tell(self, message: messages.NodeMessage, event: on_job.Event) -> None:
        if message.job_id is not None and (job := self.fleet.jobs.get(message.job_id)) is not None:
            self.tell_job(job, event)

    def _heartbeat(self, node: Node, message: messages.Heartbeat) -> None:
        if extensions.WHITELIST in node.extensions:
            self.on_whitelist_digest(node, message.whitelist)
        busy = self.fleet.busy.get((node.org, node.name))
        if not busy:
            return
        pending = message.pending_results or []
        for job_id in list(busy):
            if (job := self.fleet.jobs.get(job_id)) is not None:
                doing = message.job_state if message.job_id == job_id else "idle"
                event = on_job.HeartbeatReceived(node.name, doing, job_id in pending)
                self.tell_job(job, event)

    def _interest(self, node: Node, job_id: str | None) -> Interest:
        if job_id is None:
            return Interest.NONE
        if job_id in self.fleet.ended:
            return Interest.ENDED
        job = self.fleet.jobs.get(job_id)
        if job is None or job.org != node.org or node.name not in job.nodes:
            return Interest.UNKNOWN
        return Interest.ACTIVE if job.has_unfinished(node.name) else Interest.OVER

    # --- a node's deadline: one timer a node, moved only when it comes too early

    def _schedule(self, node: Node) -> None:
        key = (node.org, node.name)
        deadline = node.deadline()
        if deadline < self._due.get(key, math.inf):
            self._due[key] = deadline
            self.timers.at(deadline, partial(self._node_due, node, deadline))

    def _node_due(self, node: Node, deadline: float) -> None:
        key = (node.org, node.name)
        if self._due.get(key) != deadline:
            return
        del self._due[key]
        if node.deadline() <= self.clock.now():
            self.tell_node(node, node_core.TimePassed())
        else:
            self._schedule(node)
