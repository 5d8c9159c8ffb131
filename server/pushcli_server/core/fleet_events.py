"""What the fleet is told, and what it asks for.

Events are facts that came in from outside; effects are imperatives, to be carried out in
their order. What must be durable is saved by an effect that stands before the `OnceDurable`
that depends on it.

All are many and short-lived, and none is part of a cycle: the collector need not look at them
(`gc=False`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from pushcli.protocol import messages
from pushcli.protocol.run import Outcome, OutputChannel
from pushcli_server.core.brake_state import Freeze, Pause
from pushcli_server.core.gathering import Gathering
from pushcli_server.core.identity import JobKey, NodeKey, Requestor
from pushcli_server.core.job_events import NodeChange
from pushcli_server.core.job_state import Job, JobSpec
from pushcli_server.core.node import Node
from pushcli_server.core.replays import Signature
from pushcli_server.core.states import NodeState

# --- events


class KnownNode(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A node as it was saved; CURVE keys in Z85.

    `configured_at` is when it last got its configuration, in seconds since the epoch;
    `session_salt` is its client's; `client_key` and `previous_client_key` are fingerprints of the
    keys of its client by which the CURVE keys were admitted.
    """

    key: NodeKey
    incarnation: str | None = None
    extensions: frozenset[str] = frozenset()
    agent: str | None = None
    configured_at: float = 0.0
    curve_key: str | None = None
    previous_curve_key: str | None = None
    client_key: str = ""
    previous_client_key: str = ""
    session_salt: str = ""


class Restored(msgspec.Struct, frozen=True, gc=False):
    """The server starts with what the run before it saved; the jobs are those still live."""

    nodes: tuple[KnownNode, ...]
    jobs: tuple[Job, ...]


class MessageReceived(msgspec.Struct, frozen=True, gc=False):
    """A message of a node: its session key signed it, and its CURVE key encrypted it.

    Args:
        peer: the connection it came on.
        address: of the peer, for the operator.
        curve_key: of the connection, Z85.
    """

    node: NodeKey
    peer: bytes
    address: str
    message: messages.NodeMessage
    curve_key: str = ""


class ConnectionEnded(msgspec.Struct, frozen=True, gc=False):
    """A connection of a node is gone, and no other is known to be its own."""

    node: NodeKey


class JobRequested(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An operator starts a job under this new id.

    Args:
        requestor: what entries' `operators` are held against.
        by: who that is; None: a user of this name.
        signature: of the request.
    """

    job: JobKey
    spec: JobSpec
    requestor: str
    origin: str
    by: Requestor | None = None
    request_id: str | None = None
    signature: Signature | None = None


class JobWithdrawn(msgspec.Struct, frozen=True, gc=False):
    """A new job could not be stored, and never will be: it is as if nobody had asked."""

    job: JobKey


class AbortRequested(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An operator aborts a job.

    Args:
        by: who that is; None: a user of the requestor's name.
    """

    job: JobKey
    requestor: str
    origin: str
    by: Requestor | None = None


class ConfigurationRequested(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A node's own client asks for its configuration.

    Args:
        curve_key: the agent's, Z85; like all but the node, it is not signed.
        offered: the extensions that both sides have.
        adopts: ids of jobs that a restarted agent still has.
        deletions: of clients, as counted before its client was seen in the store.
        client_key: fingerprint of that client's key which signed the request.
        session_salt: of that client; what the node's session key is derived from, too.
        agent: what it says that it is, if anything.
        signature: of the request.
        repeated: one with the same signature came before. Agents sign whole seconds, so it may
            be the node's, or anybody's who read the first.
    """

    node: NodeKey
    curve_key: str
    offered: frozenset[str]
    adopts: frozenset[str]
    deletions: int
    client_key: str = ""
    session_salt: str = ""
    agent: str | None = None
    signature: Signature | None = None
    repeated: bool = False


class ConfigurationStored(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What `ConfigurationRequested` saved is durable: the key may be admitted."""

    node: NodeKey
    curve_key: str
    deletions: int
    client_key: str = ""


class KeysRevoked(msgspec.Struct, frozen=True, gc=False):
    """Keys of a node's client, by their fingerprints, count no more."""

    node: NodeKey
    client_keys: frozenset[str]


class ClientDeleted(msgspec.Struct, frozen=True, gc=False):
    """A client was deleted: its node counts no more."""

    node: NodeKey


class OrganizationClosed(msgspec.Struct, frozen=True, gc=False):
    """An organization is about to be deleted: all that is live in it ends.

    Args:
        by: who deletes it, from `origin`.
    """

    org: str
    by: Requestor
    origin: str


class OrganizationOpened(msgspec.Struct, frozen=True, gc=False):
    """There is an organization of this name (again)."""

    org: str


class FreezeStored(msgspec.Struct, frozen=True, gc=False):
    """An operator froze the organization's jobs, which is durable; None: he lets them start."""

    org: str
    freeze: Freeze | None


class PausesStored(msgspec.Struct, frozen=True, gc=False):
    """An operator paused nodes, which is durable; None: he lets them take part again.

    Args:
        nodes: their names.
        deletions: of clients, as counted before theirs were seen in the store.
    """

    org: str
    nodes: Sequence[str]
    pause: Pause | None
    deletions: int


class ClockDiffers(msgspec.Struct, frozen=True, gc=False):
    """A node's own client signed a request, or its agent a message, with a clock that is
    so many seconds ahead of ours (negative: behind), which is more than is borne.
    """

    node: NodeKey
    seconds: float


class ClockSet(msgspec.Struct, frozen=True, gc=False):
    """Our clock was set: the date is so many seconds ahead of the times of `handle`."""

    offset: float


class DatabaseReached(msgspec.Struct, frozen=True, gc=False):
    """The database's lease is renewed again; or not, for as long as it lasts."""

    is_reached: bool


class Stalled(msgspec.Struct, frozen=True, gc=False):
    """We stood still for so many seconds: stopped, suspended, or kept from running."""

    seconds: float


class TimePassed(msgspec.Struct, frozen=True, gc=False):
    """A moment that was asked for with `WakeAt`, for the same subject."""

    subject: NodeKey | JobKey
    at: float


class CommitDue(msgspec.Struct, frozen=True, gc=False):
    """The job is saved: this node may be asked for its vote."""

    job: JobKey
    node: str


class RunDue(msgspec.Struct, frozen=True, gc=False):
    """The quorum is saved: this node may be told to run."""

    job: JobKey
    node: str


class ResetDue(msgspec.Struct, frozen=True, gc=False):
    """What the node is reset for is saved."""

    node: NodeKey


class ResultStored(msgspec.Struct, frozen=True, gc=False):
    """A node's result is saved, or there is nothing to save of it."""

    node: NodeKey
    job_id: str


class OutputStored(msgspec.Struct, frozen=True, gc=False):
    """So many bytes of a channel are saved, or need not be sent again."""

    node: NodeKey
    job_id: str
    channel: OutputChannel
    size: int
    appended: int = 0
    """Of them, those that waited for it."""
    kept: int = 0
    """How many there are to be read by now, if any waited."""
    enough: bool = False
    """No more of the channel will be kept."""


class OutputKept(msgspec.Struct, frozen=True, gc=False):
    """What a node's command wrote is stored as a whole: so many bytes of each channel."""

    job: JobKey
    node: str
    sizes: Mapping[OutputChannel, int]


class PartFound(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the store says of a node's part in a job that is not live; the answer to `FindPart`.

    Args:
        state: None: the node had no part in such a job of its organization, or it was the part
            of an earlier node of its name.
        reported: its result is stored already.
        held: what was gathered of the channels before.
        nodes: how many the job has.
    """

    node: NodeKey
    message: messages.Result | messages.Output
    state: NodeState | None
    capture: bool = False
    default_capture: bool = False
    reported: bool = False
    held: Mapping[OutputChannel, Gathering] = {}
    nodes: int = 1


Event = (
    Restored
    | MessageReceived
    | ConnectionEnded
    | JobRequested
    | JobWithdrawn
    | AbortRequested
    | ConfigurationRequested
    | ConfigurationStored
    | KeysRevoked
    | ClientDeleted
    | OrganizationClosed
    | OrganizationOpened
    | FreezeStored
    | PausesStored
    | ClockDiffers
    | ClockSet
    | DatabaseReached
    | Stalled
    | TimePassed
    | CommitDue
    | RunDue
    | ResetDue
    | ResultStored
    | OutputStored
    | OutputKept
    | PartFound
)
Held = CommitDue | RunDue | ResetDue | ResultStored | OutputStored | OutputKept


# --- effects


class SaveNewJob(msgspec.Struct, frozen=True, gc=False):
    """Store the job and its nodes as they are now, and in the audit trail who started it."""

    job: Job


class SaveJob(msgspec.Struct, frozen=True, gc=False):
    """Store the job's status and deadlines as they are now."""

    job: Job


class SaveJobNodes(msgspec.Struct, frozen=True, gc=False):
    """Store these states."""

    job: JobKey
    changes: list[NodeChange]


class SaveNode(msgspec.Struct, frozen=True, gc=False):
    """Store the node's incarnation, keys and extensions as they are now.

    Args:
        signature: of the request that changed them.
    """

    node: Node
    signature: Signature | None = None


class AppendOutput(msgspec.Struct, frozen=True, gc=False):
    """Add a chunk to what is gathered of a node's output.

    Args:
        cut: whether what is there from `offset` on goes first.
        tail: whether it belongs to the end, which `BeginTail` began, and `offset` counts there.
    """

    job: JobKey
    node: str
    channel: OutputChannel
    offset: int
    data: bytes
    cut: bool = False
    tail: bool = False


class BeginTail(msgspec.Struct, frozen=True, gc=False):
    """Gather the end of a node's output beside its beginning, which has `kept` bytes.

    Nothing of it stays if the server restarts before it is complete.
    """

    job: JobKey
    node: str
    channel: OutputChannel
    kept: int


class JoinTail(msgspec.Struct, frozen=True, gc=False):
    """Put this mark and the end behind the beginning, which has `kept` bytes."""

    job: JobKey
    node: str
    channel: OutputChannel
    kept: int
    mark: bytes


class Gathered(msgspec.Struct, frozen=True, gc=False):
    """The content of a channel: what `AppendOutput` gathered, which should be so many bytes."""

    size: int


Content = bytes | Gathered | None
"""Of a channel; None: nothing is known of it."""


class StoreOutput(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Keep what a node's command wrote, how many bytes of it are missing, and from where on."""

    job: JobKey
    node: str
    stdout: Content
    stderr: Content
    stdout_dropped: int = 0
    stderr_dropped: int = 0
    stdout_cut_at: int | None = None
    stderr_cut_at: int | None = None


class SaveLateResult(msgspec.Struct, frozen=True, gc=False):
    """Keep a result beside the state that the node has already."""

    job: JobKey
    node: str
    succeeded: bool
    outcome: Outcome


class RecordAudit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Store who did what to what, from where."""

    org: str
    actor_kind: str
    actor: str
    action: str
    target: str
    origin: str


class SavePauses(msgspec.Struct, frozen=True, gc=False):
    """Store when the pause of these nodes (names) ends."""

    org: str
    nodes: list[str]
    pause: Pause


class OnceDurable(msgspec.Struct, frozen=True, gc=False):
    """Come back with this event once everything saved so far is durable."""

    event: Held


class Send(msgspec.Struct, frozen=True, gc=False):
    """Send a message on a node's connection; a lost one is ordinary."""

    node: NodeKey
    peer: bytes
    kind: type[messages.CommandMessage]
    fields: dict[str, Any] = {}


class ShowOutput(msgspec.Struct, frozen=True, gc=False):
    """Whoever follows the job may read so many bytes of these channels."""

    job: JobKey
    node: str
    sizes: Mapping[OutputChannel, int]


class EndConnections(msgspec.Struct, frozen=True, gc=False):
    """Of this node, all: what may come back does."""

    node: NodeKey


class ForgetPeer(msgspec.Struct, frozen=True, gc=False):
    """Nothing is sent on this connection any more."""

    peer: bytes


class ForgetNode(msgspec.Struct, frozen=True, gc=False):
    """Its client is gone: its connections and what is remembered of the node go with it."""

    node: NodeKey


class Publish(msgspec.Struct, frozen=True, gc=False):
    """An event for the feeds of a job and its organization (Push Jobs protocol, section 8)."""

    job: Job
    event: str
    node: str | None = None
    status: str | None = None


class CloseOrganization(msgspec.Struct, frozen=True, gc=False):
    """The organization's feed ends, and with it whoever reads it."""

    org: str


class CloseFeed(msgspec.Struct, frozen=True, gc=False):
    """The job's feed can be had no longer."""

    job: JobKey


class RecordNote(msgspec.Struct, frozen=True, gc=False):
    """The message tells of the node, not of a job."""

    node: NodeKey
    message: messages.Note


class CompareWhitelist(msgspec.Struct, frozen=True, gc=False):
    """An agent says which whitelist of the server it has (None: none yet)."""

    node: NodeKey
    digest: str | None


class FindPart(msgspec.Struct, frozen=True, gc=False):
    """Look up in the store which part the node had in the job that this message names."""

    node: NodeKey
    message: messages.Result | messages.Output


class WakeAt(msgspec.Struct, frozen=True, gc=False):
    """Come back with `TimePassed` about this subject at this time (seconds)."""

    subject: NodeKey | JobKey
    at: float


Save = (
    SaveNewJob
    | SaveJob
    | SaveJobNodes
    | SaveNode
    | AppendOutput
    | BeginTail
    | JoinTail
    | StoreOutput
    | SaveLateResult
    | SavePauses
    | RecordAudit
)
Effect = (
    Save
    | OnceDurable
    | Send
    | ShowOutput
    | EndConnections
    | ForgetPeer
    | ForgetNode
    | Publish
    | CloseFeed
    | CloseOrganization
    | RecordNote
    | CompareWhitelist
    | FindPart
    | WakeAt
)
