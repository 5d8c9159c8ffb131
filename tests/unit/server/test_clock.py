"""The two times of the server, and timers, by a clock that the test sets."""

import asyncio
import time

import pytest

from pushcli_server import timers as timers_module
from pushcli_server.clock import Clock, since_boot
from pushcli_server.timers import Timers


class Hands:
    """A machine's clocks."""

    def __init__(self) -> None:
        self.steady = 50.0
        self.date = 1_000_000.0

    def pass_time(self, seconds: float) -> None:
        self.steady += seconds
        self.date += seconds

    def clock(self) -> Clock:
        return Clock(lambda: self.steady, lambda: self.date)


def test_at_the_start_both_times_agree() -> None:
    clock = Hands().clock()
    assert clock.now() == clock.date() == 1_000_000.0
    assert clock.offset() == 0.0


@pytest.mark.parametrize("step", [7200.0, -7200.0, 0.5])
def test_a_clock_that_is_set_moves_the_date_and_no_deadline(step: float) -> None:
    hands = Hands()
    clock = hands.clock()
    hands.pass_time(10.0)
    hands.date += step
    assert clock.now() == 1_000_010.0
    assert clock.date() == 1_000_010.0 + step
    assert clock.offset() == step
    hands.pass_time(5.0)
    assert (clock.now(), clock.offset()) == (1_000_015.0, step)


def test_a_machine_that_sleeps_counts_its_sleep() -> None:
    before, monotonic = since_boot(), time.monotonic()
    assert before >= monotonic - 1.0, "it has what the monotonic clock has, and more"
    clock = Clock()
    assert abs(clock.now() - time.time()) < 1.0
    assert abs(clock.offset()) < 1.0


def test_timers_keep_to_the_steady_clock_and_tell_of_a_standstill_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timers_module, "LONGEST_NAP", 0.02)
    told: list[object] = []

    async def play() -> None:
        hands = Hands()
        clock = hands.clock()
        timers = Timers(clock, told.append)
        timers.at(clock.now() + 60.0, lambda: told.append("due"))
        hands.date += 86_400.0
        await asyncio.sleep(0.1)
        assert told == [], "the date was set: that is no reason"
        # The machine slept: the loop's own clock did not count it.
        hands.pass_time(90.0)
        async with asyncio.timeout(5.0):
            while "due" not in told:
                await asyncio.sleep(0.01)
        timers.close()

    asyncio.run(play())
    stalled, due = told
    assert due == "due"
    assert isinstance(stalled, float)
    assert 89.0 < stalled < 91.0


def test_a_busy_moment_is_no_standstill() -> None:
    told: list[object] = []

    async def play() -> None:
        hands = Hands()
        timers = Timers(hands.clock(), told.append)
        timers.at(1_000_000.0, lambda: told.append("due"))
        hands.pass_time(0.9)
        async with asyncio.timeout(5.0):
            while "due" not in told:
                await asyncio.sleep(0.01)
        timers.close()

    asyncio.run(play())
    assert told == ["due"]
