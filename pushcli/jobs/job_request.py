"""The body of `POST jobs` (Push Jobs protocol, section 3) from what the operator typed."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from pushcli.errors import UsageError
from pushcli.jobs.quorum import parse_quorum
from pushcli.protocol import run_wire
from pushcli.protocol.limits import MAX_FILE
from pushcli.protocol.run import RunSpec

STDIN = "-"
"""In place of a file's name: standard input."""


def job_request(
    run: RunSpec, nodes: Sequence[str], *, quorum: str | None = None, batch: str | None = None
) -> dict[str, object]:
    """What to ask the server for; defaults are left to it.

    Args:
        nodes: names; one that is given twice counts once.
        quorum: a number or a percentage, as typed.
        batch: what the jobs that belong together have in common (32 hex digits).

    Raises:
        UsageError: it makes no sense.
    """
    if not run.command.strip():
        raise UsageError("the command is empty", "give the name of an entry on the whitelist")
    if run.dir is not None and not run.dir.startswith("/"):
        raise UsageError(f"--in-dir {run.dir!r} is not absolute", "give a path that begins with /")
    names = list(dict.fromkeys(nodes))
    request = {**run_wire.rest_fields(run), "nodes": names}
    options = run_wire.rest_options(run)
    if batch is not None:
        options[run_wire.BATCH] = batch
    if options:
        request[run_wire.OPTIONS_KEY] = options
    if quorum is not None:
        request["quorum"] = parse_quorum(quorum, len(names))
    return request


def environment(with_env: str | None, variables: Sequence[str]) -> dict[str, str] | None:
    """The environment of `--with-env` and `--env`; None: neither was given.

    Args:
        with_env: a JSON object.
        variables: `NAME=VALUE` each.

    Raises:
        UsageError: one cannot be read, or a name was given twice.
    """
    if with_env is None and not variables:
        return None
    env = {} if with_env is None else parse_env(with_env)
    for variable in variables:
        name, separator, value = variable.partition("=")
        if not separator or not name:
            raise UsageError(f"--env {name!r} has no value", "write it like NAME=value")
        if name in env:
            raise UsageError(f"the variable {name!r} was given twice", "leave out one of them")
        env[name] = value
    return env


def parse_env(text: str) -> dict[str, str]:
    """The environment that knife's `--with-env` takes.

    Raises:
        UsageError: it is no JSON object of strings, or names a variable twice.
    """
    try:
        pairs = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"--with-env is not JSON: {error}", _ENV_REMEDY) from error
    if not isinstance(pairs, _Pairs):
        raise UsageError("--with-env must be a JSON object", _ENV_REMEDY)
    env = {name: value for name, value in pairs if isinstance(value, str)}
    if not all(isinstance(value, str) for _, value in pairs):
        raise UsageError("--with-env: values must be strings", _ENV_REMEDY)
    if len(env) != len(pairs):
        raise UsageError("--with-env names a variable twice", _ENV_REMEDY)
    return env


_ENV_REMEDY = 'write it like {"NAME": "value"}'


class _Pairs(list[tuple[str, object]]):
    """A JSON object with its repeats."""


def read_file(path: Path, stdin: TextIO | None = None, *, option: str = "--file") -> str:
    """The file's content as the server takes it.

    Args:
        path: `-` is standard input.
        stdin: None: it is closed.
        option: that named it.

    Raises:
        UsageError: it cannot be read, or is too large.
    """
    where = "standard input" if str(path) == STDIN else str(path)
    try:
        if where == str(path):
            with path.open("rb") as file:
                content = file.read(MAX_FILE + 1)
        elif stdin is None:
            raise UsageError("standard input is closed", f"name a file: {option} FILE")
        else:
            content = stdin.buffer.read(MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"cannot read {where}: {error.strerror}", f"check {option}") from error
    if len(content) > MAX_FILE:
        raise UsageError(f"{where} is too large", f"{option} takes at most {MAX_FILE:,} bytes")
    return "base64:" + base64.b64encode(content).decode()
