"""What a job's machine is told, and what it asks for.

Events are facts; effects are imperatives, to be carried out in their order. What must be
durable is saved by an effect that stands before the send that depends on it.
"""

import msgspec

from pushcli.protocol.run import Outcome
from pushcli_server.core.states import NodeState

# --- events


class Started(msgspec.Struct, frozen=True, gc=False):
    """The job begins; these nodes cannot take part, each with its reason."""

    unavailable: dict[str, str]
    paused: dict[str, str] = {}
    """Those that vote against it without being asked, each with its reason."""


class Resumed(msgspec.Struct, frozen=True, gc=False):
    """The server restarted with this job in the store.

    Args:
        unspooled: those of its nodes whose agents keep no results for us.
    """

    unspooled: frozenset[str] = frozenset()


class Stalled(msgspec.Struct, frozen=True, gc=False):
    """The server stood still for so long that agents took it for dead; `unspooled` as above."""

    unspooled: frozenset[str] = frozenset()


class VoteReceived(msgspec.Struct, frozen=True, gc=False):
    """`ack_commit` or `nack_commit`; `reboots` if the command may restart the node."""

    node: str
    ready: bool
    reason: str | None = None
    reboots: bool = False


class RunAnswered(msgspec.Struct, frozen=True, gc=False):
    """`ack_run` or `nack_run`."""

    node: str
    started: bool


class ResultReceived(msgspec.Struct, frozen=True, gc=False):
    """`succeeded` or `failed`; `spooled` if the agent keeps it until it is acknowledged."""

    node: str
    succeeded: bool
    spooled: bool = False
    outcome: Outcome = Outcome()


class HeartbeatReceived(msgspec.Struct, frozen=True, gc=False):
    """The node lives.

    Args:
        doing: `idle`, `committed` or `running` this job; a node busy with another job is
            idle in the eyes of this one.
        result_pending: it holds this job's result and will send it.
        votes_again: asked again it repeats its vote, which says more than that it committed.
    """

    node: str
    doing: str
    result_pending: bool = False
    votes_again: bool = False


class OutOfRehab(msgspec.Struct, frozen=True, gc=False):
    """The node was reset, for another job: what it said meanwhile was not heard."""

    node: str


class Reconnected(msgspec.Struct, frozen=True, gc=False):
    """The same agent on a new connection: what was under way to it may be lost."""

    node: str


class NodeDown(msgspec.Struct, frozen=True, gc=False):
    """Silent for too long. `spools`: its work goes on without us, and it will report."""

    node: str
    spools: bool = False


class NodeRestarted(msgspec.Struct, frozen=True, gc=False):
    """Another run of the agent: what the previous one was doing is gone."""

    node: str


class NodeDeleted(msgspec.Struct, frozen=True, gc=False):
    """Its client was deleted: nothing that it does will ever be reported."""

    node: str


class UnexpectedReceived(msgspec.Struct, frozen=True, gc=False):
    """`aborted`, or anything else that does not belong here."""

    node: str


class AbortRequested(msgspec.Struct, frozen=True, gc=False):
    """An operator aborts the job."""

    by: str


class TimePassed(msgspec.Struct, frozen=True, gc=False):
    """A moment that was asked for with `WakeAt`."""


Event = (
    Started
    | Resumed
    | Stalled
    | VoteReceived
    | RunAnswered
    | ResultReceived
    | HeartbeatReceived
    | OutOfRehab
    | Reconnected
    | NodeDown
    | NodeRestarted
    | NodeDeleted
    | UnexpectedReceived
    | AbortRequested
    | TimePassed
)

# --- effects


class SaveNew(msgspec.Struct, frozen=True, gc=False):
    """Store the job and its nodes as they are now."""


class SaveJob(msgspec.Struct, frozen=True, gc=False):
    """Store the job's status and deadlines as they are now."""


class NodeChange(msgspec.Struct, frozen=True, gc=False):
    """A node's new state; the reason is one line for the operator, `reboots` as in its vote."""

    node: str
    state: NodeState
    reason: str | None = None
    outcome: Outcome | None = None
    reboots: bool = False


class SaveNodes(msgspec.Struct, frozen=True, gc=False):
    """Store these states."""

    changes: list[NodeChange]


class SendCommit(msgspec.Struct, frozen=True, gc=False):
    """Ask these nodes for their votes."""

    nodes: list[str]


class SendRun(msgspec.Struct, frozen=True, gc=False):
    """Have these nodes run."""

    nodes: list[str]


class Reset(msgspec.Struct, frozen=True, gc=False):
    """Abort whatever these nodes do and take them back when they are idle (rehab)."""

    nodes: list[str]


class Publish(msgspec.Struct, frozen=True, gc=False):
    """An event for the feeds (Push Jobs protocol, section 8)."""

    event: str
    node: str | None = None
    status: str | None = None


class WakeAt(msgspec.Struct, frozen=True, gc=False):
    """Come back with `TimePassed` at this time (seconds)."""

    time: float


class Ended(msgspec.Struct, frozen=True, gc=False):
    """The job is over."""


Effect = SaveNew | SaveJob | SaveNodes | SendCommit | SendRun | Reset | Publish | WakeAt | Ended
