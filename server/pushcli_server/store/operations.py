"""What can be written, as data: made on the event loop, applied by the writer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pushcli_server.core.replays import Signature
from pushcli_server.store.records import (
    AuditRecord,
    FreezeRecord,
    JobRecord,
    MirroredNode,
    NodeObject,
    NodeRecord,
    PauseRecord,
    TokenRecord,
)


class InsertJob(msgspec.Struct, frozen=True):
    """A new job.

    Args:
        job: the writer sets its `file_digest` and `stdin_digest`.
        nodes: names and states in the order of the request.
        file: as the client sent it.
        stdin: likewise.
    """

    job: JobRecord
    nodes: Sequence[tuple[str, str]]
    file: str | None = None
    stdin: str | None = None


class UpdateJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job's new status and deadlines."""

    job_id: str
    status: str
    updated_at: float
    voting_deadline: float | None
    run_deadline: float | None


class NodeChange(msgspec.Struct, frozen=True, kw_only=True):
    """A node's new state in a job."""

    node: str
    state: str
    reason: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    partial: bool | None = None
    """Of a node that reported: whether its command was cut short."""
    reboots: bool | None = None
    """Whether the command may restart the node."""


class UpdateJobNodes(msgspec.Struct, frozen=True):
    """New states of nodes in a job."""

    job_id: str
    changes: Sequence[NodeChange]


class StoreOutput(msgspec.Struct, frozen=True, kw_only=True):
    """What a command wrote: bytes, or the file that its chunks were gathered in.

    `size` is how many bytes should be in such a file, `dropped` how many are missing as it is, and
    `cut_at` where the first of them would be.
    """

    job_id: str
    node: str
    stdout: bytes | Path | None
    stderr: bytes | Path | None
    stdout_size: int = 0
    stderr_size: int = 0
    stdout_dropped: int = 0
    stderr_dropped: int = 0
    stdout_cut_at: int | None = None
    stderr_cut_at: int | None = None


class DeleteOutput(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the output of jobs that are over goes, and of content what nobody refers to then.

    To be repeated until they hold none: others that write wait for each piece.

    Args:
        at: seconds since the epoch.
        because: the setting that wants it.
    """

    jobs: Sequence[str]
    at: float
    because: str


class DeleteJobs(msgspec.Struct, frozen=True):
    """Some of these jobs go, if they are over and have no output; others that write wait for it."""

    jobs: Sequence[str]


class DeleteAudit(msgspec.Struct, frozen=True, kw_only=True):
    """Some of the oldest lines of the audit trail go, of those before a time (since the epoch)."""

    before: float


class AppendOutput(msgspec.Struct, frozen=True):
    """A chunk for a file of gathered output; complete only with `StoreOutput`.

    `cut`: what is there from `offset` on goes first.
    """

    path: Path
    offset: int
    data: bytes
    cut: bool = False


class JoinTail(msgspec.Struct, frozen=True):
    """Put a mark and what was gathered of the end behind the first `kept` bytes of a file."""

    path: Path
    kept: int
    mark: bytes
    tail: Path


class LateResult(msgspec.Struct, frozen=True):
    """A result that came after the node's part was over (JSON text)."""

    job_id: str
    node: str
    detail: str
    partial: bool = False
    """Whether its command was cut short."""


class AppendEvent(msgspec.Struct, frozen=True):
    """An event of a feed, as it goes over the wire."""

    feed: str
    number: int
    microseconds: int
    data: bytes


class DropEvents(msgspec.Struct, frozen=True):
    """Events of a feed go: those before a number, or all."""

    feed: str
    before: int | None


class SaveNode(msgspec.Struct, frozen=True):
    """A node's incarnation, keys and extensions; its attributes stay."""

    node: NodeRecord


class PutNode(msgspec.Struct, frozen=True, kw_only=True):
    """A node object, new or in the place of another.

    Args:
        node: its `revision` means nothing.
        create: there must be none yet.
        revision: what must be there (with `create` not set); None: whatever is.
        keep_push_jobs: what is stored under `normal.push_jobs` stays as it is.
    """

    node: NodeObject
    create: bool = False
    revision: int | None = None
    keep_push_jobs: bool = False
    created_at: float = 0.0


class DeleteNode(msgspec.Struct, frozen=True):
    """A node object goes; the node itself stays enrolled while its client is there."""

    org: str
    name: str


class SetAutomatic(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent says of its node (JSON text) goes over the automatic attributes.

    A node that is not there is not made.
    """

    org: str
    name: str
    automatic: str


class MirrorNodes(msgspec.Struct, frozen=True):
    """A Chef Infra Server says this of nodes; nothing needs to be known any more of others."""

    org: str
    nodes: Sequence[MirroredNode]
    forgotten: Sequence[str] = ()


class SetFreeze(msgspec.Struct, frozen=True):
    """The organization's jobs are frozen; None: they are not."""

    org: str
    freeze: FreezeRecord | None


class SetPauses(msgspec.Struct, frozen=True):
    """These nodes are paused, if there are clients of their names; None: they are not.

    Pauses of the organization that are over by then are cleared away.
    """

    org: str
    nodes: Sequence[str]
    pause: PauseRecord | None


class EditWhitelists(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of whitelists are set or removed, at the level `normal`.

    Args:
        changes: by node and name the value as in JSON (None: removed) and its signature.
        latest: the version up to which a stored one counts: one beyond it is no newer one.
    """

    org: str
    latest: int
    changes: Mapping[str, Mapping[str, tuple[Any, Mapping[str, Any]]]]


class SaveWhitelistReport(msgspec.Struct, frozen=True):
    """What a node's agent says is in force (JSON text)."""

    org: str
    node: str
    report: str


class SaveEditor(msgspec.Struct, frozen=True, kw_only=True):
    """A signed statement of the old form about a key (fingerprint); an older one is replaced.

    Args:
        statement: JSON text.
        latest: the version up to which a stored one counts: one beyond it is no newer one.
        chained: whether it goes beside a link of the chain; else there must be no chain.
    """

    org: str
    key: str
    version: int
    statement: str
    latest: int
    chained: bool = False


class AppendStatement(msgspec.Struct, frozen=True, kw_only=True):
    """The next link of the chain of statements about editors.

    Args:
        statement: as in JSON.
        kept: of a checkpoint: the digests of the statements that it keeps.
    """

    org: str
    statement: Mapping[str, Any]
    kept: Sequence[str] = ()


class Audit(msgspec.Struct, frozen=True):
    """A line of the audit trail."""

    record: AuditRecord


class RememberSignature(msgspec.Struct, frozen=True):
    """A signed request was carried out; of equal ones the first is remembered.

    Args:
        at: when it came, seconds since the epoch.
        job_id: of the job that it started.
    """

    signature: Signature
    at: float
    job_id: str | None = None


class ForgetSignatures(msgspec.Struct, frozen=True, kw_only=True):
    """Signatures go that name this time (seconds since the epoch), or an earlier one."""

    signed_before: float


# --- identities: made with `Store.write`, which tells of conflicts


class CreateOrganization(msgspec.Struct, frozen=True):
    """A new organization."""

    name: str


class PurgeOrganization(msgspec.Struct, frozen=True):
    """Some of the many jobs and nodes of an organization that is being deleted go."""

    org: str


class DeleteOrganization(msgspec.Struct, frozen=True):
    """An organization goes, with all that belongs to it."""

    org: str


class DropUnusedBlobs(msgspec.Struct, frozen=True):
    """Content that no job refers to any more goes."""


class ClearLeftovers(msgspec.Struct, frozen=True):
    """What a run left that was killed, or lost its database, while it brought content there.

    Of these files those go whose content is in the database, and some of the large content that no
    job refers to.

    Args:
        digests: of files.
    """

    digests: Sequence[str]


class CreateUser(msgspec.Struct, frozen=True, kw_only=True):
    """A new user with its first key (PEM), if there is one."""

    name: str
    public_key: str | None
    superuser: bool = False
    display_name: str | None = None
    email: str | None = None


class UpdateUser(msgspec.Struct, frozen=True, kw_only=True):
    """What is not None is changed. One superuser must stay."""

    name: str
    superuser: bool | None = None
    display_name: str | None = None
    email: str | None = None


class DeleteUser(msgspec.Struct, frozen=True):
    """A user goes, with keys and memberships everywhere."""

    name: str


class CreateClient(msgspec.Struct, frozen=True, kw_only=True):
    """A new client of an organization with its first key (PEM), if there is one."""

    org: str
    name: str
    public_key: str | None
    validator: bool = False
    enrolls: bool = False
    """It is a node's: the node is listed from now on."""
    created_at: float = 0.0


class KnowClient(msgspec.Struct, frozen=True):
    """A client whose keys are on a Chef Infra Server: what is stored of its node stands under its
    name. It had the name all the time; one that is known already stays as it is.
    """

    org: str
    name: str


class AllowChef(msgspec.Struct, frozen=True, kw_only=True):
    """Users, clients and groups of a Chef Infra Server may count in place of those here."""

    url: str
    at: float


class RefuseChef(msgspec.Struct, frozen=True):
    """They may no longer, and what that server said of its nodes is forgotten."""


class UpdateClient(msgspec.Struct, frozen=True, kw_only=True):
    """A client becomes a validator, or a plain one."""

    org: str
    name: str
    validator: bool


class DeleteClient(msgspec.Struct, frozen=True):
    """A client goes, with its keys, its memberships, and all that is known of its node."""

    org: str
    name: str


class AssociateUser(msgspec.Struct, frozen=True):
    """The user belongs to the organization."""

    org: str
    user: str


class DissociateUser(msgspec.Struct, frozen=True):
    """The user leaves the organization and its groups."""

    org: str
    user: str


class CreateGroup(msgspec.Struct, frozen=True):
    """A new, empty group."""

    org: str
    name: str


class DeleteGroup(msgspec.Struct, frozen=True):
    """A group goes, and its memberships."""

    org: str
    name: str


class SetGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group's members are these from now on.

    Clients and groups must be in the organization; users on the server: they count once they
    belong to the organization.
    """

    org: str
    group: str
    users: Sequence[str] = ()
    clients: Sequence[str] = ()
    groups: Sequence[str] = ()


class AddMembers(msgspec.Struct, frozen=True, kw_only=True):
    """Become members, or are already; all of them must be in the organization."""

    org: str
    group: str
    users: Sequence[str] = ()
    clients: Sequence[str] = ()
    groups: Sequence[str] = ()


class AddMember(msgspec.Struct, frozen=True):
    """A `user`, `client` or `group` becomes a member; it may be one already."""

    org: str
    group: str
    kind: str
    member: str


class RemoveMember(msgspec.Struct, frozen=True):
    """A member goes; it need not be one, unless that is `required`."""

    org: str
    group: str
    kind: str
    member: str
    required: bool = False


class AddKey(msgspec.Struct, frozen=True, kw_only=True):
    """Another key (PEM) of a user (`org` empty) or client, perhaps for a while."""

    kind: str
    org: str
    name: str
    key_name: str
    public_key: str
    expires_at: float | None = None


class ReplaceKey(msgspec.Struct, frozen=True, kw_only=True):
    """The key named `default` becomes this one (PEM), and does not expire."""

    kind: str
    org: str
    name: str
    public_key: str


class UpdateKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key gets another expiry (None: never) or content; one must stay valid at `now`.

    Args:
        public_key: PEM; None: as it was.
    """

    kind: str
    org: str
    name: str
    key_name: str
    expires_at: float | None
    public_key: str | None = None
    now: float


class DeleteKey(msgspec.Struct, frozen=True):
    """A key goes; with `now`, another one must be valid then."""

    kind: str
    org: str
    name: str
    key_name: str
    now: float | None = None


class CreateToken(msgspec.Struct, frozen=True):
    """A new token for enrolment; those that ran out are cleared away."""

    token: TokenRecord


class DeleteToken(msgspec.Struct, frozen=True):
    """A token counts no more."""

    org: str
    token_id: str


class UseToken(msgspec.Struct, frozen=True, kw_only=True):
    """One use of a token, if it has one left for this node."""

    org: str
    token_id: str
    node: str
    now: float


Operation = (
    InsertJob
    | UpdateJob
    | UpdateJobNodes
    | StoreOutput
    | DeleteOutput
    | DeleteJobs
    | DeleteAudit
    | AppendOutput
    | JoinTail
    | LateResult
    | AppendEvent
    | DropEvents
    | SaveNode
    | PutNode
    | DeleteNode
    | SetAutomatic
    | MirrorNodes
    | SetFreeze
    | SetPauses
    | EditWhitelists
    | SaveWhitelistReport
    | SaveEditor
    | AppendStatement
    | Audit
    | RememberSignature
    | ForgetSignatures
    | CreateOrganization
    | PurgeOrganization
    | DeleteOrganization
    | DropUnusedBlobs
    | ClearLeftovers
    | CreateUser
    | UpdateUser
    | DeleteUser
    | CreateClient
    | KnowClient
    | AllowChef
    | RefuseChef
    | UpdateClient
    | DeleteClient
    | AssociateUser
    | DissociateUser
    | CreateGroup
    | DeleteGroup
    | SetGroup
    | AddMembers
    | AddMember
    | RemoveMember
    | AddKey
    | ReplaceKey
    | UpdateKey
    | DeleteKey
    | CreateToken
    | DeleteToken
    | UseToken
)
