"""Jobs and results as programs get them: the server's own objects, with dates in ISO 8601."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from pushcli import durations
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
    """An event of a job's feed, with its time in milliseconds; bad data is left out."""
    try:
        told = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, ValueError):
        told = {}
    moment = _moment(told.pop("timestamp", None))
    return {**line_head(name, job_id), **moment, **told}


def line_head(event: str, job_id: str) -> dict[str, Any]:
    """What each line about a job begins with, where answers come in lines (`-F ndjson`)."""
    return {"event": event, "job": job_id}


def _moment(timestamp: object) -> dict[str, Any]:
    try:
        at = datetime.fromisoformat(str(timestamp))
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return {}
    return {"at": durations.utc(seconds)}
