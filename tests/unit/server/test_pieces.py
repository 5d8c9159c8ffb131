"""Answers that grow with what is stored are made some values at a time."""

import asyncio
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.responses import Response

from pushcli_server.rest.pieces import array, mapping

MANY = 5000


async def sent(response: Response) -> list[bytes]:
    """The body, as it is sent."""
    bodies: list[bytes] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            bodies.append(message["body"])

    await response({"type": "http"}, receive, send)
    return bodies


@pytest.mark.parametrize("shape", ["array", "mapping"])
def test_no_turn_of_the_loop_makes_all_of_a_long_answer(shape: str) -> None:
    made = [0]
    turns: list[int] = []

    def values() -> Iterator[int]:
        for number in range(MANY):
            made[0] = number + 1
            yield number

    async def watch() -> None:
        while True:
            turns.append(made[0])
            await asyncio.sleep(0)

    async def scenario() -> bytes:
        watching = asyncio.create_task(watch())
        pairs = ((str(number), number) for number in values())
        response = await (array(values()) if shape == "array" else mapping(pairs))
        assert made[0] < MANY, "what is not sent is not made"
        bodies = await sent(response)
        watching.cancel()
        return b"".join(bodies)

    found = json.loads(asyncio.run(scenario()))
    assert len(found) == MANY
    assert max(after - before for before, after in itertools.pairwise(turns)) <= 1000
