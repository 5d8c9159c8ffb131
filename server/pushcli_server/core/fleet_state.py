"""The live state of the fleet, and what is asked of it without changing it."""

import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice

import msgspec

from pushcli.protocol import extensions, messages, wire
from pushcli.protocol.run import OutputChannel
from pushcli.protocol.timestamps import format_minute
from pushcli_server.core import fleet_events as on_fleet
from pushcli_server.core.admissions import Admissions
from pushcli_server.core.brake_state import Freeze, Pause
from pushcli_server.core.deletions import Deletions
from pushcli_server.core.endings import Endings
from pushcli_server.core.fleet_events import Effect
from pushcli_server.core.gathering import Budget, Gathering
from pushcli_server.core.identity import JobKey, NodeKey
from pushcli_server.core.job_state import Grace, Job
from pushcli_server.core.node import REVOKED, Node, Patience, Phase
from pushcli_server.core.states import JobStatus

OFFLINE = "offline"
UNKNOWN = "unknown: it never connected"
CONFIGURATIONS_PER_SECOND = 200
"""Requests for them after a restart: about half of what one small processor answers, for jobs go
on meanwhile, and 10,000 nodes have theirs within a minute."""


_AT_ONCE = 1000
"""Commands that are being ended, at which is looked in one piece."""
NOTHING: frozenset[str] = frozenset()
ANSWERS = (messages.AckCommit, messages.NackCommit, messages.AckRun, messages.NackRun)


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the server's settings say about the fleet.

    Args:
        server_name: what commits say of who sent them.
        lifetime: of a configuration, in seconds.
        reconfigure_splay: seconds over which agents ask for it after a restart of the server; 0: as
            the number of nodes makes it.
        max_job_output: bytes that are kept of what the commands of a job write, in all.
    """

    server_name: str = ""
    grace: Grace = Grace()
    patience: Patience = Patience()
    lifetime: float = 3600.0
    reconfigure_splay: float = 0.0
    max_job_output: int = 2**30


@dataclass(slots=True)
class LatePart:
    """A node's part that is over while its output is still coming, in a job's last moments or
    long after them. `held` has what is gathered of each channel.
    """

    job: JobKey
    held: dict[OutputChannel, Gathering]
    budget: Budget


@dataclass(slots=True)
class Fleet:
    """Everything live. `busy` has the live jobs in which a node's part is not over."""

    rules: Rules
    incarnation_id: str = ""
    """Of the server: agents whose configuration names another one ask for a new one."""
    nodes: dict[NodeKey, Node] = field(default_factory=dict)
    jobs: dict[JobKey, Job] = field(default_factory=dict)
    ended: dict[JobKey, Job] = field(default_factory=dict)
    busy: dict[NodeKey, set[JobKey]] = field(default_factory=dict)
    admissions: Admissions = field(default_factory=Admissions)
    late: dict[NodeKey, LatePart] = field(default_factory=dict)
    """An agent sends one output at a time: so there is one for each node at most."""
    endings: Endings = field(default_factory=Endings)
    went_offline: Counter[str] = field(default_factory=Counter)
    """How often nodes of an organization were not heard of in time."""
    deletions: Deletions = field(default_factory=Deletions)
    offset: float = 0.0
    """From the times that `handle` is given to the date: what the clock was set by."""
    freezes: dict[str, Freeze] = field(default_factory=dict)
    """By organization: no job of it starts."""
    pauses: dict[NodeKey, Pause] = field(default_factory=dict)
    is_cut_off: bool = False
    """The database was out of reach for so long that another server may have taken our place."""
    closed: set[str] = field(default_factory=set)
    """Organizations that are being deleted, or were: nothing begins in them."""

    def node(self, key: NodeKey) -> Node:
        """The node of this name; one that was never heard of begins offline."""
        node = self.nodes.get(key)
        if node is None:
            node = self.nodes[key] = Node(key=key, patience=self.rules.patience)
        return node

    def extensions(self, key: NodeKey) -> frozenset[str]:
        """What the node's agent can do; of one that is not known nothing is."""
        node = self.nodes.get(key)
        return NOTHING if node is None else node.extensions

    def job(self, key: JobKey) -> Job | None:
        """A job that is live or ended a moment ago."""
        return self.jobs.get(key) or self.ended.get(key)

    @property
    def reconfigure_splay(self) -> float:
        """Seconds over which agents spread their requests for a configuration after a restart."""
        if self.rules.reconfigure_splay:
            return self.rules.reconfigure_splay
        return max(self.rules.patience.quiet_interval, len(self.nodes) / CONFIGURATIONS_PER_SECOND)

    def is_routine(self, key: NodeKey, message: messages.NodeMessage) -> bool:
        """Whether a message is what a node in service says all the time, or a short answer that
        it gives once to each question: one that is not heard is not said again.
        """
        node = self.nodes.get(key)
        if node is None or node.incarnation != message.incarnation_id:
            return False
        if isinstance(message, ANSWERS):
            job = self.jobs.get(JobKey(key.org, message.job_id or ""))
            return job is not None and job.has_unfinished(key.name)
        return isinstance(message, messages.Heartbeat)

    def is_idle_beat(self, key: NodeKey, message: messages.NodeMessage) -> bool:
        """Whether all that a message says is that an old agent is there still, and has no work."""
        if type(message) is not messages.Heartbeat or message.job_id is not None:
            return False
        node = self.nodes.get(key)
        if node is None or not node.is_settled or message.incarnation_id != node.incarnation:
            return False
        return key not in self.busy

    def is_voting(self, key: JobKey) -> bool:
        """Whether the vote of this job goes on."""
        job = self.jobs.get(key)
        return job is not None and job.status is JobStatus.VOTING

    def is_ending(self, key: JobKey, name: str, now: float) -> bool:
        """Whether this node, whose part is over, may still tell how its command ended."""
        node_key = NodeKey(key.org, name)
        ending, node = self.endings.of(node_key, key), self.nodes.get(node_key)
        if ending is None or node is None or extensions.PARTIAL not in node.extensions:
            return False
        in_rehab = node.phase is Phase.REHAB
        return node.phase is not Phase.OFFLINE and ending.is_under_way(now, in_rehab=in_rehab)

    def is_settled(self, key: JobKey, now: float) -> bool:
        """Whether no node of a job may still tell how its command ended.

        Those that will not are forgotten, so that nobody looks at them again.
        """
        for name in tuple(islice(self.endings.nodes(key), _AT_ONCE)):
            if self.is_ending(key, name, now):
                return False
            self.endings.forget(NodeKey(key.org, name))
        return not self.endings.nodes(key)

    def why_unavailable(self, key: NodeKey, now: float) -> str | None:
        """One line for the operator; None: the node may be asked to commit to a job."""
        node = self.nodes.get(key)
        if node is None:
            return UNKNOWN
        return None if node.available(now) else node.why_unavailable(now)

    def why_absent(self, key: NodeKey, now: float) -> str | None:
        """The same for a job's vote, with the moment since when a node is offline, if we saw it."""
        reason, node = self.why_unavailable(key, now), self.nodes.get(key)
        if reason is None or node is None or node.phase is not Phase.OFFLINE:
            return reason
        if not math.isfinite(node.heard_at) or not reason.startswith(OFFLINE):
            return reason
        since = format_minute(node.heard_at + self.offset)
        return f"{OFFLINE} since {since}{reason.removeprefix(OFFLINE)}"

    def pause(self, key: NodeKey, now: float) -> Pause | None:
        """Why the node takes no part in jobs, though it may be there; None: it does."""
        pause = self.pauses.get(key)
        return pause if pause is not None and now < pause.until else None

    def max_body(self, key: NodeKey) -> int:
        """Bytes of a message's body that the node's agent takes; more costs its connection."""
        node = self.nodes.get(key)
        if node is not None and extensions.EDITORS in node.extensions:
            return wire.MAX_BODY_FROM_SERVER
        return wire.MAX_BODY_TO_EARLIER

    def session_salt(self, key: NodeKey) -> str:
        """What the session key of the node's client is derived from, beside its name."""
        node = self.nodes.get(key)
        return "" if node is None else node.session_salt

    def client_keys(self, key: NodeKey) -> frozenset[str]:
        """Fingerprints of the keys of its client by which this node is admitted, or will be after
        a restart; an empty one: some of them are not known.
        """
        found = set(self.admissions.client_keys(key))
        if (node := self.nodes.get(key)) is not None:
            kept = (
                (node.curve_key, node.client_key),
                (
                    node.previous_curve_key,
                    node.previous_client_key,
                ),
            )
            found |= {client_key for curve_key, client_key in kept if curve_key is not None}
        return frozenset(found - {REVOKED})

    def admits(self, curve_key: str, now: float) -> bool:
        """Whether a connection with this key (Z85) may be opened now.

        A key that expired still lets the node back in that is in service with it.
        """
        admission = self.admissions.of(curve_key)
        if admission is None:
            return False
        if now < admission.expires_at:
            return True
        if admission.unproven is not None:
            return False
        node = self.nodes.get(admission.node)
        return node is not None and node.phase is not Phase.OFFLINE


def send(
    fleet: Fleet, key: NodeKey, kind: type[messages.CommandMessage], **fields: object
) -> list[Effect]:
    """To the node's current connection, if there is one."""
    node = fleet.nodes.get(key)
    if node is None or node.peer is None:
        return []
    return [on_fleet.Send(key, node.peer, kind, fields)]
