"""What counts as growth. A judge that overlooks a leak makes every run green."""

import math
import random

import pytest

from tests.soak.trend import Bound, Sample, Trend, complaint, fitted, is_flat

BOUND = Bound(slope=30, noise=2)


def line(slope: float, seconds: int = 420, noise: float = 0.0) -> list[Sample]:
    """Samples of each second: 100 and what is added in an hour."""
    chance = random.Random(1)
    return [
        Sample(at, 100 + slope * at / 3600 + noise * chance.uniform(-1, 1))
        for at in range(seconds + 1)
    ]


@pytest.mark.parametrize("slope", [-60.0, 0.0, 7.5, 90.0])
def test_the_slope_is_what_is_added_in_an_hour(slope: float) -> None:
    trend = fitted(line(slope), since=0)
    assert trend is not None
    assert trend.slope == pytest.approx(slope)
    assert trend.first == pytest.approx(100)
    assert trend.last == pytest.approx(100 + slope * 420 / 3600)


def test_what_was_before_the_warm_ups_end_does_not_count() -> None:
    warming = [Sample(at, at * 10.0) for at in range(100)]
    flat = [Sample(at, 1000.0) for at in range(100, 200)]
    trend = fitted([*warming, *flat], since=100)
    assert trend is not None
    assert (trend.begin, trend.end) == (100, 199)
    assert (trend.first, trend.last) == (pytest.approx(1000), pytest.approx(1000))


def test_noise_hides_neither_a_leak_nor_its_absence() -> None:
    for slope, expected in ((0, True), (60, False)):
        trend = fitted(line(slope, noise=3.0), since=0)
        assert trend is not None
        assert is_flat(trend, BOUND) is expected, trend


def test_what_comes_and_goes_is_flat_wherever_the_samples_end() -> None:
    for end in range(360, 480, 10):
        wave = [Sample(at, 100 + math.sin(at / 45 * math.tau)) for at in range(end)]
        trend = fitted(wave, since=0)
        assert trend is not None
        assert is_flat(trend, BOUND), (end, trend)


def test_a_step_in_a_short_run_is_no_growth_until_it_is_more_than_noise() -> None:
    short = Trend(0, 60, 100, 101.9)
    assert short.slope > BOUND.slope
    assert is_flat(short, BOUND)
    assert not is_flat(Trend(0, 60, 100, 102.1), BOUND)


def test_what_shrinks_is_flat() -> None:
    assert is_flat(Trend(0, 420, 200, 100), BOUND)


def test_a_leak_is_told_in_one_line() -> None:
    trend = fitted(line(90), since=0)
    told = complaint("server memory", "MiB", trend, BOUND)
    assert told == (
        "server memory grows by 90.0 MiB/h (at most 30): from 100.0 to 110.5 MiB in 7.0 min"
    )
    assert complaint("server memory", "MiB", fitted(line(10), since=0), BOUND) is None


def test_without_samples_nothing_is_flat() -> None:
    trend = fitted(line(0, seconds=5), since=0)
    assert complaint("agents", "MiB", trend, BOUND) == (
        "agents: fewer than 10 samples after the warm-up"
    )
