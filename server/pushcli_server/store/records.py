"""What the store holds, as its readers get it. Times are seconds since the epoch."""

from typing import Annotated

import msgspec

from pushcli.protocol import limits

Moment = Annotated[float, msgspec.Meta(ge=0, le=limits.LAST_MOMENT)]
"""Of which a date can be made."""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """A user or client of a name, as seen from one organization; keys are PEM."""

    kind: str
    name: str
    public_keys: tuple[str, ...]
    associated: bool
    superuser: bool = False
    validator: bool = False


class FreezeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An organization's jobs are frozen, by whom, when and why."""

    reason: str
    actor_kind: str
    actor: str
    at: float


class PauseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A node is paused, by whom, when and why, until then."""

    reason: str
    actor_kind: str
    actor: str
    at: float
    until: float


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A node. `extensions` is comma-separated; CURVE keys are Z85; the keys of its client by which
    they were admitted are fingerprints, empty where none is known.
    """

    org: str
    name: str
    incarnation: str | None = None
    curve_key: str | None = None
    previous_curve_key: str | None = None
    client_key: str = ""
    previous_client_key: str = ""
    configured_at: Moment = 0.0
    extensions: str = ""
    agent: str | None = None
    created_at: float = 0.0


class NodeObject(msgspec.Struct, frozen=True, kw_only=True):
    """A node as Chef knows it; `run_list` and the levels of attributes are JSON text.

    `policy_name` and `policy_group` are empty where there is no policy.
    """

    org: str
    name: str
    chef_environment: str = "_default"
    policy_name: str = ""
    policy_group: str = ""
    run_list: str = "[]"
    automatic: str = "{}"
    normal: str = "{}"
    default: str = "{}"
    override: str = "{}"
    revision: int = 0


class MirroredNode(msgspec.Struct, frozen=True, kw_only=True):
    """What a Chef Infra Server says of a node's `push_jobs`; levels are JSON texts.

    Args:
        there: it exists; else it was deleted.
        shown: a digest of what search showed when it was read.
        digest: of the levels.
    """

    name: str
    there: bool
    shown: str
    digest: str
    default: str
    normal: str
    override: str


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job. `env` and `secret_names` are JSON text; deadlines that were never set are None.

    `file_digest` names the file that it brings to its nodes (hex SHA-256), `stdin_digest` what its
    command reads; both are kept apart. `output_held` says whether there may be output of it,
    `output_deleted_by` names the setting because of which there is none any more.
    """

    id: str
    org: str
    command: str
    status: str
    quorum: int
    run_timeout: float
    user: str | None = None
    dir: str | None = None
    env: str | None = None
    file_digest: str | None = None
    stdin_digest: str | None = None
    secret_names: str | None = None
    capture: bool = False
    default_capture: bool = False
    exact_env: bool = False
    batch: str | None = None
    requestor: str
    owner_kind: str | None = None
    owner: str | None = None
    origin: str | None = None
    request_id: str | None = None
    created_at: Moment
    updated_at: Moment
    voting_deadline: float | None = None
    run_deadline: float | None = None
    output_held: bool = False
    output_deleted_at: float | None = None
    output_deleted_by: str | None = None


class JobNodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A node's part in a job; sizes in bytes, `dropped` those that are missing,
    `cut_at` where the first of them would be.

    `partial` says of a node that reported whether its command was cut short, `reboots` of one that
    is ready whether the command may restart it.
    """

    node: str
    state: str
    reason: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    started_at: float | None = None
    ended_at: float | None = None
    stdout_digest: str | None = None
    stdout_size: int | None = None
    stderr_digest: str | None = None
    stderr_size: int | None = None
    late_result: str | None = None
    partial: bool | None = None
    stdout_dropped: int | None = None
    stderr_dropped: int | None = None
    stdout_cut_at: int | None = None
    stderr_cut_at: int | None = None
    reboots: bool | None = None


class LiveJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that is not over, with its nodes, its file and its standard input as the client sent
    them; `disowned` has those of the nodes whose client was deleted since.
    """

    job: JobRecord
    nodes: list[JobNodeRecord]
    file: str | None
    stdin: str | None = None
    disowned: frozenset[str] = frozenset()


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what, from where. `detail` is JSON text.

    `actor_kind` is user, client, node or server: several may have one name. Lines that earlier
    versions wrote have none.
    """

    at: float
    org: str
    actor_kind: str | None = None
    actor: str
    action: str
    target: str
    origin: str
    detail: str | None = None


class UserRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A user of the server; `public_key` (PEM) is the one that lists show."""

    name: str
    superuser: bool
    display_name: str | None
    email: str | None
    public_key: str | None


class ClientRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A client of an organization; `admin`: it is in `admins`, nested groups included."""

    name: str
    validator: bool
    admin: bool
    public_key: str | None


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A key (PEM); one whose `expires_at` is None does not expire."""

    key_name: str
    public_key: str
    expires_at: float | None


class GroupRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A group's own members, sorted."""

    users: list[str]
    clients: list[str]
    groups: list[str]


class EditorRecord(msgspec.Struct, frozen=True):
    """An administrator's key (PEM)."""

    name: str
    public_key: str


class TokenRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A token for enrolment; `digest` is the hex SHA-256 of its secret."""

    id: str
    org: str
    digest: str
    node: str | None
    uses_left: int
    expires_at: float
    created_by: str
    created_at: float
