"""What this node is willing to run, and how: from a request to a job that is ready to start.

A request comes from the server, whose operators are held to the whitelist; nothing in it
may walk around that.
"""

import os
from contextlib import ExitStack
from pathlib import Path

import msgspec

from pushcli.protocol import limits, names
from pushcli.protocol.run import RunSpec
from pushcli.whitelist.entry import Entry
from pushcli.whitelist.match import Match
from pushcli_agent.running import (
    directories,
    entry_lock,
    environment,
    exec_limits,
    jobfile,
    users,
)
from pushcli_agent.running.directories import Directory
from pushcli_agent.running.users import User
from pushcli_agent.whitelist.merged import MergedWhitelist, Source

_UMASK = 0o022
_MARK_ROOM = 256
"""Bytes for the line that says what is left out of output that was captured by default."""


class Refusal(Exception):
    """This node does not take the job on; `reason` is one line for the operator."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PolicyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of agent.toml that concern commands."""

    whitelist: MergedWhitelist
    file_dir: Path
    lock_dir: Path
    """For the locks of entries with `lock = true`."""
    allowed_overwritable_env_vars: frozenset[str] | None = None
    allowed_dirs: frozenset[str] | None = None
    rename_env: bool = False
    allowed_users: frozenset[str] | None = None
    max_output_bytes: int = 10 * 1024 * 1024
    """Per channel."""
    default_capture: bool = True
    """Whether a little of the output is kept if nobody asked for it."""
    outlives_agent: bool = True
    """Whether the command goes on when the agent is gone."""


class PreparedJob(msgspec.Struct, frozen=True, kw_only=True):
    """All that a supervisor must know."""

    job_id: str
    run: RunSpec
    """What was asked for, within this node's limits; without the file's content."""
    command: str | tuple[str, ...]
    """For `/bin/sh -c`, or a program and its arguments."""
    env: dict[str, str]
    """Complete."""
    directory: str
    user: User
    file: Path | None
    max_output_bytes: int
    stdin: bytes | None = None
    """What the command reads; None: nothing."""
    outlives_agent: bool = True
    reboots: bool = False
    """Whether the node's restart is what its command is for."""
    umask: int = _UMASK
    lock: int = -1
    """A descriptor that holds the entry's lock: for the supervisor, and then to be closed."""
    judged: int = -1
    """A descriptor of the directory, where the node limits the choice; likewise."""

    def release(self) -> None:
        """Let go of lock and directory; the supervisor, if it was started, has its own."""
        for descriptor in (self.lock, self.judged):
            if descriptor >= 0:
                os.close(descriptor)

    def withdraw(self) -> None:
        """It does not run after all: what was written for it is not needed."""
        if self.file is not None:
            self.file.unlink(missing_ok=True)


class Explanation(msgspec.Struct, frozen=True):
    """What a request would run, by which entry."""

    command: str | tuple[str, ...]
    entry: Entry
    source: Source


def prepare(
    job_id: str, run: RunSpec, config: PolicyConfig, *, node: str, requestor: str | None
) -> PreparedJob:
    """Check a request against this node's policy; the lock and the job's file come last.

    Args:
        requestor: who started the job, if that is known.

    Raises:
        Refusal: something speaks against it.
    """
    # It becomes the name of a directory.
    if not names.is_job_id(job_id):
        raise Refusal("invalid job id in the commit")
    match = _match(run, config, requestor)
    entry = match.entry
    user = _user(run, entry, config)
    content = _content(run)
    stdin = _stdin(run, entry)
    own = {"CHEF_PUSH_NODE_NAME": node, "CHEF_PUSH_JOB_ID": job_id}
    env = _environment(run, match, config, user, own)
    with ExitStack() as undo:
        directory = _directory(run, entry, config)
        undo.callback(directory.close)
        lock = _acquire_lock(entry, config)
        if lock >= 0:
            undo.callback(os.close, lock)
        file = None if content is None else _write(content, config, user)
        undo.pop_all()
    if file is not None:
        env["CHEF_PUSH_JOB_FILE"] = str(file)
    run = _captured(run, entry, config)
    return PreparedJob(
        job_id=job_id,
        run=msgspec.structs.replace(run, run_timeout=_timeout(run, entry), file=None),
        command=match.command,
        env=env,
        directory=directory.path,
        user=user,
        file=file,
        max_output_bytes=_output_limit(run, config),
        stdin=stdin,
        outlives_agent=config.outlives_agent,
        reboots=entry.reboots,
        lock=lock,
        judged=directory.descriptor,
    )


def explain(run: RunSpec, config: PolicyConfig, *, requestor: str | None) -> Explanation:
    """What would be run, if it would; nothing is started, written or locked.

    Raises:
        Refusal: something speaks against it.
    """
    match = _match(run, config, requestor)
    user = _user(run, match.entry, config)
    _content(run)
    _stdin(run, match.entry)
    _environment(run, match, config, user, {})
    _directory(run, match.entry, config).close()
    try:
        if match.entry.lock:
            entry_lock.check(match.entry, config.lock_dir)
    except entry_lock.LockRefused as refused:
        raise Refusal(str(refused)) from refused
    return Explanation(match.command, match.entry, config.whitelist.source(match.entry.name))


def _match(run: RunSpec, config: PolicyConfig, requestor: str | None) -> Match:
    request = run.command
    match = config.whitelist.find(request)
    if match is None:
        if (why := config.whitelist.why_refused(request)) is not None:
            raise Refusal(f"its entry {request[:128]!r} is not in force: {why}")
        nearest = config.whitelist.nearest(request)
        hint = "" if nearest is None else f"; the nearest entry is {nearest!r}"
        raise Refusal(f"not on the whitelist: {request[:128]!r}{hint}")
    operators = match.entry.operators
    if operators is not None and requestor not in operators:
        who = "unknown" if requestor is None else repr(requestor[:128])
        raise Refusal(f"the requestor ({who}) is not among the entry's operators")
    if not all(map(exec_limits.is_argument, _arguments(match.command))):
        raise Refusal(f"the whitelist's command for {request[:128]!r} cannot be run")
    return match


def _arguments(command: str | tuple[str, ...]) -> tuple[str, ...]:
    return (command,) if isinstance(command, str) else command


def _acquire_lock(entry: Entry, config: PolicyConfig) -> int:
    if not entry.lock:
        return -1
    try:
        return entry_lock.acquire(entry, config.lock_dir)
    except entry_lock.LockRefused as refused:
        raise Refusal(str(refused)) from refused


def _timeout(run: RunSpec, entry: Entry) -> float:
    return run.run_timeout if entry.timeout is None else min(run.run_timeout, entry.timeout)


def _captured(run: RunSpec, entry: Entry, config: PolicyConfig) -> RunSpec:
    """With what is kept of the output here: the entry has the last word."""
    capture = run.capture and entry.capture
    by_default = run.default_capture and entry.capture and config.default_capture
    return msgspec.structs.replace(run, capture=capture, default_capture=by_default)


def _output_limit(run: RunSpec, config: PolicyConfig) -> int:
    if run.capture:
        return config.max_output_bytes
    return min(config.max_output_bytes, limits.MAX_DEFAULT_OUTPUT - _MARK_ROOM)


def _user(run: RunSpec, entry: Entry, config: PolicyConfig) -> User:
    is_local = config.whitelist.source(entry.name) == "local"
    try:
        return users.choose(run.user, config.allowed_users, preset=entry.user, is_local=is_local)
    except users.UserRefused as refused:
        raise Refusal(str(refused)) from refused


def _directory(run: RunSpec, entry: Entry, config: PolicyConfig) -> Directory:
    try:
        return directories.choose(
            run.dir, config.allowed_dirs, preset=entry.dir, widened=entry.dirs
        )
    except directories.DirectoryRefused as refused:
        raise Refusal(str(refused)) from refused


def _content(run: RunSpec) -> bytes | None:
    try:
        return None if run.file is None else jobfile.decode(run.file)
    except jobfile.JobFileError as error:
        raise Refusal(f"file: {error}") from error


def _stdin(run: RunSpec, entry: Entry) -> bytes | None:
    if run.stdin is None:
        return None
    if not entry.stdin:
        raise Refusal("standard input is not allowed: the entry lacks stdin = true")
    try:
        return jobfile.decode(run.stdin)
    except jobfile.JobFileError as error:
        raise Refusal(f"standard input: {error}") from error


def _environment(
    run: RunSpec, match: Match, config: PolicyConfig, user: User, own: dict[str, str]
) -> dict[str, str]:
    rule = environment.Rule(
        allowed=config.allowed_overwritable_env_vars,
        widened=match.entry.env,
        exact=run.exact_env and not config.rename_env,
    )
    given = {**(run.env or {}), **(run.secret_env or {})}
    try:
        env = environment.compose(os.environ, user, given, rule, own)
        exec_limits.require_startable(_arguments(match.command), env, exec_limits.total())
    except (environment.VariableRefused, exec_limits.TooLong) as refused:
        raise Refusal(str(refused)) from refused
    return env


def _write(content: bytes, config: PolicyConfig, user: User) -> Path:
    owner = (user.uid, user.gid) if user.is_other else None
    try:
        return jobfile.write(config.file_dir, content, owner)
    except jobfile.JobFileError as error:
        raise Refusal(f"file: {error}") from error
