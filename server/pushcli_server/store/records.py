"""What the store holds, as its readers get it. Times are seconds since the epoch."""

import msgspec


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """A user or client of a name, as seen from one organization; keys are PEM."""

    kind: str
    name: str
    public_keys: tuple[str, ...]
    associated: bool
    superuser: bool = False
    validator: bool = False
    admin: bool = False


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A node. `extensions` is comma-separated; CURVE keys are Z85."""

    org: str
    name: str
    incarnation: str | None = None
    curve_key: str | None = None
    previous_curve_key: str | None = None
    configured_at: float = 0.0
    extensions: str = ""
    created_at: float = 0.0


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job. `env` is JSON text; deadlines that were never set are None."""

    id: str
    org: str
    command: str
    status: str
    quorum: int
    run_timeout: float
    user: str | None = None
    dir: str | None = None
    env: str | None = None
    file: str | None = None
    capture: bool = False
    requestor: str
    request_id: str | None = None
    created_at: float
    updated_at: float
    voting_deadline: float | None = None
    run_deadline: float | None = None


class JobNodeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A node's part in a job; sizes in bytes."""

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


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what, from where. `detail` is JSON text."""

    at: float
    org: str
    actor: str
    action: str
    target: str
    origin: str
    detail: str | None = None
