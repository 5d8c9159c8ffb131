"""A job of the original server as one of ours: what is kept, what changes, and why. Pure.

The original tells no requestor, exit code, reason or event; nothing is invented for them.
"""

import json
import math
from collections.abc import Mapping, Sequence

import msgspec

from pushcli.protocol import limits, names
from pushcli_server.core.states import JobStatus, NodeState
from pushcli_server.rest.job_request import InvalidJob, check_file, is_text
from pushcli_server.store.records import JobRecord

MAX_TEXT = 1_000_000
"""Characters of a command and its environment together: what REST could have carried."""
MAX_NODES = 100_000
"""Of one job."""
_WHOLE = 2**53
"""Beyond it a double is no whole number of seconds any more."""
_LIVE = frozenset({"new", "voting", "running"})
_VOTE = frozenset({"new", "voting", "quorum_failed"})
"""Jobs whose nodes were never told to run."""


class OriginalJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it was read; nothing of it is checked.

    Args:
        status: in the original's words.
        env: JSON text, or what it says.
        created_at, updated_at: seconds since the epoch; None: what is there is no time.
        remarks: what had to be changed to read it.
    """

    id: str
    command: object
    status: str
    run_timeout: object = None
    quorum: object = None
    created_at: float | None = None
    updated_at: float | None = None
    user: object = None
    dir: object = None
    env: object = None
    capture: bool = False
    file: object = None
    parts: Sequence[tuple[str, str]] = ()
    """Names of its nodes, and their states in the original's words."""
    remarks: Sequence[str] = ()


class LeftOut(Exception):
    """Why a job is not taken over."""


class Part(msgspec.Struct, frozen=True):
    """A node's part in a job, as ours; `reason` says why it is not the original's."""

    node: str
    state: NodeState
    reason: str | None


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A job to be stored.

    Args:
        left_out: of its nodes.
        remarks: what is not as it was.
    """

    record: JobRecord
    file: str | None
    parts: Sequence[Part]
    left_out: Sequence[str]
    remarks: Sequence[str]


def taken(job: OriginalJob, org: str, now: float) -> Taken:
    """The job as one of this organization.

    Args:
        now: seconds since the epoch.

    Raises:
        LeftOut: it cannot be one.
    """
    if not names.is_job_id(job.id):
        raise LeftOut("the id is not 32 hex digits")
    remarks = list(job.remarks)
    status = _status(job.status, remarks)
    created, updated = _times(job, now, remarks)
    command = _command(job.command)
    env = _environment(job.env, remarks)
    if len(command) + len(env or "") > MAX_TEXT:
        raise LeftOut(f"the command and its environment are over {MAX_TEXT:,} characters")
    parts, left_out = _parts(job)
    record = JobRecord(
        id=job.id, org=org, command=command, status=status,
        quorum=_quorum(job.quorum, len(job.parts), remarks),
        run_timeout=_run_timeout(job.run_timeout, remarks),
        user=_text(job.user, "user", remarks), dir=_text(job.dir, "directory", remarks), env=env,
        capture=job.capture, requestor="", created_at=created, updated_at=updated,
    )  # fmt: skip
    return Taken(
        record=record, file=_file(job.file, remarks), parts=parts, left_out=left_out,
        remarks=remarks,
    )  # fmt: skip


def _status(status: str, remarks: list[str]) -> str:
    if status in _LIVE:
        remarks.append(f"was {status} when it was imported: aborted")
        return JobStatus.ABORTED
    if status == "crashed":
        remarks.append("crashed with the old server: aborted")
        return JobStatus.ABORTED
    try:
        found = JobStatus(status)
    except ValueError:
        raise LeftOut(f"there is no job status {status}") from None
    return found


def _times(job: OriginalJob, now: float, remarks: list[str]) -> tuple[float, float]:
    created, updated = job.created_at, job.updated_at
    if not _is_moment(created):
        raise LeftOut("created_at is not a time")
    assert created is not None  # noqa: S101 - `_is_moment` says so
    if created > now + limits.MAX_AHEAD:
        # Whoever becomes a client later would count as younger than all jobs.
        raise LeftOut("created_at is in the future")
    if updated is None or not _is_moment(updated) or updated > now + limits.MAX_AHEAD:
        remarks.append("updated_at is not a time: the same as created_at")
        return created, created
    if updated < created:
        remarks.append("updated_at is before created_at: the same")
        return created, created
    return created, updated


def _is_moment(seconds: float | None) -> bool:
    return seconds is not None and math.isfinite(seconds) and 0 <= seconds <= limits.LAST_MOMENT


def _command(command: object) -> str:
    if not isinstance(command, str):
        raise LeftOut("it has no command")
    if not is_text(command):
        raise LeftOut("the command holds a NUL")
    return command


def _environment(env: object, remarks: list[str]) -> str | None:
    """JSON text."""
    if env is None or env == "":
        return None
    if isinstance(env, str):
        try:
            env = json.loads(env) if len(env) <= MAX_TEXT else None
        except (ValueError, RecursionError):
            env = None
    if not isinstance(env, Mapping) or not all(
        is_text(part) for pair in env.items() for part in pair
    ):
        remarks.append("the environment is not one of strings: left out")
        return None
    return json.dumps(dict(env))


def _text(value: object, what: str, remarks: list[str]) -> str | None:
    """Of a column that may be padded with blanks."""
    if value is None:
        return None
    if not is_text(value) or len(str(value)) > MAX_TEXT:
        remarks.append(f"the {what} is not text: left out")
        return None
    return str(value).rstrip(" ") or None


def _file(file: object, remarks: list[str]) -> str | None:
    if file is None or file == "":
        return None
    try:
        check_file(str(file) if is_text(file) else "")
    except InvalidJob:
        remarks.append("its file is not one: left out")
        return None
    return str(file)


def _quorum(quorum: object, nodes: int, remarks: list[str]) -> int:
    if type(quorum) is int and 0 <= quorum <= limits.MAX_QUORUM:
        return quorum
    remarks.append("the quorum is not known: the number of nodes, which is the default")
    return nodes


def _run_timeout(seconds: object, remarks: list[str]) -> float:
    if isinstance(seconds, int | float) and abs(seconds) <= _WHOLE:
        return float(seconds)
    remarks.append("run_timeout is not known: 3600, which is the default")
    return limits.DEFAULT_RUN_TIMEOUT


def _parts(job: OriginalJob) -> tuple[list[Part], list[str]]:
    parts: dict[str, Part] = {}
    left_out: list[str] = []
    for node, state in job.parts:
        if not names.is_node_name(node):
            left_out.append("no node can have the name")
        elif node in parts:
            left_out.append("the job has the node twice")
        elif len(parts) == MAX_NODES:
            left_out.append(f"the job has more than {MAX_NODES:,}")
        elif (ended := _state(state, job.status)) is None:
            left_out.append(f"there is no node state {state}")
        else:
            parts[node] = Part(node, *ended)
    return list(parts.values()), left_out


def _state(state: str, job_status: str) -> tuple[NodeState, str | None] | None:
    """The state in which the node's part ended, and why it is not the original's."""
    if job_status in _LIVE:
        when = "when the job was imported"
    elif job_status == "crashed":
        when = "when the old server crashed"
    else:
        when = "when the job ended"
    match state:
        case "new":
            return NodeState.UNAVAILABLE, f"had not voted {when}"
        case "ready" if job_status in _VOTE:
            return NodeState.WAS_READY, f"was ready {when}"
        case "ready" | "running":
            return NodeState.CRASHED, f"was {state} {when}"
        case "faulty":
            return NodeState.CRASHED, "faulty, says the old server"
    try:
        return NodeState(state), None
    except ValueError:
        return None
