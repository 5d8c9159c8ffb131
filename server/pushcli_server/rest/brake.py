"""`freeze`, `pauses` and `resumes`: jobs and nodes are held back, and let go (extensions)."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from starlette.responses import Response

from pushcli.protocol import limits, reasons
from pushcli_server.brake import BrakeService, UnknownNodes
from pushcli_server.clock import Clock
from pushcli_server.core.brake_state import Freeze, Pause
from pushcli_server.rest import content
from pushcli_server.rest.errors import Refused, answer, not_found
from pushcli_server.rest.request import Call

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]
_Names = Annotated[list[_Name], msgspec.Meta(min_length=1, max_length=limits.MAX_PAUSED)]
_NAMED = 10
"""Unknown nodes that a refusal names."""


class _Freeze(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    reason: str


class _Pause(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    nodes: _Names
    reason: str
    seconds: Annotated[float, msgspec.Meta(gt=0, le=limits.MAX_PAUSE)]


class _Resume(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    nodes: _Names


class BrakeHandlers:
    """Handlers for what is held back."""

    def __init__(self, brake: BrakeService, clock: Clock) -> None:
        self._brake = brake
        self._clock = clock

    async def show(self, call: Call) -> Response:
        """`GET pushy/freeze`: whether jobs are frozen, and why."""
        return answer(200, _view(self._brake.freeze(call.org)))

    async def freeze(self, call: Call) -> Response:
        """`PUT pushy/freeze`: no job starts from now on; those that run go on."""
        reason = _reason(content.parse(call, _Freeze, "freeze").reason)
        freeze = Freeze(reason=reason, by=call.by, at=call.at)
        audit = call.audit("job freeze", call.org, {"reason": reason})
        await self._brake.set_freeze(call.org, freeze, audit, write=call.write)
        return answer(200, _view(freeze))

    async def unfreeze(self, call: Call) -> Response:
        """`DELETE pushy/freeze`: jobs may start again; the answer says what held them."""
        audit = call.audit("job unfreeze", call.org)
        before = await self._brake.set_freeze(call.org, None, audit, write=call.write)
        return answer(200, _view(before))

    async def pause(self, call: Call) -> Response:
        """`POST pushy/pauses`: these nodes vote against every job for a while."""
        asked = content.parse(call, _Pause, "pause")
        reason, names = _reason(asked.reason), list(dict.fromkeys(asked.nodes))
        pause = Pause(
            reason=reason, by=call.by, at=call.at, until=self._clock.now() + asked.seconds
        )
        until = call.at + asked.seconds
        detail = {"reason": reason, "until": until}
        audit = [call.audit("node pause", name, detail) for name in names]
        try:
            await self._brake.pause(call.org, names, pause, audit, write=call.write)
        except UnknownNodes as unknown:
            raise not_found(f"{_no_such(unknown.names)}; nothing was paused") from None
        return answer(200, {"nodes": names, "until": until})

    async def resume(self, call: Call) -> Response:
        """`POST pushy/resumes`: they take part again; the answer names those that were paused."""
        names = list(dict.fromkeys(content.parse(call, _Resume, "resume").nodes))
        try:
            paused = await self._brake.paused(call.org, names)
        except UnknownNodes as unknown:
            raise not_found(f"{_no_such(unknown.names)}; nothing was resumed") from None
        audit = [call.audit("node resume", name) for name in paused]
        await self._brake.resume(call.org, paused, audit, write=call.write)
        return answer(200, {"nodes": paused})


def _reason(text: str) -> str:
    if not reasons.is_reason(text):
        raise Refused(400, [f"reason must be one printable line of 1 to {reasons.MAX_REASON}"])
    return text


def _no_such(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"no such node: {', '.join(names[:_NAMED])}{more}"


def _view(freeze: Freeze | None) -> dict[str, Any]:
    if freeze is None:
        return {"frozen": False}
    return {
        "frozen": True, "reason": freeze.reason, "by": freeze.by.name, "since": freeze.at,
    }  # fmt: skip
