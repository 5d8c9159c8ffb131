"""Jobs and results as programs get them: the server's own objects, with dates in ISO 8601."""

from collections.abc import Mapping
from typing import Any

import msgspec

from pushcli.jobs.model import NodeResult
from pushcli.terminal.times import dated

_TIMES = ("started_at", "ended_at")


def job_as_data(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A job."""
    return dated(raw, "created_at", "updated_at")


def result_as_data(result: NodeResult) -> dict[str, Any]:
    """What became of a node."""
    told = dated(msgspec.to_builtins(result), *_TIMES)
    if "late_result" in told:
        told["late_result"] = dated(told["late_result"], *_TIMES)
    return told
