"""Jobs and results as programs get them: the server's own objects, with dates in ISO 8601."""

from collections.abc import Mapping
from typing import Any

import msgspec

from pushcli.jobs.model import NodeResult
from pushcli.terminal.times import dated

_TIMES = ("started_at", "ended_at", "last_contact", "output_deleted_at")


def job_as_data(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A job."""
    return dated(raw, "created_at", "updated_at", "ended_at")


def result_as_data(result: NodeResult) -> dict[str, Any]:
    """What became of a node."""
    told = dated(msgspec.to_builtins(result), *_TIMES)
    if "late_result" in told:
        told["late_result"] = dated(told["late_result"], *_TIMES)
    return told


def event_as_data(job_id: str, name: str, data: bytes) -> dict[str, Any]:
    """An event of a job's feed; one whose data is not what it should be has none."""
    try:
        told = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError):
        told = {}
    at = told.pop("timestamp", None)
    moment = {"at": at.replace(" ", "T", 1)} if isinstance(at, str) else {}
    return {"event": name, "job": job_id, **moment, **told}
