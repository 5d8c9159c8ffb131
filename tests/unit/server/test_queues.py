"""Queues that everybody's work passes through: one failure does not hold up the rest."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from pushcli_server.clock import Clock
from pushcli_server.release import Releases
from pushcli_server.timers import Timers


def fail() -> None:
    raise RuntimeError("a fault of ours")


def released() -> list[str]:
    done: list[str] = []

    async def scenario() -> None:
        releases = Releases()
        for name in ("first", "second"):
            releases.add(done.append, name)
            releases.add(fail)
        releases.after(1)
        releases.add(done.append, "third")
        for _ in range(5):
            await asyncio.sleep(0)
        assert "third" not in done, "its commit is not done"
        releases.committed(1)
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(scenario())
    return done


def timed() -> list[str]:
    done: list[str] = []

    async def scenario() -> None:
        clock, over = Clock(), asyncio.Event()
        timers = Timers(clock, lambda seconds: None)
        now = clock.now()
        timers.at(now, fail)
        timers.at(now, lambda: done.append("first"))
        timers.at(now + 0.01, fail)
        timers.at(now + 0.02, lambda: done.append("second"))
        timers.at(now + 0.03, over.set)
        await over.wait()

    asyncio.run(scenario())
    return done


@pytest.mark.parametrize(
    ("play", "expected"), [(released, ["first", "second", "third"]), (timed, ["first", "second"])]
)
def test_a_call_that_fails_does_not_stop_those_behind_it(
    play: Callable[[], list[str]], expected: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert play() == expected
    faults = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(faults) == 2
    assert all(record.exc_info for record in faults), "each is logged with its cause"
