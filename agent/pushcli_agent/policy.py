"""What this node is willing to run, and how: from a commit to a job that is ready to start.

A commit comes from the server, whose operators are held to the whitelist; nothing in it
may walk around that.
"""

import os
from pathlib import Path

import msgspec

from pushcli import messages, names
from pushcli_agent import environment, jobfile, users
from pushcli_agent.users import User
from pushcli_agent.whitelist import Whitelist

_UMASK = 0o022
_LONGEST_COMMAND = 128 * 1024 - 1
"""Bytes; what Linux takes as one argument of a program."""


class Refusal(Exception):
    """This node does not take the job on; `reason` is one line for the operator."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class PolicyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of agent.toml that concern commands."""

    whitelist: Whitelist
    file_dir: Path
    allowed_overwritable_env_vars: frozenset[str] | None = None
    allowed_users: frozenset[str] | None = None
    max_output_bytes: int = 10 * 1024 * 1024
    """Per channel."""


class PreparedJob(msgspec.Struct, frozen=True, kw_only=True):
    """All that a supervisor must know."""

    job_id: str
    command: str
    """For `/bin/sh -c`."""
    env: dict[str, str]
    """Complete."""
    cwd: str
    user: User
    capture: bool
    file: Path | None
    run_timeout: float | None
    """Seconds."""
    max_output_bytes: int
    umask: int = _UMASK


def prepare(commit: messages.Commit, config: PolicyConfig, node_name: str) -> PreparedJob:
    """Check a commit against this node's policy; the job's file is written last.

    Raises:
        Refusal: something speaks against it.
    """
    job_id = _job_id(commit)
    command = _command(commit, config)
    user = _user(commit, config)
    cwd = _directory(commit)
    content = _content(commit)
    own = {"CHEF_PUSH_NODE_NAME": node_name, "CHEF_PUSH_JOB_ID": job_id}
    env = _environment(commit, config, user, own)
    file = None if content is None else _write(content, config, user)
    if file is not None:
        env["CHEF_PUSH_JOB_FILE"] = str(file)
    return PreparedJob(
        job_id=job_id,
        command=command,
        env=env,
        cwd=cwd,
        user=user,
        capture=commit.capture,
        file=file,
        run_timeout=commit.run_timeout,
        max_output_bytes=config.max_output_bytes,
    )


def _job_id(commit: messages.Commit) -> str:
    # It becomes the name of a directory.
    if commit.job_id is None or not names.is_job_id(commit.job_id):
        raise Refusal("the commit has no valid job id")
    return commit.job_id


def _command(commit: messages.Commit, config: PolicyConfig) -> str:
    request = commit.command or ""
    command = config.whitelist.command_for(request)
    if command is None:
        raise Refusal(f"not on the whitelist: {request[:128]!r}")
    if "\0" in command or len(command.encode("utf-8", "replace")) > _LONGEST_COMMAND:
        raise Refusal(f"the whitelist's command for {request[:128]!r} cannot be run")
    return command


def _user(commit: messages.Commit, config: PolicyConfig) -> User:
    try:
        return users.choose(commit.user, config.allowed_users)
    except users.UserRefused as refused:
        raise Refusal(str(refused)) from refused


def _directory(commit: messages.Commit) -> str:
    """Whether the job's user may enter it is seen when it does."""
    directory = "/" if commit.dir is None else commit.dir
    # pathlib's would raise for a name that is too long.
    if not directory.startswith("/") or not os.path.isdir(directory):  # noqa: PTH112
        raise Refusal(f"no such directory: {directory[:256]!r}")
    return directory


def _content(commit: messages.Commit) -> bytes | None:
    try:
        return None if commit.file is None else jobfile.decode(commit.file)
    except jobfile.JobFileError as error:
        raise Refusal(f"file: {error}") from error


def _environment(
    commit: messages.Commit, config: PolicyConfig, user: User, own: dict[str, str]
) -> dict[str, str]:
    allowed = config.allowed_overwritable_env_vars
    try:
        return environment.compose(os.environ, user, commit.env or {}, allowed, own)
    except environment.VariableRefused as refused:
        raise Refusal(str(refused)) from refused


def _write(content: bytes, config: PolicyConfig, user: User) -> Path:
    owner = (user.uid, user.gid) if user.is_other else None
    try:
        return jobfile.write(config.file_dir, content, owner)
    except jobfile.JobFileError as error:
        raise Refusal(f"file: {error}") from error
