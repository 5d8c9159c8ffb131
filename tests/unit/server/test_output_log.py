"""How far a job's output has come, for readers that come, go and come back."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from pushcli_server.output_log import _MARKS, OutputLog, Part

A: Part = ("a", "stdout")
B: Part = ("b", "stdout")


def test_a_reader_sees_each_part_once_in_the_order_of_the_last_growth() -> None:
    log = OutputLog("x")
    log.grow(A, 1)
    log.grow(B, 1)
    log.grow(A, 2)
    assert log.since(0) == [(B, 2), (A, 3)]
    assert log.since(2) == [(A, 3)]
    assert log.since(3) == []
    assert log.size(A) == 2


def test_a_size_never_shrinks() -> None:
    log = OutputLog("x")
    log.grow(A, 5)
    log.grow(A, 3)
    assert log.size(A) == 5


def test_a_reader_that_comes_back_goes_on_where_it_was() -> None:
    log = OutputLog("x")
    log.grow(A, 5)
    position = log.position(log.event_id(1))
    log.grow(A, 9)
    assert [(part, log.size_at(part, position)) for part, _ in log.since(position)] == [(A, 5)]


def test_an_id_of_another_log_begins_at_the_beginning() -> None:
    log = OutputLog("x")
    log.grow(A, 5)
    for event_id in ("", "y-1", "x-2", "x--1", "x-\u0661", "x-" + "1" * 40, "x"):
        assert log.position(event_id) == 0


@given(
    growths=st.lists(st.tuples(st.sampled_from([A, B]), st.integers(1, 9)), max_size=200),
    at=st.integers(0, 200),
)
def test_what_is_remembered_of_a_moment_is_bounded_and_never_too_much(
    growths: list[tuple[Part, int]], at: int
) -> None:
    log, sizes, then = OutputLog("x"), {A: 0, B: 0}, {A: 0, B: 0}
    for number, (part, size) in enumerate(growths, 1):
        sizes[part] += size
        log.grow(part, sizes[part])
        if number <= at:
            then[part] = sizes[part]
    for part in (A, B):
        assert len(log._marks.get(part, [])) <= _MARKS
        assert log.size_at(part, at) <= then[part]
        if at >= len(growths) - 5:
            assert log.size_at(part, at) == then[part]


def test_news_are_waited_for() -> None:
    async def scene() -> tuple[bool, bool]:
        log = OutputLog("x")
        nothing = await log.news(0, 0.01)
        waiting = asyncio.create_task(log.news(0, 10))
        await asyncio.sleep(0)
        log.grow(A, 1)
        return nothing, await waiting

    assert asyncio.run(scene()) == (False, True)
