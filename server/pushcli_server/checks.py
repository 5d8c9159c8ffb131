"""Asking agents whether they would run something, without starting anything."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

from pushcli.protocol import extensions, messages
from pushcli_server.core.node import Node
from pushcli_server.engine import Engine

PATIENCE = 3.0
"""Seconds for the agents' answers."""


class Checks:
    """Questions that are under way."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._asked: dict[str, tuple[dict[str, messages.Checked], set[str], asyncio.Event]] = {}

    async def ask(
        self,
        org: str,
        nodes: Sequence[str],
        *,
        command: str,
        requestor: str,
        user: str | None = None,
        directory: str | None = None,
    ) -> dict[str, dict[str, Any]]:
        """For each node its `state` (ready, nacked, unavailable, unknown) and what explains it."""
        verdicts: dict[str, dict[str, Any]] = {}
        waiting: set[str] = set()
        answers: dict[str, messages.Checked] = {}
        answered = asyncio.Event()
        check_id = secrets.token_hex(16)
        self._asked[check_id] = answers, waiting, answered
        now = self._engine.clock.now()
        try:
            for name in nodes:
                node = self._engine.fleet.nodes.get((org, name))
                verdict = _without_asking(node, now)
                if node is None or verdict is not None:
                    verdicts[name] = verdict or {}
                    continue
                waiting.add(name)
                self._engine.send(
                    node,
                    messages.Check,
                    check_id=check_id,
                    command=command,
                    user=user,
                    dir=directory,
                    requestor=requestor,
                )
            if waiting:
                await _up_to(PATIENCE, answered)
        finally:
            del self._asked[check_id]
        verdicts |= {name: _verdict(answer) for name, answer in answers.items()}
        silent = {"state": "unavailable", "reason": "its agent did not answer"}
        verdicts |= dict.fromkeys(waiting, silent)
        return {name: verdicts[name] for name in nodes}

    def answer(self, node: Node, message: messages.Checked) -> None:
        """An agent's answer; one that nobody waits for means nothing."""
        answers, waiting, answered = self._asked.get(message.check_id, ({}, set(), None))
        if node.name in waiting and answered is not None:
            waiting.discard(node.name)
            answers[node.name] = message
            if not waiting:
                answered.set()


def _without_asking(node: Node | None, now: float) -> dict[str, Any] | None:
    if node is None:
        return {"state": "unavailable", "reason": "unknown: it never connected"}
    if not node.available(now):
        return {"state": "unavailable", "reason": node.why_unavailable(now)}
    if extensions.CHECKS not in node.extensions or node.peer is None:
        return {"state": "unknown", "reason": "its agent cannot tell: it is an old one"}
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
