"""The body of `POST jobs`, checked to the letter of the old server (section 3). Pure."""

import base64
import binascii
import json
import math
from typing import Any

from pushcli.protocol import limits, run_wire
from pushcli.protocol.names import is_job_id
from pushcli.protocol.run import RunSpec
from pushcli_server.core.job_state import JobSpec

KEYS = (*run_wire.REST_NAMES, "nodes", "quorum", run_wire.OPTIONS_KEY)
MAX_NAME = 255

UNKNOWN = "an unknown validation error has occurred"
COMMAND = "invalid command supplied"
NODES = "at least one node must be supplied"
TIMEOUT = "invalid type supplied for run_timeout (expected a number)"
QUORUM = "invalid type supplied for quorum (expected a number)"
ENV_DUPLICATE = "invalid environment value (duplicate key)"
FILE = "invalid file contents (expected 'base64:...' or 'raw:...')"
FILE_BASE64 = "invalid file contents (couldn't decode base64 string)"
FILE_SIZE = f"invalid file size (must be <= {limits.MAX_FILE} bytes)"
SIZE = f"invalid job size (command, environment and file must be <= {limits.MAX_RUN} bytes of JSON)"
CAPTURE = "invalid type supplied for capture_output (expected a boolean)"
OPTIONS = "invalid pushcli options supplied (expected an object of known options)"
KEY = "invalid key supplied"


class InvalidJob(ValueError):
    """The body is refused; the text is the old server's."""


class _Object(dict[str, Any]):
    """A JSON object that remembers whether a key stood in it twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeats = len(pairs) != len(self)


def parse(body: bytes, *, default_capture: bool = True) -> JobSpec:
    """The job that a body asks for.

    Args:
        default_capture: whether output may be kept that nobody asked for.

    Raises:
        InvalidJob: with the text for the 400.
    """
    job = _object(body)
    _check_types(job)
    _check_values(job)
    nodes = tuple(dict.fromkeys(job["nodes"]))
    given = {ours: job[key] for key, ours in run_wire.REST_NAMES.items() if key in job}
    if "env" in given:
        given["env"] = dict(given["env"])
    options = dict(job.get(run_wire.OPTIONS_KEY, {}))
    batch = options.pop(run_wire.BATCH, None)
    by_default = options.pop(run_wire.CAPTURE, None) == run_wire.DEFAULT and default_capture
    given |= options
    given["default_capture"] = by_default and not given.get("capture", False)
    if secrets := given.pop(run_wire.SECRET_ENV, None):
        given[run_wire.SECRET_ENV] = dict(secrets)
    spec = RunSpec(**given)
    if not run_wire.fits(spec):
        raise InvalidJob(SIZE)
    return JobSpec(
        run=spec,
        nodes=nodes,
        quorum=math.ceil(job.get("quorum", len(nodes))),
        batch=batch,
        secret_names=tuple(secrets or ()),
    )


def _object(body: bytes) -> _Object:
    try:
        job = json.loads(body, object_pairs_hook=_Object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise InvalidJob(UNKNOWN) from None
    if not isinstance(job, _Object):
        raise InvalidJob(UNKNOWN)
    return job


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _check_types(job: _Object) -> None:
    """Key by key, in the order of the protocol's table."""
    nodes = job.get("nodes")
    checks = (
        (is_text(job.get("command")), COMMAND),
        (isinstance(nodes, list) and all(_is_name(node) for node in nodes), NODES),
        (_is_amount(job.get("run_timeout", 0), limits.MAX_RUN_TIMEOUT), TIMEOUT),
        (_is_amount(job.get("quorum", 0), limits.MAX_QUORUM), QUORUM),
        (is_text(job.get("user", "")), UNKNOWN),
        (is_text(job.get("dir", "")), UNKNOWN),
        (_is_environment(job.get("env", _Object([]))), UNKNOWN),
        (is_text(job.get("file", "")), FILE),
        (isinstance(job.get("capture_output", False), bool), CAPTURE),
        (_are_options(job.get(run_wire.OPTIONS_KEY, {})), OPTIONS),
        (all(key in KEYS for key in job), KEY),
        (bool(nodes), NODES),
    )
    for passed, text in checks:
        if not passed:
            raise InvalidJob(text)


def _check_values(job: _Object) -> None:
    env = job.get("env", _Object([]))
    secrets = job.get(run_wire.OPTIONS_KEY, {}).get(run_wire.SECRET_ENV, {})
    if env.repeats or not env.keys().isdisjoint(secrets):
        raise InvalidJob(ENV_DUPLICATE)
    if "file" in job:
        check_file(job["file"])


def check_file(file: str) -> None:
    """A job's file must be one.

    Raises:
        InvalidJob: it is not.
    """
    kind, separator, content = file.partition(":")
    if not separator or kind not in {"raw", "base64"}:
        raise InvalidJob(FILE)
    if kind == "raw":
        size = len(content.encode())
    else:
        try:
            size = len(base64.b64decode("".join(content.split()), validate=True))
        except (binascii.Error, ValueError):
            raise InvalidJob(FILE_BASE64) from None
    if size > limits.MAX_FILE:
        raise InvalidJob(FILE_SIZE)


def is_text(value: Any) -> bool:
    """Whether a database and a process can hold the string: no NUL, no half of a surrogate pair."""
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_name(value: Any) -> bool:
    return is_text(value) and len(value) <= MAX_NAME


def _are_options(value: Any) -> bool:
    """Whether these are options that ours adds, each once (docs/extensions.md)."""
    return (
        isinstance(value, dict)
        and not getattr(value, "repeats", False)
        and all(_is_option(name, value[name]) for name in value)
    )


def _is_option(name: str, value: Any) -> bool:
    if name == run_wire.BATCH:
        return isinstance(value, str) and is_job_id(value)
    if name == run_wire.SECRET_ENV:
        return _is_environment(value) and not value.repeats
    if name == run_wire.STDIN:
        return is_text(value) and _is_content(value)
    if name == run_wire.CAPTURE:
        return bool(value == run_wire.DEFAULT)
    return name == "exact_env" and isinstance(value, bool)


def _is_content(value: str) -> bool:
    """Whether this is content as a file has it, within the same bound."""
    try:
        check_file(value)
    except InvalidJob:
        return False
    return True


def _is_amount(value: Any, most: int) -> bool:
    """A number that is not a boolean, from 0 to `most`; neither infinite nor NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= most


def _is_environment(value: Any) -> bool:
    return isinstance(value, _Object) and all(
        is_text(name) and is_text(text) for name, text in value.items()
    )
