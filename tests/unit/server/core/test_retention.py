"""Whose output is to go."""

import math

from hypothesis import given
from hypothesis import strategies as st

from pushcli_server.core.retention import DAY, Ended, Rules, expired, is_plausible, surplus

JOBS = [Ended("a", 10.0), Ended("b", 20.0), Ended("c", 30.0)]
SIZES = {"a": 5, "b": 5, "c": 5}


def test_what_is_too_old_goes() -> None:
    assert expired(JOBS, 40.0, Rules(20.0, 0)) == ["a", "b"]
    assert expired(JOBS, 40.0, Rules(20.5, 0)) == ["a"]
    assert expired(JOBS, 40.0, Rules(math.inf, 0)) == []


def test_a_job_of_the_future_is_not_old() -> None:
    assert expired(JOBS, 5.0, Rules(1.0, 0)) == []


def test_of_what_is_too_much_the_oldest_goes() -> None:
    rules = Rules(math.inf, 10)
    assert surplus(JOBS, SIZES, 10, rules, are_more=False) == []
    assert surplus(JOBS, SIZES, 11, rules, are_more=False) == ["a"]
    assert surplus(JOBS, SIZES, 15, rules, are_more=False) == ["a"]
    assert surplus(JOBS, SIZES, 16, rules, are_more=False) == ["a", "b"]


def test_the_job_that_ended_last_keeps_its_output() -> None:
    rules = Rules(math.inf, 1)
    assert surplus(JOBS, SIZES, 100, rules, are_more=False) == ["a", "b"]
    assert surplus(JOBS, SIZES, 100, rules, are_more=True) == ["a", "b", "c"]
    assert surplus([], {}, 100, rules, are_more=False) == []


def test_a_job_that_wrote_nothing_makes_no_room() -> None:
    assert surplus(JOBS, {"b": 5, "c": 5}, 11, Rules(math.inf, 10), are_more=False) == ["a", "b"]


_sizes = st.lists(st.integers(0, 50), max_size=8)


@given(sizes=_sizes, limit=st.integers(0, 200), are_more=st.booleans())
def test_no_more_goes_than_has_to(sizes: list[int], limit: int, are_more: bool) -> None:
    jobs = [Ended(str(number), float(number)) for number in range(len(sizes))]
    by_job = {job.job: size for job, size in zip(jobs, sizes, strict=True)}
    stored = sum(sizes)
    chosen = surplus(jobs, by_job, stored, Rules(math.inf, limit), are_more=are_more)
    assert chosen == [job.job for job in jobs[: len(chosen)]], "the oldest"
    left = stored - sum(by_job[job] for job in chosen)
    assert left <= limit or len(chosen) >= len(jobs) - (not are_more)
    if chosen:
        assert left + by_job[chosen[-1]] > limit, "one fewer was enough"


NOW = 1_800_000_000.0


def test_a_clock_that_is_far_ahead_of_the_records_is_not_believed_for_a_day() -> None:
    long_ago = NOW - 700 * DAY
    assert not is_plausible(NOW, long_ago, 0.0)
    assert not is_plausible(NOW, long_ago, DAY - 1)
    # The server was off for so long.
    assert is_plausible(NOW, long_ago, DAY)


def test_records_of_the_week_before_yesterday_prove_the_clock() -> None:
    assert is_plausible(NOW, NOW - 8 * DAY, 0.0)
    assert not is_plausible(NOW, NOW - 8 * DAY - 1, 0.0)


def test_where_nothing_is_a_day_old_nothing_is_in_doubt() -> None:
    assert is_plausible(NOW, None, 0.0)
