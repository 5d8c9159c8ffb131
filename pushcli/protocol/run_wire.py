"""RunSpec and Outcome as REST and the messages carry them: the one place that maps both ways."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import msgspec

from pushcli.protocol import extensions, limits, messages
from pushcli.protocol.run import EXTENSIONS, OPTIONS, Outcome, RunSpec

_SPEC = RunSpec.__struct_fields__
OPTIONS_KEY = "pushcli"
"""Of `POST jobs`: an object with `run.OPTIONS`, where the server offers JOB_OPTIONS."""
JOB_OPTIONS = "job-options"
"""The server knows these options, and `env` in `POST checks`."""
BATCH = "batch"
"""In that object: an id that jobs which belong together have in common, where BATCHES is
offered."""
BATCHES = "batches"
STDIN = "stdin"
"""In that object: what the command reads from standard input, where the server offers this."""
SECRET_ENV = "secret_env"  # noqa: S105 - a name
"""In that object: variables whose values nobody is shown, where the server offers SECRETS."""
SECRETS = "secrets"
CAPTURE = "capture"
"""In that object: `DEFAULT`, if nobody said what is to be kept of what the command writes, where
DEFAULT_CAPTURE is offered."""
DEFAULT = "default"
DEFAULT_CAPTURE = "default-capture"
OFFERED_WITH = {BATCH: BATCHES, STDIN: STDIN, SECRET_ENV: SECRETS, CAPTURE: DEFAULT_CAPTURE}
"""Members of that object that the server knows where it offers this, and not JOB_OPTIONS alone."""
_END = ("exit_code", "signal", "timed_out", "started_at", "ended_at")
"""What a result says of the end beside the output."""
_CUT_SHORT = ("aborted", "lost")
_DROPPED = ("stdout_dropped", "stderr_dropped")
"""And these where the extension `partial` is agreed."""
_CUT_AT = ("stdout_cut_at", "stderr_cut_at")
"""And these where `stream` is."""
REST_NAMES = {
    {"capture": "capture_output"}.get(name, name): name for name in _SPEC if name not in OPTIONS
}
"""The fields of a RunSpec by their names in REST (Push Jobs protocol, section 3)."""


def rest_fields(spec: RunSpec) -> dict[str, Any]:
    """What REST says of the run: its command, and what differs from the defaults."""
    fields = msgspec.structs.asdict(spec) | {"run_timeout": whole(spec.run_timeout)}
    default = msgspec.structs.asdict(RunSpec(command=""))
    return {
        key: fields[name]
        for key, name in REST_NAMES.items()
        if name == "command" or fields[name] != default[name]
    }


def rest_options(spec: RunSpec) -> dict[str, Any]:
    """What `pushcli` in `POST jobs` has: the options of ours that differ from the defaults."""
    default = RunSpec(command="")
    given = {name: getattr(spec, name) for name in OPTIONS}
    options = {name: value for name, value in given.items() if value != getattr(default, name)}
    return options | {CAPTURE: DEFAULT} if options.pop("default_capture", False) else options


def understood(request: Mapping[str, Any], offered: frozenset[str]) -> dict[str, Any]:
    """What a server that offers this knows of the body of `POST jobs`."""
    others = {key: value for key, value in request.items() if key != OPTIONS_KEY}
    options = {
        name: value
        for name, value in request.get(OPTIONS_KEY, {}).items()
        if {JOB_OPTIONS, OFFERED_WITH.get(name, JOB_OPTIONS)} <= offered
    }
    return {**others, OPTIONS_KEY: options} if options else others


def without(request: Mapping[str, Any], option: str) -> dict[str, Any]:
    """The body of `POST jobs` without one of our options."""
    others = {key: value for key, value in request.items() if key != OPTIONS_KEY}
    options = {key: value for key, value in request[OPTIONS_KEY].items() if key != option}
    return {**others, OPTIONS_KEY: options} if options else others


def whole(seconds: float) -> float:
    """A whole number without its `.0`, as old servers show it."""
    return int(seconds) if float(seconds).is_integer() else seconds


def commit_fields(spec: RunSpec, agreed: frozenset[str]) -> dict[str, Any]:
    """What a `commit` says of the run, to an agent with which these extensions are agreed."""
    fields = {name: getattr(spec, name) for name in _travelling(agreed)}
    if extensions.CAPTURE not in agreed and delivers(spec, agreed):
        # It keeps all or nothing; the server then keeps no more of it than of others.
        fields["capture"] = True
    return fields


def delivers(spec: RunSpec, agreed: frozenset[str]) -> bool:
    """Whether an agent with which this is agreed is to send what the command writes.

    An old one is not asked unless somebody wants to have it: output that is not UTF-8 costs
    such a node its job.
    """
    return spec.capture or (spec.default_capture and extensions.OUTPUT in agreed)


def fits(spec: RunSpec) -> bool:
    """Whether a message to an agent can carry all that is to be run."""
    return len(msgspec.json.encode(commit_fields(spec, extensions.ALL))) <= limits.MAX_RUN


def beyond(spec: RunSpec, agreed: frozenset[str]) -> str | None:
    """Why an agent with which this is agreed cannot run it at all; None: it can.

    What else it does not know only makes a job laxer.
    """
    if spec.stdin is not None and extensions.STDIN not in agreed:
        return "its agent is too old for --stdin"
    if spec.secret_env and extensions.SECRETS not in agreed:
        return "its agent is too old for --secret-env"
    return None


def spec_of(commit: messages.Commit, agreed: frozenset[str]) -> RunSpec:
    """What a `commit` asks to be run; without a time limit if it names none.

    Args:
        commit: one that names a command.
        agreed: extensions; what belongs to another one counts for nothing.
    """
    fields = {name: getattr(commit, name) for name in _travelling(agreed)}
    absent = (None, msgspec.UNSET)
    given = {name: value for name, value in fields.items() if value not in absent}
    return RunSpec(**{"run_timeout": math.inf, **given})


def spec_of_check(check: messages.Check) -> RunSpec:
    """What a `check` asks about: a job of our own command line."""
    return RunSpec(
        command=check.command, user=check.user, dir=check.dir, env=check.env, exact_env=True,
        stdin="raw:" if check.stdin else None,
    )  # fmt: skip


def result_fields(outcome: Outcome, *, partial: bool = True, cuts: bool = False) -> dict[str, Any]:
    """What a result says of the end beside the output, to a server that keeps results.

    Args:
        partial: whether that extension is agreed.
        cuts: whether where output was cut is of interest, which is a part of `stream`.
    """
    fields = {name: getattr(outcome, name) for name in _END}
    if partial:
        fields |= {name: getattr(outcome, name) for name in _CUT_SHORT}
        fields |= {name: getattr(outcome, name) or None for name in _DROPPED}
    if cuts:
        fields |= {name: getattr(outcome, name) for name in _CUT_AT}
    return fields


def outcome_of(result: messages.Result) -> Outcome:
    """How the command ended, as its agent reports it; an old one says only if it succeeded."""
    return Outcome(
        **{name: getattr(result, name) for name in _END + _CUT_SHORT},
        stdout_dropped=result.stdout_dropped or 0,
        stderr_dropped=result.stderr_dropped or 0,
        stdout_size=result.stdout_size or 0,
        stderr_size=result.stderr_size or 0,
    )


@lru_cache(16)
def _travelling(agreed: frozenset[str]) -> tuple[str, ...]:
    """The fields of a RunSpec that a `commit` carries; a fleet asks for few sets, very often."""
    return tuple(n for n in _SPEC if n not in EXTENSIONS or EXTENSIONS[n] in agreed)
