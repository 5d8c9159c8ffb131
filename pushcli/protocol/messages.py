"""The typed messages of the command channel and the heartbeat broadcast.

Push Jobs protocol, section 6; the fields marked as extensions travel only between peers
that both offered the extension (see `extensions` and docs/extensions.md).

Unknown fields are ignored, as the old programs do; wrong types, missing fields and
unknown types are a `MessageError`.
"""

from typing import Annotated, Any, Literal, TypeVar

import msgspec

from pushcli.escape import escape_line
from pushcli.protocol import limits, nesting
from pushcli.protocol.drops import Dropped, DropReason
from pushcli.protocol.timestamps import parse_rfc1123

M = TypeVar("M", bound="Message")

# Bounded on both sides: msgspec would take integers of any length.
Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Status = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Moment = Annotated[float, msgspec.Meta(ge=0, le=limits.LAST_MOMENT)]
"""Seconds since the epoch, up to the last that a date can express."""
# What an agent says ends up in a database, and not every one can hold NUL.
Identifier = Annotated[str, msgspec.Meta(max_length=64, pattern=r"^[!-~]*\Z")]
Line = Annotated[str, msgspec.Meta(pattern=r"^[^\0]*\Z")]


MAX_PINNED = 64
"""Keys that a report names."""
_MAX_DETAIL = 200


class MessageError(Dropped):
    """A body that is not a message: not JSON, no object, unknown type, wrong field."""


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=False):
    """What every body has. `timestamp` is an RFC 1123 date, `sequence` counts up."""

    sequence: Count
    timestamp: str

    @property
    def time(self) -> float:
        """Seconds since the epoch.

        Raises:
            MessageError: the timestamp is no RFC 1123 date.
        """
        return moment(self.timestamp)


def moment(timestamp: str) -> float:
    """Seconds since the epoch of a message's timestamp.

    Raises:
        MessageError: it is no RFC 1123 date.
    """
    try:
        return parse_rfc1123(timestamp)
    except ValueError as error:
        raise MessageError(DropReason.TIMESTAMP) from error


# --- server to agent


class ServerHeartbeat(Message, frozen=True, kw_only=True, tag="heartbeat"):
    """Broadcast on PUB every interval."""

    server: str
    incarnation_id: str


class Commit(Message, frozen=True, kw_only=True, tag="commit", omit_defaults=True):
    """Are you ready to run this? `command` is the request that the whitelist is asked for."""

    job_id: str | None = None
    server: str = ""
    command: str | None = None
    capture: bool | msgspec.UnsetType = msgspec.UNSET
    """Unset by those who do not say; the server always does, for old agents always heard it."""
    user: str | None = None
    dir: str | None = None
    env: dict[str, str] | None = None
    file: str | None = None
    run_timeout: float | None = None
    """Extension `timeout`: seconds; the node's supervisor enforces it too."""
    requestor: str | None = None
    """Extension `requestor`: who started the job; vouched for by the server."""
    exact_env: bool = False
    """Extension `policy`: refuse the job rather than rename a variable of it."""
    default_capture: bool = False
    """Extension `capture`: keep a little of what it writes, unless the node does not want to."""
    stdin: str | None = None
    """Extension `stdin`: what the command reads, `raw:TEXT` or `base64:DATA`."""
    secret_env: dict[str, str] | None = None
    """Extension `secrets`: variables like those of `env`, whose values are kept from view."""


class Run(Message, frozen=True, kw_only=True, tag="run"):
    """Run what you committed to."""

    job_id: str | None = None


class Abort(Message, frozen=True, kw_only=True, tag="abort"):
    """Drop whatever you do and be idle."""


class Ack(Message, frozen=True, kw_only=True, tag="ack"):
    """Your channel works."""


class Beat(Message, frozen=True, kw_only=True, tag="beat", omit_defaults=True):
    """Extension `quiet`: the answer to a heartbeat.

    Args:
        ask: send another one at once.
        away: the server cannot reach its database, and another may have taken its place.
    """

    incarnation_id: Identifier
    ask: bool = False
    away: bool = False


class AckResult(Message, frozen=True, kw_only=True, tag="ack_result"):
    """Extension `results`: the job's result is stored, the spool may go."""

    job_id: str


class AckOutput(Message, frozen=True, kw_only=True, tag="ack_output", omit_defaults=True):
    """Extension `output`: so many bytes of this channel are held; send on from there."""

    job_id: str
    channel: Literal["stdout", "stderr"]
    size: Count
    enough: bool = False
    """Extension `stream`: no more of this channel will be kept, nothing more need be sent."""


class ServerEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry of a whitelist as the server has it: `value` as in JSON, `record` its signature.

    What is in them is checked one by one, so that a bad entry does not cost the others.
    """

    name: str
    value: Any = None
    record: Any = None


class Whitelist(Message, frozen=True, kw_only=True, tag="whitelist"):
    """Extension `whitelist`: all that the server has for this node, each time it changes."""

    digest: Identifier
    """Of all the rest; heartbeats say it again once it is taken in."""
    entries: list[ServerEntry] = []
    removed: list[ServerEntry] = []
    """Signed removals, so that no older version of an entry comes back."""
    editors: list[Any] = []
    """Signed statements about who may edit."""
    chain: list[Any] | msgspec.UnsetType = msgspec.UNSET
    """Extension `editors`: such statements that each name the one before; the first of them
    stands on `editors`."""
    left_out: Count = 0
    """Entries for which there was no room."""


class Check(Message, frozen=True, kw_only=True, tag="check", omit_defaults=True):
    """Extension `checks`: would you run this? Nothing is started."""

    check_id: str
    command: str = ""
    user: str | None = None
    dir: str | None = None
    env: dict[str, str] | None = None
    """Extension `policy`: to be judged as that of a job with `exact_env`."""
    stdin: bool = False
    """Extension `stdin`: the command would be given something to read."""
    requestor: str | None = None


CommandMessage = Commit | Run | Abort | Ack | Beat | AckResult | AckOutput | Whitelist | Check


# --- agent to server


class AgentMessage(Message, frozen=True, kw_only=True):
    """What every message of an agent has. `incarnation_id` is new with each agent run."""

    node: str
    org: str
    incarnation_id: Identifier
    client: str = ""
    protocol_version: str = "2.0"
    job_id: Identifier | None = None


class Heartbeat(AgentMessage, frozen=True, kw_only=True, tag="heartbeat"):
    """Alive, and doing this."""

    job_state: Literal["idle", "committed", "running"]
    pending_results: Annotated[list[Identifier], msgspec.Meta(max_length=64)] | None = None
    """Extension `results`: jobs whose results wait in the spool."""
    whitelist: Identifier | None = None
    """Extension `whitelist`: the digest of the last one that was taken in."""


class AckCommit(AgentMessage, frozen=True, kw_only=True, tag="ack_commit"):
    """Ready."""

    reboots: bool | None = None
    """Extension `reboots`: the command may restart the node, which is as it should be."""


class NackCommit(AgentMessage, frozen=True, kw_only=True, tag="nack_commit"):
    """Not ready."""

    reason: Line | None = None
    """Extension `reason`: why, for the operator; one line."""


class AckRun(AgentMessage, frozen=True, kw_only=True, tag="ack_run"):
    """The command was started."""


class NackRun(AgentMessage, frozen=True, kw_only=True, tag="nack_run"):
    """Not committed to this job."""


class _Result(AgentMessage, frozen=True, kw_only=True):
    """The end of the command. Old agents send both texts or neither."""

    stdout: str | None = None
    stderr: str | None = None
    # Extension `results`: set by agents that keep the result until it is acknowledged.
    spooled: bool = False
    exit_code: Status | None = None
    signal: Status | None = None
    timed_out: bool = False
    started_at: Moment | None = None
    ended_at: Moment | None = None
    # Extension `output`: base64 of the bytes where they are small, else their sizes only,
    # after `Output` chunks that carried them.
    stdout_base64: str | None = None
    stderr_base64: str | None = None
    stdout_size: Count | None = None
    stderr_size: Count | None = None
    # Extension `partial`: how it came to be cut short, and bytes of output that are missing.
    aborted: bool = False
    lost: bool = False
    stdout_dropped: Count | None = None
    stderr_dropped: Count | None = None
    # Extension `stream`: as in `Output`, and where the first of those bytes would be.
    stdout_head: Count | None = None
    stderr_head: Count | None = None
    stdout_cut_at: Count | None = None
    stderr_cut_at: Count | None = None


class Succeeded(_Result, frozen=True, kw_only=True, tag="succeeded"):
    """The command ended with 0."""


class Failed(_Result, frozen=True, kw_only=True, tag="failed"):
    """The command ended otherwise."""


class Aborted(AgentMessage, frozen=True, kw_only=True, tag="aborted"):
    """The answer to an abort, sent once idle; `job_id` of what was aborted."""


class Output(AgentMessage, frozen=True, kw_only=True, tag="output"):
    """Extension `output`: bytes of a channel from `offset` on, in base64."""

    channel: Literal["stdout", "stderr"]
    offset: Count
    data: str
    head: Count | None = None
    """Extension `stream`: the command ended, and of what was sent while it ran so many bytes
    are as they were; what follows is sent anew."""


class Facts(AgentMessage, frozen=True, kw_only=True, tag="facts"):
    """Extension `facts`: the node's `automatic` attributes, as JSON."""

    automatic: dict[str, Any]


class EntryInForce(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry that the agent goes by; `since` in seconds since the epoch."""

    name: Line
    value: Any
    source: Literal["local", "server"]
    since: Moment
    signer: Line | None = None
    version: Count | None = None


class EntryRefused(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the server that the agent does not go by."""

    name: Line
    reason: Line


class PinnedKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key that the node trusts by itself; `first_use`: because a server named it once."""

    editor: Line
    key: Identifier
    """Its fingerprint."""
    first_use: bool = False


class WhitelistReport(AgentMessage, frozen=True, kw_only=True, tag="whitelist_report"):
    """Extension `whitelist`: what is in force on the node."""

    digest: Identifier | None = None
    """Of the server's whitelist that it rests on."""
    error: Line | None = None
    """Why a local file is not taken over; what was last good is in force."""
    entries: list[EntryInForce] = []
    refused: list[EntryRefused] = []
    left_out: Count = 0
    """Entries for which there was no room in this message."""
    keys: Annotated[list[Identifier], msgspec.Meta(max_length=64)] | None = None
    """Extension `policy`: the keys of entries that this agent knows."""
    open: Annotated[list[Identifier], msgspec.Meta(max_length=16)] | None = None
    """Extension `policy`: what of a job is its caller's choice here (`env`, `dir`, `user`)."""
    pinned: Annotated[list[PinnedKey], msgspec.Meta(max_length=MAX_PINNED)] | None = None
    """Extension `pins`: the editors' keys that the node trusts by itself, the first of them."""


class Checked(AgentMessage, frozen=True, kw_only=True, tag="checked"):
    """Extension `checks`: the answer to `check`."""

    check_id: Identifier
    ready: bool = False
    reason: Line | None = None
    entry: Line | None = None
    source: Literal["local", "server"] | None = None
    runs: str | list[str] | None = None
    """For `/bin/sh -c`, or a program and its arguments."""


Result = Succeeded | Failed
Note = Facts | WhitelistReport | Checked
"""Messages that tell of the node and concern no job."""
NodeMessage = (
    Heartbeat
    | AckCommit
    | NackCommit
    | AckRun
    | NackRun
    | Succeeded
    | Failed
    | Aborted
    | Output
    | Facts
    | WhitelistReport
    | Checked
)


_NODE: "msgspec.json.Decoder[NodeMessage]" = msgspec.json.Decoder(NodeMessage)
_COMMAND: "msgspec.json.Decoder[CommandMessage]" = msgspec.json.Decoder(CommandMessage)
_BROADCAST = msgspec.json.Decoder(ServerHeartbeat)


def decode_node_message(body: bytes) -> NodeMessage:
    """A message from an agent.

    Raises:
        MessageError: it is none.
    """
    return _decode(_NODE, body)


def decode_command(body: bytes) -> CommandMessage:
    """A message from the server on the command channel.

    Raises:
        MessageError: it is none.
    """
    return _decode(_COMMAND, body)


def decode_broadcast(body: bytes) -> ServerHeartbeat:
    """A heartbeat of the server.

    Raises:
        MessageError: it is none.
    """
    return _decode(_BROADCAST, body)


def _decode(decoder: "msgspec.json.Decoder[M]", body: bytes) -> M:
    # Bodies that are not UTF-8 raise outside msgspec's own tree.
    try:
        nesting.require_bounded(body)
        return decoder.decode(body)
    except (nesting.TooNested, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        reason = DropReason.JSON
        if isinstance(error, nesting.TooNested):
            reason = DropReason.NESTING
        elif isinstance(error, msgspec.ValidationError):
            reason = DropReason.FIELDS
        # It quotes the peer: the type that it does not know, the keys on the way to a field.
        detail = escape_line(str(error) or type(error).__name__)
        raise MessageError(reason, detail[:_MAX_DETAIL]) from error


_encoder = msgspec.json.Encoder()


def encode(message: Message) -> bytes:
    """The JSON body of a message."""
    return _encoder.encode(message)
