"""One live job: what was asked for, and how far each node is; changed by `core/job.py` alone."""

import math
from dataclasses import dataclass, field

import msgspec

from pushcli.protocol.run import OutputChannel, RunSpec
from pushcli_server.core.gathering import Budget, Gathering
from pushcli_server.core.identity import JobKey, Requestor
from pushcli_server.core.replays import Signature
from pushcli_server.core.states import UNFINISHED, JobStatus, NodeState


class JobSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator asked for: what to run, where (without repeats), and if how many of
    them are ready; `batch` is what it has in common with other jobs, 32 hex digits.
    `secret_names` are those of its secret variables, which outlive their values.
    """

    run: RunSpec
    nodes: tuple[str, ...]
    quorum: int
    batch: str | None = None
    secret_names: tuple[str, ...] = ()


class Grace(msgspec.Struct, frozen=True, kw_only=True):
    """How long silence and indecision are borne, in seconds."""

    voting: float = 60
    """For a vote, from the start of the job."""
    restart: float = 60
    """After a restart of the server, before silence ends a node's work."""
    lost: float = 300
    """For a node that runs its command, spools its result and is not heard of."""


@dataclass(slots=True, kw_only=True)
class Job:
    """One live job.

    `counts` holds how many nodes are in each state, `held` what was gathered of a
    node's output while its result is still to come, by channel; `reported` the nodes whose
    result came. `created_at` and `updated_at` are dates (seconds since the epoch); deadlines are
    times as `handle` is given them.
    """

    key: JobKey
    spec: JobSpec
    requestor: str
    by: Requestor | None = None
    """Who that is, and with `signature` what he asked with, until that is saved."""
    signature: Signature | None = None
    origin: str = ""
    request_id: str | None = None
    created_at: float
    updated_at: float
    forget_at: float = math.inf
    """When nobody asks for the ended job any more."""
    grace: Grace
    status: JobStatus = JobStatus.VOTING
    voting_deadline: float = math.inf
    run_deadline: float = math.inf
    nodes: dict[str, NodeState] = field(default_factory=dict)
    counts: dict[NodeState, int] = field(default_factory=dict)
    lost: dict[str, float] = field(default_factory=dict)
    """Nodes out of contact while at work, and when we give them up."""
    unsure: set[str] = field(default_factory=set)
    """Nodes to which our last message, or whose answer, may not have come through."""
    asked_again: set[str] = field(default_factory=set)
    """Nodes to which was sent again what they may have had: their answers may come twice."""
    grace_until: float = -math.inf
    """Until then, after we were away, silence ends no node's part."""
    unspooled: set[str] = field(default_factory=set)
    """Nodes that were at work while we were away and keep no results: their agents may be
    silent until the command ends, so that nothing but the run timeout tells a dead one."""
    reboots: set[str] = field(default_factory=set)
    """Nodes that the command may restart: while they are away nothing is wrong."""
    idle_beats: dict[str, int] = field(default_factory=dict)
    held: dict[str, dict[OutputChannel, Gathering]] = field(default_factory=dict)
    budget: Budget = field(default_factory=lambda: Budget(0))
    kept: dict[str, int] = field(default_factory=dict)
    """Bytes of output that the run of the server before this one kept, by node."""
    reported: set[str] = field(default_factory=set)
    disowned: set[str] = field(default_factory=set)
    """Nodes whose client was deleted since: who has their names now has no part in it."""

    def __post_init__(self) -> None:
        if not self.nodes:
            self.nodes = dict.fromkeys(self.spec.nodes, NodeState.NEW)
        for state in self.nodes.values():
            self.counts[state] = self.counts.get(state, 0) + 1

    @property
    def id(self) -> str:
        """As REST and messages name it."""
        return self.key.id

    @property
    def org(self) -> str:
        """The organization that it belongs to."""
        return self.key.org

    @property
    def was_run(self) -> bool:
        """Whether nodes were told to run; those that are not done then may be running."""
        return self.run_deadline < math.inf

    @property
    def run(self) -> RunSpec:
        """What each node is to run."""
        return self.spec.run

    @property
    def batch(self) -> str | None:
        """What it has in common with other jobs."""
        return self.spec.batch

    @property
    def has_file(self) -> bool:
        """Whether it brings a file to its nodes."""
        return self.run.file is not None

    @property
    def secret_names(self) -> tuple[str, ...]:
        """Of its variables those whose values nobody is shown."""
        return self.spec.secret_names

    @property
    def has_stdin(self) -> bool:
        """Whether its command is given something to read."""
        return self.run.stdin is not None

    def count(self, *states: NodeState) -> int:
        """How many nodes are in one of these states."""
        return sum(self.counts.get(state, 0) for state in states)

    def has_unfinished(self, node: str) -> bool:
        """Whether this node's part is not over yet."""
        return self.nodes.get(node) in UNFINISHED
