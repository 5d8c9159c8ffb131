"""Calls several at a time."""

import threading
from collections.abc import Callable
from functools import partial

import pytest

from pushcli.jobs.at_once import at_once


def no_note(done: int, result: object) -> None:
    pass


def test_results_come_in_the_order_of_the_calls_and_are_noted() -> None:
    second = threading.Event()
    noted: list[tuple[int, int | None]] = []

    def first() -> int:
        assert second.wait(10)
        return 1

    def other() -> int:
        second.set()
        return 2

    found = at_once([first, other], 2, lambda done, result: noted.append((done, result)))
    assert found == [1, 2]
    assert [note for note in noted if note[1] is not None] == [(1, 2), (2, 1)]


def test_time_that_passes_is_noted() -> None:
    passed = threading.Event()
    noted = []

    def note(done: int, result: bool | None) -> None:
        noted.append((done, result))
        passed.set()

    assert at_once([partial(passed.wait, 10)], 1, note) == [True]
    assert noted == [(0, None), (1, True)]


def test_the_first_error_is_raised_and_nothing_more_begun() -> None:
    stuck, begun = threading.Event(), []

    def fail() -> None:
        raise ValueError("no")

    def wait(number: int) -> None:
        begun.append(number)
        stuck.wait(10)

    calls: list[Callable[[], None]] = [fail, *(partial(wait, number) for number in range(20))]
    with pytest.raises(ValueError, match="no"):
        at_once(calls, 3, no_note)
    stuck.set()
    for thread in threading.enumerate():
        if thread.name.startswith("fetch"):
            thread.join(10)
    assert len(begun) <= 3


def test_nothing_at_all_is_done_at_once() -> None:
    assert at_once([], 4, no_note) == []
