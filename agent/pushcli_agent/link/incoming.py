"""From the frames that a socket gave to events: what does not verify is dropped here."""

import time

import msgspec

from pushcli.protocol import messages, wire
from pushcli.protocol.drops import Dropped, DropReason
from pushcli_agent.core.configuration import ServerConfig
from pushcli_agent.core.events import CommandReceived, MalformedReceived, ServerHeard


class _Outline(msgspec.Struct, frozen=True):
    """What a message must have to be answered at all."""

    type: str
    sequence: messages.Count
    timestamp: str


_outline = msgspec.json.Decoder(_Outline)


class Incoming:
    """Verifies what comes on the connections that one configuration stands for."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._modulus = int.from_bytes(config.modulus, "big")
        self._sequence = -1

    def new_connection(self) -> None:
        """The server counts anew on each connection."""
        self._sequence = -1

    def command(self, frames: list[bytes]) -> CommandReceived | MalformedReceived:
        """A message on the command channel.

        Raises:
            Dropped: anything else.
        """
        body = wire.unseal(frames, self._config.session_key, wire.MAX_BODY_FROM_SERVER)
        event = _command(body)
        message = event.message if isinstance(event, CommandReceived) else _outline.decode(body)
        self._check_time(message.timestamp)
        # An old server counts for a node, whatever its connection, and begins anew at any time.
        if self._config.extensions and message.sequence <= self._sequence:
            detail = f"{message.sequence} after {self._sequence}"
            raise Dropped(DropReason.REPLAY, detail)
        self._sequence = message.sequence
        return event

    def broadcast(self, frames: list[bytes]) -> ServerHeard:
        """A heartbeat of the server.

        Raises:
            Dropped: anything else.
        """
        body = wire.unseal_broadcast_by_numbers(
            frames, self._modulus, self._config.exponent, wire.MAX_BODY_FROM_SERVER
        )
        message = messages.decode_broadcast(body)
        self._check_time(message.timestamp)
        return ServerHeard(message)

    def _check_time(self, timestamp: str) -> None:
        skew = messages.moment(timestamp) - time.time()
        if abs(skew) > self._config.max_message_skew:
            ahead = "ahead of" if skew > 0 else "behind"
            raise Dropped(DropReason.SKEW, f"its clock is {abs(skew):.0f} s {ahead} ours")


def _command(body: bytes) -> CommandReceived | MalformedReceived:
    try:
        return CommandReceived(messages.decode_command(body))
    except messages.MessageError as error:
        outline = _read_outline(body)
        if outline is None or outline.type not in ("commit", "run"):
            raise
        if outline.type == "commit":
            return MalformedReceived("commit", str(error))
        return MalformedReceived("run", str(error))


def _read_outline(body: bytes) -> _Outline | None:
    try:
        return _outline.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
