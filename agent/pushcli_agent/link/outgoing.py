"""The agent's messages, from what its core decided to the bytes of a body.

Fields of extensions travel only when they say something: an old server never sees them.
"""

import base64
import time
from collections.abc import Callable
from typing import Any

import msgspec

from pushcli.protocol import messages, run_wire
from pushcli.protocol.run import OutputChannel
from pushcli.protocol.timestamps import format_rfc1123
from pushcli_agent.core.effects import (
    Answer,
    ResultForm,
    SendFacts,
    SendHeartbeat,
    SendOutput,
    SendResult,
)

Read = Callable[[str, OutputChannel, int, int], bytes]
"""Spooled output: job, channel, offset, at most so many bytes."""
_ENVELOPE = 2048
_json = msgspec.json.Encoder()


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who sends; `incarnation_id` is new with each run of the agent."""

    node: str
    org: str
    client: str
    incarnation_id: str


class Outgoing:
    """Writes messages; their sequence rises over all connections of this run."""

    def __init__(self, identity: Identity, read: Read) -> None:
        self._identity = msgspec.structs.asdict(identity)
        self._read = read
        self._sequence = 0

    def body(
        self,
        effect: SendHeartbeat | Answer | SendResult | SendOutput | SendFacts,
        max_body: int,
    ) -> bytes:
        """The body of the message that this effect asks for, of `max_body` bytes at most."""
        match effect:
            case SendHeartbeat():
                return self._write(
                    messages.Heartbeat,
                    effect.job_id,
                    job_state=effect.job_state,
                    pending_results=effect.pending_results,
                    whitelist=effect.whitelist,
                )
            case SendFacts(automatic=automatic):
                return self._write(messages.Facts, None, automatic=automatic)
            case Answer(kind=kind, job_id=job_id, reboots=True):
                return self._write(kind, job_id, reboots=True)
            case Answer(kind=kind, job_id=job_id, reason=None):
                return self._write(kind, job_id)
            case Answer(kind=kind, job_id=job_id, reason=reason):
                return self._write(kind, job_id, reason=reason)
            case SendOutput():
                return self._output(effect)
            case SendResult():
                return self._result(effect, max_body)

    def note(self, note: type[messages.Note], fields: dict[str, Any]) -> bytes:
        """The body of a message about the node."""
        return self._write(note, None, **fields)

    def _write(self, kind: type[messages.AgentMessage], job_id: str | None, **fields: Any) -> bytes:
        self._sequence += 1
        message = kind(
            sequence=self._sequence,
            timestamp=format_rfc1123(time.time()),
            job_id=job_id,
            **self._identity,
            **fields,
        )
        # `is`: an exit code of 0 equals False and says something all the same.
        return _json.encode(
            {
                key: value
                for key, value in msgspec.to_builtins(message).items()
                if key == "job_id" or (value is not None and value is not False)
            }
        )

    def _output(self, effect: SendOutput) -> bytes:
        data = self._read(effect.job_id, effect.channel, effect.offset, effect.size)
        return self._write(
            messages.Output,
            effect.job_id,
            channel=effect.channel,
            offset=effect.offset,
            data=_base64(data),
            head=effect.head,
        )

    def _result(self, effect: SendResult, max_body: int) -> bytes:
        kind = messages.Succeeded if effect.outcome.succeeded else messages.Failed
        fields = self._captured(effect, max_body)
        if effect.heads is not None:
            stdout_head, stderr_head = effect.heads
            fields |= {"stdout_head": stdout_head, "stderr_head": stderr_head}
        if effect.spooled:
            end = run_wire.result_fields(effect.outcome, partial=effect.partial, cuts=effect.cuts)
            fields |= {"spooled": True, **end}
        return self._write(kind, effect.job_id, **fields)

    def _captured(self, effect: SendResult, max_body: int) -> dict[str, object]:
        outcome = effect.outcome
        match effect.form:
            case ResultForm.BARE:
                return {}
            case ResultForm.SIZES:
                return {"stdout_size": outcome.stdout_size, "stderr_size": outcome.stderr_size}
            case ResultForm.INLINE:
                return {
                    "stdout_base64": _base64(self._all(effect, "stdout", outcome.stdout_size)),
                    "stderr_base64": _base64(self._all(effect, "stderr", outcome.stderr_size)),
                }
            case ResultForm.TEXT:
                room = max_body - _ENVELOPE
                stderr = self._text(effect, "stderr", outcome.stderr_size, room // 2)
                left = room - len(_json.encode(stderr))
                return {
                    "stdout": self._text(effect, "stdout", outcome.stdout_size, left),
                    "stderr": stderr,
                }

    def _all(self, effect: SendResult, channel: OutputChannel, size: int) -> bytes:
        return self._read(effect.job_id, channel, 0, size) if size else b""

    def _text(self, effect: SendResult, channel: OutputChannel, size: int, room: int) -> str:
        data = self._all(effect, channel, min(size, room))
        # Where PostgreSQL keeps text a NUL is none: an old server would lose all of it.
        text = data.decode("utf-8", "replace").replace("\0", "\ufffd")
        return fit(text, size - len(data), room)


def fit(text: str, missing: int, room: int) -> str:
    """The text if its JSON fits into `room` bytes, else its beginning with a mark.

    Args:
        missing: bytes of the output that `text` lacks already.
    """
    whole = len(text.encode())
    while True:
        cut = whole - len(text.encode()) + missing
        marked = text + f"\n[output cut: {cut} more bytes]\n" if cut else text
        excess = len(_json.encode(marked)) - room
        if excess <= 0 or not text:
            return marked
        # A character takes six bytes of JSON at most: this never cuts much too far.
        text = text[: -max(1, excess // 6)]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
