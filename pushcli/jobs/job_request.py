"""The body of `POST jobs` (Push Jobs protocol, section 3) from what the operator typed."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

from pushcli.errors import UsageError
from pushcli.jobs.quorum import parse_quorum
from pushcli.protocol.limits import MAX_FILE


def job_request(
    command: str,
    nodes: Sequence[str],
    *,
    quorum: str | None = None,
    run_timeout: float | None = None,
    capture: bool = False,
    env: str | None = None,
    directory: str | None = None,
    user: str | None = None,
    file: Path | None = None,
) -> dict[str, object]:
    """What to ask the server for; only what was given, so that its defaults hold.

    Args:
        nodes: names; one that is given twice counts once.
        quorum: a number or a percentage, as typed.
        run_timeout: seconds.
        env: a JSON object of strings, as typed.

    Raises:
        UsageError: one of them makes no sense.
    """
    names = list(dict.fromkeys(nodes))
    given = {
        "run_timeout": None if run_timeout is None else _number(run_timeout),
        "quorum": None if quorum is None else parse_quorum(quorum, len(names)),
        "user": user,
        "dir": directory,
        "env": None if env is None else parse_env(env),
        "file": None if file is None else read_file(file),
        "capture_output": True if capture else None,
    }
    return {
        "command": command,
        "nodes": names,
        **{key: value for key, value in given.items() if value is not None},
    }


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
        raise UsageError("--with-env is no JSON object", _ENV_REMEDY)
    env = {name: value for name, value in pairs if isinstance(value, str)}
    if not all(isinstance(value, str) for _, value in pairs):
        raise UsageError("--with-env has a value that is no string", _ENV_REMEDY)
    if len(env) != len(pairs):
        raise UsageError("--with-env names a variable twice", _ENV_REMEDY)
    return env


_ENV_REMEDY = 'write it like {"NAME": "value"}'


class _Pairs(list[tuple[str, object]]):
    """A JSON object with its repeats."""


def read_file(path: Path) -> str:
    """The file's content as the server takes it.

    Raises:
        UsageError: it cannot be read, or is too large.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "check --file") from error
    if len(content) > MAX_FILE:
        raise UsageError(
            f"{path} has {len(content):,} bytes", f"a job's file may have {MAX_FILE:,}"
        )
    return "base64:" + base64.b64encode(content).decode()


def _number(seconds: float) -> float:
    """A whole number without its `.0`, as it is echoed."""
    return int(seconds) if seconds.is_integer() else seconds
