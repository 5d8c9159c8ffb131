"""What happens to an agent: facts, each with all that the decision about it needs."""

from typing import Any, Literal

import msgspec

from pushcli.protocol import messages
from pushcli.protocol.run import Outcome
from pushcli_agent.core.configuration import ServerConfig


class Started(msgspec.Struct, frozen=True):
    """The agent starts, with what a previous run left: running jobs and kept results.

    Args:
        growing: those of the running jobs whose output can be read while it grows.
    """

    running: tuple[str, ...] = ()
    finished: tuple[tuple[str, Outcome], ...] = ()
    growing: frozenset[str] = frozenset()


class Configured(msgspec.Struct, frozen=True):
    """The server answered with a configuration; `facts` are this node's, as of now."""

    config: ServerConfig
    facts: dict[str, Any] | None = None


class ConfigFailed(msgspec.Struct, frozen=True):
    """It did not; `reason` is one line, `retry_after` the seconds that it asked to wait."""

    reason: str
    retry_after: float = 0.0


class Connected(msgspec.Struct, frozen=True):
    """The command channel is connected and encrypted: a new connection to the server."""


class Disconnected(msgspec.Struct, frozen=True):
    """The command channel's connection is gone; ZeroMQ makes a new one."""


class CommandReceived(msgspec.Struct, frozen=True):
    """A verified message on the command channel."""

    message: messages.CommandMessage


class MalformedReceived(msgspec.Struct, frozen=True):
    """A verified message that says what it is but is not well formed."""

    kind: Literal["commit", "run"]
    reason: str


class ServerHeard(msgspec.Struct, frozen=True):
    """A verified heartbeat of the server."""

    message: messages.ServerHeartbeat


class SupervisorStarted(msgspec.Struct, frozen=True):
    """The job's supervisor is ready to run its command, which may restart the node."""

    job_id: str
    reboots: bool = False


class CommitRefused(msgspec.Struct, frozen=True):
    """This node cannot or will not run that; `reason` is one line for the operator."""

    job_id: str
    reason: str


class JobEnded(msgspec.Struct, frozen=True):
    """The job's supervisor ended; without an outcome its command was not even started.

    Args:
        complaint: what the supervisor said of itself, one line; mostly nothing.
    """

    job_id: str
    outcome: Outcome | None
    complaint: str = ""


class OutputGrown(msgspec.Struct, frozen=True):
    """So many bytes of a running command's output can be read, and will stay what they are."""

    job_id: str
    stdout: int
    stderr: int


class WhitelistChanged(msgspec.Struct, frozen=True):
    """Another whitelist is in force, or refused; `digest` is of the server's last one."""

    digest: str | None


class ReconfigureRequested(msgspec.Struct, frozen=True):
    """The operator wants the configuration fetched now."""


class TimePassed(msgspec.Struct, frozen=True):
    """The `deadline()` is reached."""


Event = (
    Started
    | Configured
    | ConfigFailed
    | Connected
    | Disconnected
    | CommandReceived
    | MalformedReceived
    | ServerHeard
    | SupervisorStarted
    | CommitRefused
    | JobEnded
    | OutputGrown
    | WhitelistChanged
    | ReconfigureRequested
    | TimePassed
)
