"""What is to be run, and how it ended: one struct each from REST to the supervisor and back.

The old wire stays as it is: `messages` maps `commit` and the results to and from these. A new
option of a job is a field here, and what enforces it.
"""

import msgspec


class RunSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What each node of a job is to run (Push Jobs protocol, section 3).

    Args:
        command: the request, which the node's whitelist is asked for.
        run_timeout: seconds from the start of the run.
        user: whose the process is to be; None: the agent's own.
        dir: where it begins; None: where the agent decides.
        file: `raw:TEXT` or `base64:DATA`, at most 100,000 bytes decoded.
        capture: whether what it writes is kept.
    """

    command: str
    run_timeout: float = 3600
    user: str | None = None
    dir: str | None = None
    env: dict[str, str] | None = None
    file: str | None = None
    capture: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a command ended, as its node tells it.

    Times in seconds since the epoch. Sizes in bytes: what was kept of each channel, and what
    was dropped beyond a cap; they say something only where output was captured.
    """

    exit_code: int | None = None
    signal: int | None = None
    timed_out: bool = False
    aborted: bool = False
    started_at: float | None = None
    ended_at: float | None = None
    capture: bool = False
    stdout_size: int = 0
    stderr_size: int = 0
    stdout_dropped: int = 0
    stderr_dropped: int = 0

    @property
    def succeeded(self) -> bool:
        """Whether the command ended by itself, with 0."""
        return self.exit_code == 0 and not self.timed_out and not self.aborted
