"""What an agent does: imperatives, executed in order by the loop."""

from enum import Enum, auto
from typing import Any, Literal

import msgspec

from pushcli.protocol import messages
from pushcli.protocol.run import Outcome, OutputChannel, RunSpec
from pushcli_agent.core.configuration import ServerConfig

JobState = Literal["idle", "committed", "running"]


class FetchConfig(msgspec.Struct, frozen=True):
    """Ask for the configuration; the answer is `Configured` or `ConfigFailed`."""

    adopts: tuple[str, ...]
    """Jobs that this agent still has: running, or with a result not acknowledged."""


class Connect(msgspec.Struct, frozen=True):
    """Drop the connections that there are and make new ones."""

    config: ServerConfig


class SendHeartbeat(msgspec.Struct, frozen=True):
    """Alive, and doing this."""

    job_state: JobState
    job_id: str | None
    pending_results: tuple[str, ...] | None
    whitelist: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """Send one of the short answers to the server's commands."""

    kind: (
        type[messages.AckCommit]
        | type[messages.NackCommit]
        | type[messages.AckRun]
        | type[messages.NackRun]
        | type[messages.Aborted]
    )
    job_id: str | None
    reason: str | None = None
    reboots: bool = False


class ResultForm(Enum):
    """How a result carries the command's output."""

    BARE = auto()
    """Not at all: none was asked for."""
    TEXT = auto()
    """As text, cut to fit one message: for servers that know no better."""
    INLINE = auto()
    """As base64 in the message."""
    SIZES = auto()
    """By its sizes only: the bytes went before."""


class SendResult(msgspec.Struct, frozen=True):
    """Send how the command ended.

    Args:
        spooled: it will be repeated until acknowledged.
        partial: that extension is agreed.
        cuts: where output was cut is of interest.
    """

    job_id: str
    outcome: Outcome
    form: ResultForm
    spooled: bool
    partial: bool = False
    heads: tuple[int, int] | None = None
    """Of standard output and error output, as in `SendOutput`."""
    cuts: bool = False


class SendOutput(msgspec.Struct, frozen=True):
    """Send this part of the spooled output.

    Args:
        head: the command ended, and so many bytes of what was sent before are as they were.
    """

    job_id: str
    channel: OutputChannel
    offset: int
    size: int
    head: int | None = None


class LookAtOutput(msgspec.Struct, frozen=True):
    """See how much a command that runs has written; `OutputGrown` follows."""

    job_id: str


class SendFacts(msgspec.Struct, frozen=True):
    """Send the node's automatic attributes."""

    automatic: dict[str, Any]


class SendWhitelistReport(msgspec.Struct, frozen=True):
    """Send what is in force.

    Args:
        policy: and what else the server may know of the policy.
        pins: and which editors' keys are pinned.
    """

    policy: bool = False
    pins: bool = False


class ApplyWhitelist(msgspec.Struct, frozen=True):
    """Check the server's whitelist and apply it; `WhitelistChanged` may follow."""

    message: messages.Whitelist


class AnswerCheck(msgspec.Struct, frozen=True):
    """Answer whether this would be run, and how; nothing is started."""

    check: messages.Check


class StartSupervisor(msgspec.Struct, frozen=True):
    """Check what is to be run and start its supervisor: `SupervisorStarted` or `CommitRefused`.

    Args:
        requestor: who started the job, if the server says so.
    """

    job_id: str
    run: RunSpec
    requestor: str | None


class StartCommand(msgspec.Struct, frozen=True):
    """Have the supervisor run its command."""

    job_id: str


class AbortJob(msgspec.Struct, frozen=True):
    """Have the supervisor kill its command, if it runs; `JobEnded` follows."""

    job_id: str


class DiscardSpool(msgspec.Struct, frozen=True):
    """Nothing of this job is needed any more."""

    job_id: str


class Report(msgspec.Struct, frozen=True):
    """Write a line to the log, for the operator."""

    level: Literal["debug", "info", "warning"]
    text: str


Effect = (
    FetchConfig
    | Connect
    | SendHeartbeat
    | Answer
    | SendResult
    | SendOutput
    | LookAtOutput
    | SendFacts
    | SendWhitelistReport
    | ApplyWhitelist
    | AnswerCheck
    | StartSupervisor
    | StartCommand
    | AbortJob
    | DiscardSpool
    | Report
)
