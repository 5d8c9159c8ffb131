"""RunSpec and Outcome as the messages carry them: the one place that maps to and from the wire."""

from typing import Any

import msgspec

from pushcli.protocol import messages
from pushcli.protocol.run import Outcome, RunSpec

_SPEC = tuple(field.name for field in msgspec.structs.fields(RunSpec))


def commit_fields(spec: RunSpec, *, timeout: bool) -> dict[str, Any]:
    """What a `commit` says of the run.

    Args:
        timeout: whether the agent takes `run_timeout` (extension `timeout`).
    """
    fields = {name: getattr(spec, name) for name in _SPEC}
    if not timeout:
        del fields["run_timeout"]
    return fields


def spec_of(commit: messages.Commit) -> RunSpec:
    """What a `commit` asks to be run; without a time limit if it names none."""
    fields = {name: getattr(commit, name) for name in _SPEC}
    if fields["run_timeout"] is None:
        fields["run_timeout"] = float("inf")
    return RunSpec(**{**fields, "command": commit.command or ""})


def result_fields(outcome: Outcome) -> dict[str, Any]:
    """What a result says of the end beside the output, to a server that keeps results."""
    return {
        "exit_code": outcome.exit_code,
        "signal": outcome.signal,
        "timed_out": outcome.timed_out,
        "started_at": outcome.started_at,
        "ended_at": outcome.ended_at,
    }


def outcome_of(result: messages.Result) -> Outcome:
    """How the command ended, as its agent tells it; an old one says only whether it succeeded."""
    return Outcome(
        exit_code=result.exit_code,
        signal=result.signal,
        timed_out=result.timed_out,
        started_at=result.started_at,
        ended_at=result.ended_at,
        stdout_size=result.stdout_size or 0,
        stderr_size=result.stderr_size or 0,
    )
