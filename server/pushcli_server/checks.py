"""Asking agents whether they would run something, without starting anything."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from pushcli.protocol import extensions, messages, run_wire
from pushcli.protocol.run import RunSpec
from pushcli_server.clock import Clock
from pushcli_server.core.fleet_state import Fleet
from pushcli_server.core.identity import NodeKey
from pushcli_server.outbox import Outbox

PATIENCE = 3.0
"""Seconds for the agents' answers."""
NOT_SENT = "it could not be asked: its connection takes no such message now"


@dataclass(slots=True)
class _Question:
    """One that is under way; nodes of another organization are not among those that wait."""

    waiting: set[NodeKey] = field(default_factory=set)
    answers: dict[NodeKey, messages.Checked] = field(default_factory=dict)
    answered: asyncio.Event = field(default_factory=asyncio.Event)


class Checks:
    """Questions that are under way."""

    def __init__(self, fleet: Fleet, outbox: Outbox, clock: Clock) -> None:
        self._fleet = fleet
        self._outbox = outbox
        self._clock = clock
        self._asked: dict[str, _Question] = {}

    async def ask(
        self,
        org: str,
        nodes: Sequence[str],
        *,
        command: str,
        requestor: str,
        user: str | None = None,
        directory: str | None = None,
        env: dict[str, str] | None = None,
        stdin: bool = False,
        secrets: bool = False,
    ) -> dict[str, dict[str, Any]]:
        """For each node its `state` (ready, nacked, unavailable, unknown) and what explains it.

        Args:
            stdin: the command would be given something to read.
            secrets: some of the variables would be secret.
        """
        needs = RunSpec(
            command=command,
            stdin="" if stdin else None,
            secret_env=env if secrets else None,
        )
        verdicts: dict[str, dict[str, Any]] = {}
        question = _Question()
        check_id = token_hex(16)
        self._asked[check_id] = question
        now = self._clock.now()
        try:
            for name in nodes:
                key = NodeKey(org, name)
                verdict = _without_asking(self._fleet, key, now, needs, env=env)
                if verdict is not None:
                    verdicts[name] = verdict
                    continue
                sent = self._outbox.send(
                    key,
                    messages.Check,
                    check_id=check_id,
                    command=command,
                    user=user,
                    dir=directory,
                    env=env,
                    stdin=stdin,
                    requestor=requestor,
                )
                if sent:
                    question.waiting.add(key)
                else:
                    verdicts[name] = {"state": "unavailable", "reason": NOT_SENT}
            if question.waiting:
                await _up_to(PATIENCE, question.answered)
        finally:
            del self._asked[check_id]
        verdicts |= {key.name: _verdict(answer) for key, answer in question.answers.items()}
        silent = {"state": "unavailable", "reason": "its agent did not answer"}
        verdicts |= {key.name: silent for key in question.waiting}
        return {name: verdicts[name] for name in nodes}

    def answer(self, node: NodeKey, message: messages.Checked) -> None:
        """An agent's answer; one that nobody waits for means nothing."""
        question = self._asked.get(message.check_id)
        if question is not None and node in question.waiting:
            question.waiting.discard(node)
            question.answers[node] = message
            if not question.waiting:
                question.answered.set()


def _without_asking(
    fleet: Fleet, key: NodeKey, now: float, needs: RunSpec, *, env: dict[str, str] | None
) -> dict[str, Any] | None:
    if (pause := fleet.pause(key, now)) is not None:
        return {"state": "nacked", "reason": pause.why}
    if (reason := fleet.why_unavailable(key, now)) is not None:
        return {"state": "unavailable", "reason": reason}
    node = fleet.nodes[key]
    if (reason := run_wire.beyond(needs, node.extensions)) is not None:
        return {"state": "nacked", "reason": reason}
    if extensions.CHECKS not in node.extensions or node.peer is None:
        return {"state": "unknown", "reason": "its agent cannot tell: it is an old one"}
    if env and extensions.POLICY not in node.extensions:
        reason = "its agent cannot tell whether it would accept the environment: it is an old one"
        return {"state": "unknown", "reason": reason}
    return None


def _verdict(answer: messages.Checked) -> dict[str, Any]:
    said = {
        "reason": answer.reason,
        "entry": answer.entry,
        "source": answer.source,
        "runs": answer.runs,
    }
    verdict: dict[str, Any] = {"state": "ready" if answer.ready else "nacked"}
    return verdict | {key: value for key, value in said.items() if value is not None}


async def _up_to(seconds: float, event: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
