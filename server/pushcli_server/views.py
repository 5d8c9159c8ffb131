"""What REST shows of a job: exactly the keys that old scripts compare (section 3)."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from pushcli.protocol import run_wire
from pushcli.protocol.run import RunSpec
from pushcli.protocol.timestamps import format_rfc1123
from pushcli_server.core.job_state import Job
from pushcli_server.core.states import NodeState
from pushcli_server.store.reads import LIVE
from pushcli_server.store.records import JobNodeRecord, JobRecord

_WITHOUT_RESULT = frozenset({NodeState.CRASHED, NodeState.TIMED_OUT, NodeState.ABORTED})
_BESIDE_OUTPUT = frozenset({
    "node", "state", "reason", "exit_code", "signal", "started_at", "ended_at", "late_result",
    "succeeded", "timed_out", "aborted", "lost", "ending", "out_of_contact", "last_contact",
})  # fmt: skip
"""What a node's part, and a late result, says that tells nothing of what its command wrote.

Named is what may be shown: what comes to them later is hidden until somebody has thought of it.
"""


class Described(Protocol):
    """What a job's view needs; a live job and a stored one have it."""

    @property
    def id(self) -> str: ...
    @property
    def run(self) -> RunSpec: ...
    @property
    def has_file(self) -> bool: ...
    @property
    def status(self) -> str: ...
    @property
    def batch(self) -> str | None: ...
    @property
    def has_stdin(self) -> bool: ...
    @property
    def secret_names(self) -> tuple[str, ...]: ...
    @property
    def created_at(self) -> float: ...
    @property
    def updated_at(self) -> float: ...


def job_summary(job: Described, *, include_file: bool = False) -> dict[str, Any]:
    """A job as `GET jobs` lists it, without its nodes."""
    run = run_wire.rest_fields(job.run)
    if job.has_file and not include_file:
        run.pop("file", None)
        run["file_specified"] = True
    return {
        "id": job.id,
        "command": job.run.command,
        "status": str(job.status),
        "run_timeout": run_wire.whole(job.run.run_timeout),
        "created_at": format_rfc1123(job.created_at),
        "updated_at": format_rfc1123(job.updated_at),
        **run,
    }


def our_options(job: Described, *, include_file: bool = False) -> dict[str, Any]:
    """What a job has of ours, for paths that no old client knows: `{"pushcli": {...}}`.

    Args:
        include_file: with what its command reads, instead of whether it does.
    """
    options = run_wire.rest_options(job.run)
    # Whatever else is shown, their values are not.
    options.pop(run_wire.SECRET_ENV, None)
    if job.secret_names:
        options[run_wire.SECRET_ENV] = list(job.secret_names)
    if job.has_stdin and not include_file:
        options[run_wire.STDIN] = True
    if job.batch is not None:
        options[run_wire.BATCH] = job.batch
    return {run_wire.OPTIONS_KEY: options} if options else {}


def listed_job(job: Described, record: JobRecord, states: Mapping[str, int]) -> dict[str, Any]:
    """A job as a page of `GET jobs` shows it (docs/extensions.md).

    Args:
        states: how many of its nodes are in each.
    """
    is_over = record.status not in LIVE
    more = {
        "requestor": record.owner or record.requestor or None,
        "requestor_kind": record.owner_kind,
        "origin": record.origin,
        "quorum": record.quorum,
        "batch": job.batch,
        "node_count": sum(states.values()),
        "states": states,
        "ended_at": format_rfc1123(record.updated_at) if is_over else None,
        "duration": round(record.updated_at - record.created_at, 3) if is_over else None,
    }
    shown = {key: value for key, value in more.items() if value is not None}
    return {**job_summary(job), **shown}


def job_with_nodes(
    job: Described, states: Mapping[str, str], *, include_file: bool = False
) -> dict[str, Any]:
    """A job as `GET jobs/ID` shows it: its nodes under their states."""
    return {**job_summary(job, include_file=include_file), "nodes": by_state(states.items())}


def by_state(states: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """The nodes under each state that has any."""
    grouped: dict[str, list[str]] = {}
    for node, state in states:
        grouped.setdefault(str(state), []).append(node)
    return grouped


def output_dropped(part: JobNodeRecord, channel: str) -> int:
    """Bytes that are missing of a channel."""
    return (part.stdout_dropped if channel == "stdout" else part.stderr_dropped) or 0


def output_cut_at(part: JobNodeRecord, channel: str) -> int | None:
    """Where the first of them would be."""
    return part.stdout_cut_at if channel == "stdout" else part.stderr_cut_at


def is_partial(part: JobNodeRecord) -> bool:
    """Whether there is output of a command that was cut short, or whose end nobody told."""
    if part.stdout_digest is None and part.stderr_digest is None:
        return False
    return part.partial or (part.partial is None and part.state in _WITHOUT_RESULT)


def node_part(part: JobNodeRecord) -> dict[str, Any]:
    """A node's part in a job, as `GET jobs/ID/nodes` shows it (docs/extensions.md)."""
    more = {
        "reason": part.reason,
        "exit_code": part.exit_code,
        "signal": part.signal,
        "started_at": part.started_at,
        "ended_at": part.ended_at,
        "stdout_size": part.stdout_size,
        "stderr_size": part.stderr_size,
        "stdout_digest": part.stdout_digest,
        "stderr_digest": part.stderr_digest,
        "stdout_dropped": part.stdout_dropped or None,
        "stderr_dropped": part.stderr_dropped or None,
        "stdout_cut_at": part.stdout_cut_at,
        "stderr_cut_at": part.stderr_cut_at,
        "partial": is_partial(part) or None,
        "late_result": None if part.late_result is None else _shown_result(part.late_result),
    }
    shown = {key: value for key, value in more.items() if value is not None}
    return {"node": part.node, "state": part.state, **shown}


def deleted_output(job: JobRecord, part: JobNodeRecord) -> dict[str, Any]:
    """When, and because of which setting, what a node wrote was deleted; nothing: it was not."""
    channels = (part.stdout_size, part.stdout_digest), (part.stderr_size, part.stderr_digest)
    if job.output_deleted_at is None or all(digest or not size for size, digest in channels):
        return {}
    return {
        "output_deleted_at": job.output_deleted_at,
        "output_deleted_by": job.output_deleted_by,
    }


def without_output(part: Mapping[str, Any]) -> dict[str, Any]:
    """A node's part for those who may not read what its command wrote."""
    shown = _beside_output(part)
    if (late := shown.get("late_result")) is not None:
        shown["late_result"] = _beside_output(late)
    return {**shown, "output_hidden": True}


def _beside_output(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if key in _BESIDE_OUTPUT}


def _shown_result(late_result: str) -> dict[str, Any]:
    """A result that came too late, without what it does not say."""
    fields: dict[str, Any] = json.loads(late_result)
    return {key: value for key, value in fields.items() if value is not None and value is not False}


def out_of_contact(job: Job, node: str) -> bool:
    """Whether a node at work is not heard of, while we still wait for it."""
    return node in job.lost
