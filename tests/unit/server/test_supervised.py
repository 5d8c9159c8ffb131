"""A background task that fails ends nothing: it is logged, and begins again after a pause."""

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli_server.supervised import Health, Tasks, pause_after
from tests.support.waiting import patient


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_pauses_grow_and_have_an_end(failures: int, luck: float) -> None:
    assert 0.25 <= pause_after(failures, luck) <= 60
    assert pause_after(failures, luck) <= pause_after(failures + 1, luck)
    assert pause_after(failures, 0.0) == pause_after(failures, 1.0) / 2, "not in step with others"


def test_the_first_pause_is_short_and_the_longest_a_minute() -> None:
    assert pause_after(1, 1.0) == 0.5
    assert pause_after(50, 1.0) == 60


def test_a_lasting_task_is_begun_again_until_it_goes_well(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tries: list[int] = []
    seen: list[Health] = []

    async def work() -> None:
        tries.append(1)
        seen.extend(Health(h.name, h.state, 0, h.failures, h.last_error) for h in tasks.health)
        if len(tries) < 3:
            raise RecursionError("too\ndeep")

    tasks = Tasks()

    async def scenario() -> None:
        async with tasks, asyncio.timeout(patient(5)):
            tasks.keep("work", work)
            while [health.state for health in tasks.health] != ["ended"]:
                await asyncio.sleep(0.01)

    asyncio.run(scenario())
    assert len(tries) == 3
    assert [(h.state, h.failures, h.last_error) for h in seen] == [
        ("running", 0, None),
        ("running", 1, "RecursionError: too deep"),
        ("running", 2, "RecursionError: too deep"),
    ]
    complaints = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(complaints) == 2
    assert all(record.exc_info for record in complaints), "each with its cause"


def test_a_task_that_waits_to_be_begun_again_says_so() -> None:
    async def scenario() -> None:
        async def work() -> None:
            raise OSError("no")

        async with Tasks() as tasks, asyncio.timeout(patient(5)):
            tasks.keep("work", work)
            while tasks.health[0].state != "waiting":
                await asyncio.sleep(0)
            assert tasks.health[0].last_error == "OSError: no"

    asyncio.run(scenario())


def test_what_is_done_once_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    async def fail() -> None:
        raise ValueError("a fault of ours")

    async def succeed() -> None:
        done.append("second")

    async def scenario() -> None:
        async with Tasks() as tasks:
            tasks.once("first", fail)
            tasks.once("second", succeed)
            for _ in range(5):
                await asyncio.sleep(0)
            assert not tasks.health, "it does not last"

    asyncio.run(scenario())
    assert done == ["second"]
    [complaint] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert complaint.getMessage() == "first failed"
    assert complaint.exc_info


def test_all_end_with_their_block() -> None:
    ended: list[str] = []

    async def last() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append("ended")

    async def scenario() -> None:
        async with Tasks() as tasks:
            tasks.keep("kept", last)
            tasks.once("once", last)
            await asyncio.sleep(0)

    asyncio.run(scenario())
    assert ended == ["ended", "ended"]


def test_two_tasks_of_one_name_are_a_mistake() -> None:
    async def scenario() -> None:
        async with Tasks() as tasks:
            tasks.keep("a", asyncio.Event().wait)  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="two tasks"):
                tasks.keep("a", asyncio.Event().wait)  # type: ignore[arg-type]

    asyncio.run(scenario())
