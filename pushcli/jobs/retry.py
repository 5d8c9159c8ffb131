"""The same job again, on those of its nodes that need it."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from pushcli.client.answers import checked
from pushcli.errors import NotFound, ServerError, UsageError
from pushcli.jobs.model import PENDING
from pushcli.jobs.secret_variables import read_secrets
from pushcli.protocol import run_wire
from pushcli.protocol.limits import DEFAULT_RUN_TIMEOUT
from pushcli.protocol.names import by_number
from pushcli.protocol.run import RunSpec
from pushcli.terminal.context import App

CHOICES = {
    "failed": ("failed", "crashed"),
    "nacked": ("nacked",),
    "unavailable": ("unavailable",),
    "timed_out": ("timed_out",),
}
"""States of nodes by the choice that means them."""
_REMEDY = "give it again: --file FILE"


class Again(NamedTuple):
    """What is to be run again, and on which nodes, sorted by their numbers."""

    run: RunSpec
    nodes: list[str]


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the server tells of what was asked for."""

    id: str
    command: str
    nodes: dict[str, list[str]]
    run_timeout: float = DEFAULT_RUN_TIMEOUT
    user: str | None = None
    dir: str | None = None
    env: dict[str, str] | None = None
    capture_output: bool = False
    file_specified: bool = False


class _Brought(msgspec.Struct, frozen=True):
    file: str | None = None


def again(app: App, job_id: str, choices: Iterable[str], *, file: str | None = None) -> Again:
    """Read from the server what the job was.

    Args:
        choices: keys of `CHOICES`; none of them: all nodes that did not succeed.
            `all`: all nodes.
        file: what the job is to bring to its nodes instead of what it brought.

    Raises:
        NotFound: there is no such job, or no such node in it.
        UsageError: the server does not have its file any more.
    """
    asked = checked(app.client.job(job_id), _Asked)
    nodes = _chosen(app, asked, frozenset(choices))
    if file is None and asked.file_specified:
        file = _file(app, job_id)
    options = app.client.job_options(job_id)
    stdin = _stdin(app, job_id) if options.get(run_wire.STDIN) else None
    secrets = read_secrets(app, options.get(run_wire.SECRET_ENV) or ())
    run = RunSpec(
        command=asked.command,
        run_timeout=asked.run_timeout,
        user=asked.user,
        dir=asked.dir,
        env=asked.env,
        file=file,
        capture=asked.capture_output,
        default_capture=options.get(run_wire.CAPTURE) == run_wire.DEFAULT,
        exact_env=bool(asked.env or secrets),
        secret_env=secrets,
        stdin=stdin,
    )
    return Again(run, nodes)


def _chosen(app: App, asked: _Asked, choices: frozenset[str]) -> list[str]:
    if "all" in choices:
        states = set(asked.nodes)
    elif choices:
        states = {state for choice in choices for state in CHOICES[choice]}
    else:
        states = {*asked.nodes} - {"succeeded"}
    unfinished = states & PENDING & {*asked.nodes}
    if unfinished:
        # The command may run there: it would run twice.
        count = sum(len(asked.nodes[state]) for state in unfinished)
        app.remark(f"left out: {count} that are not done with the job yet")
    names = [name for state in states - PENDING for name in asked.nodes.get(state, [])]
    if not names:
        which = " or ".join(sorted(choice.replace("_", " ") for choice in choices))
        what = "no node of the job is left to retry" if not which else f"no node of the job {which}"
        raise NotFound(what, f"see `pushcli job status {asked.id}`")
    return sorted(names, key=by_number)


def _file(app: App, job_id: str) -> str:
    try:
        raw: Any = app.client.job(job_id, include_file=True)
    except ServerError as error:
        raise UsageError(f"the job's file cannot be read ({error.message})", _REMEDY) from error
    content = checked(raw, _Brought).file
    if content is None:
        raise UsageError("the server no longer has the job's file", _REMEDY)
    return content


def _stdin(app: App, job_id: str) -> str:
    try:
        content = app.client.job_options(job_id, include_file=True).get(run_wire.STDIN)
    except ServerError:
        content = None
    if not isinstance(content, str):
        raise UsageError(
            "the server no longer has what the command read",
            "start another: `pushcli job start ... --stdin FILE`",
        )
    return content
