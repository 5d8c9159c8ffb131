"""What is to be run, and how it ended: one struct each from REST to the supervisor and back.

The old wire stays as it is: `run_wire` maps REST, `commit` and the results to and from these. A
new option of a job is a field here and in `messages.Commit`, its check in the server's REST, its
column in the store, its option on the command line, and what enforces it.
"""

from typing import Literal

import msgspec

from pushcli.protocol import extensions
from pushcli.protocol.limits import DEFAULT_RUN_TIMEOUT

OutputChannel = Literal["stdout", "stderr"]
"""What a command writes to."""
EXTENSIONS = {
    "run_timeout": extensions.TIMEOUT, "exact_env": extensions.POLICY, "stdin": extensions.STDIN,
    "secret_env": extensions.SECRETS, "default_capture": extensions.CAPTURE,
}  # fmt: skip
"""Fields of a RunSpec that a `commit` carries only where both ends offer this extension."""
OPTIONS = ("exact_env", "stdin", "secret_env", "default_capture")
"""Fields that ours adds: old clients neither send nor see them (`pushcli` in `POST jobs`)."""


class RunSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What each node of a job is to run (Push Jobs protocol, section 3).

    Args:
        command: the request, which the node's whitelist is asked for.
        run_timeout: seconds from the start of the run; infinite: no limit.
        user: whose the process is to be; None: the agent's own.
        dir: where it begins; None: where the agent decides.
        env: variables beside those that the agent sets; the node's policy may rename them.
        file: `raw:TEXT` or `base64:DATA`, at most 100,000 bytes decoded.
        capture: whether what it writes is kept.
        default_capture: whether a little of it is kept where nothing speaks against it
            (`limits.MAX_DEFAULT_OUTPUT`), because nobody said whether it is to be.
        exact_env: whether a node that would rename a variable is to refuse the job instead.
        secret_env: variables like those of `env`, whose values nobody is shown or told but the
            agents, and which are kept in memory alone.
        stdin: what the command reads from standard input, like `file`; None: nothing.
    """

    command: str
    run_timeout: float = DEFAULT_RUN_TIMEOUT
    user: str | None = None
    dir: str | None = None
    env: dict[str, str] | None = None
    file: str | None = None
    capture: bool = False
    exact_env: bool = False
    stdin: str | None = None
    secret_env: dict[str, str] | None = None
    default_capture: bool = False

    @property
    def captures(self) -> bool:
        """Whether anything that it writes may be kept."""
        return self.capture or self.default_capture


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a command ended, as its supervisor writes it and its node reports it.

    Neither `exit_code` nor `signal` is set if it could not be killed, or if the node's agent
    is an old one. `lost`: nobody saw how it ended, its supervisor died. Times in seconds since
    the epoch. Sizes in bytes: what was kept of each channel, with the mark where it was cut, and
    what was dropped because of a cap or a full disk; they say something only where output was
    captured. `cut_at` is where the mark begins, in bytes from the beginning; after a cap the end
    of the output follows the mark.
    """

    exit_code: int | None = None
    signal: int | None = None
    timed_out: bool = False
    aborted: bool = False
    lost: bool = False
    started_at: float | None = None
    ended_at: float | None = None
    capture: bool = False
    stdout_size: int = 0
    stderr_size: int = 0
    stdout_dropped: int = 0
    stderr_dropped: int = 0
    stdout_cut_at: int | None = None
    stderr_cut_at: int | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the command ended by itself, with 0."""
        return self.exit_code == 0 and not self.is_cut_short

    @property
    def is_cut_short(self) -> bool:
        """Whether it was not left to end by itself: its output is what it had written so far."""
        return self.timed_out or self.aborted or self.lost
