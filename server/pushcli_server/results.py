"""How commands ended: results and output, live, repeated, late (Push Jobs protocol, 9)."""

import asyncio
import base64
import binascii
from collections.abc import Callable
from pathlib import Path

from pushcli.protocol import messages
from pushcli_server.core import job_events as on_job
from pushcli_server.core.job import Job
from pushcli_server.core.node import Interest, Node
from pushcli_server.core.states import NodeState
from pushcli_server.engine import Engine
from pushcli_server.persistence import Persistence

MAX_OUTPUT = 64 * 1024 * 1024
"""Bytes of a channel that are kept, whatever an agent sends; its own cap is lower."""
_REPORTED = frozenset({NodeState.SUCCEEDED, NodeState.FAILED})
Channel = str
_Result = messages.Succeeded | messages.Failed


class Results:
    """Takes results and output in, stores them, and acknowledges what is stored."""

    def __init__(
        self,
        engine: Engine,
        persistence: Persistence,
        spawn: Callable[[asyncio.Future[None]], None],
    ) -> None:
        self._engine = engine
        self._persistence = persistence
        self._spawn = spawn
        self._held: dict[tuple[str, str, Channel], int] = {}
        engine.on_result = self.receive
        engine.on_output = self.output

    def output(self, node: Node, message: messages.Output) -> None:
        """A chunk: kept if it is the next one; either way the agent learns what is held."""
        job = self._engine.fleet.jobs.get(message.job_id or "")
        if job is None or not job.spec.capture or not job.has_unfinished(node.name):
            # Nobody waits for it any more; the result that follows decides what is kept.
            self._acknowledge_output(node, message, message.offset + _decoded_size(message.data))
            return
        held = self._size_held(job.id, node.name, message.channel)
        if message.offset == held:
            data = _decode(message.data) or b""
            held += len(data)
            self._held[(job.id, node.name, message.channel)] = held
            if held <= MAX_OUTPUT:
                path = self._incoming(job.id, node.name, message.channel)
                ticket = self._persistence.append_output(path, message.offset, data)
                self._engine.releases.after(ticket)
        self._acknowledge_output(node, message, held)

    def receive(self, node: Node, message: _Result, interest: Interest) -> None:
        """A result, for the first time, again, or too late."""
        job = self._engine.fleet.jobs.get(message.job_id or "")
        job = job or self._engine.fleet.ended.get(message.job_id or "")
        if job is None or job.org != node.org or node.name not in job.nodes:
            if message.spooled and message.job_id:
                self._spawn(asyncio.ensure_future(self._after_the_job(node, message)))
        elif interest is Interest.ACTIVE:
            self._in_time(node, job, message)
        elif message.spooled:
            self._late(node, job.id, job.nodes[node.name], job.spec.capture, message)
        elif interest is Interest.OVER:
            self._engine.tell_job(job, _event(node, message))

    def _in_time(self, node: Node, job: Job, message: _Result) -> None:
        if job.spec.capture and not self._store_output(node, job.id, message):
            return
        self._engine.tell_job(job, _event(node, message))
        if message.spooled:
            self._acknowledge(node, job.id)

    def _late(
        self, node: Node, job_id: str, state: NodeState, capture: bool, message: _Result
    ) -> None:
        """The node's part was over without it: the state stays, the result is kept beside it."""
        if state not in _REPORTED:
            if capture and not self._store_output(node, job_id, message):
                return
            self._engine.releases.after(
                self._persistence.save_late_result(
                    job_id, node.name, isinstance(message, messages.Succeeded), _detail(message)
                )
            )
        self._acknowledge(node, job_id)

    async def _after_the_job(self, node: Node, message: _Result) -> None:
        job_id = message.job_id or ""
        known = await self._persistence.node_in_job(node.org, job_id, node.name)
        if known is None:
            # Not a job of ours: there is nothing to keep, and no reason to have it repeated.
            self._acknowledge(node, job_id)
            return
        state, capture = known
        self._late(node, job_id, state, capture, message)

    def _store_output(self, node: Node, job_id: str, message: _Result) -> bool:
        """Store what came with the result or before it; False if bytes are missing."""
        texts = {"stdout": message.stdout, "stderr": message.stderr}
        encoded = {"stdout": message.stdout_base64, "stderr": message.stderr_base64}
        sizes = {"stdout": message.stdout_size, "stderr": message.stderr_size}
        content: dict[Channel, bytes | Path | None] = {}
        for channel, text in texts.items():
            code, size = encoded[channel], sizes[channel]
            if code is not None:
                content[channel] = _decode(code)
            elif text is not None:
                content[channel] = text.encode("utf-8", "surrogatepass")
            elif size:
                if self._size_held(job_id, node.name, channel) != size:
                    self._ask_for_the_rest(node, job_id, channel)
                    return False
                content[channel] = self._incoming(job_id, node.name, channel)
            else:
                content[channel] = b"" if size is not None else None
        if any(part is not None for part in content.values()):
            ticket = self._persistence.save_output(
                job_id, node.name, content["stdout"], content["stderr"]
            )
            self._engine.releases.after(ticket)
        for channel in content:
            self._held.pop((job_id, node.name, channel), None)
        return True

    def _ask_for_the_rest(self, node: Node, job_id: str, channel: Channel) -> None:
        held = self._size_held(job_id, node.name, channel)
        self._engine.releases.add(
            lambda: self._engine.send(
                node, messages.AckOutput, job_id=job_id, channel=channel, size=held
            )
        )

    def _size_held(self, job_id: str, node: str, channel: Channel) -> int:
        key = (job_id, node, channel)
        if key not in self._held:
            path = self._incoming(job_id, node, channel)
            self._held[key] = path.stat().st_size if path.exists() else 0
        return self._held[key]

    def _incoming(self, job_id: str, node: str, channel: Channel) -> Path:
        return self._persistence.incoming(job_id, node, channel)

    def _acknowledge(self, node: Node, job_id: str) -> None:
        self._engine.releases.add(
            lambda: self._engine.send(node, messages.AckResult, job_id=job_id)
        )

    def _acknowledge_output(self, node: Node, message: messages.Output, held: int) -> None:
        self._engine.releases.add(
            lambda: self._engine.send(
                node,
                messages.AckOutput,
                job_id=message.job_id,
                channel=message.channel,
                size=held,
            )
        )


def _event(node: Node, message: _Result) -> on_job.ResultReceived:
    succeeded = isinstance(message, messages.Succeeded)
    return on_job.ResultReceived(node.name, succeeded, message.spooled, _detail(message))


def _detail(message: _Result) -> on_job.RunDetail:
    return on_job.RunDetail(
        exit_code=message.exit_code,
        signal=message.signal,
        timed_out=message.timed_out,
        started_at=message.started_at,
        ended_at=message.ended_at,
    )


def _decode(data: str) -> bytes | None:
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return None


def _decoded_size(data: str) -> int:
    return len(_decode(data) or b"")
