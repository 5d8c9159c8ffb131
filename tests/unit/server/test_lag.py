"""What is measured of the event loop, and what that costs."""

import tracemalloc

import pytest

from pushcli_server.lag import LoopLag, Sample


def measured(samples: int, lags: list[float]) -> LoopLag:
    lag = LoopLag(lambda _: None, samples)
    for number, late in enumerate(lags):
        lag.keep(Sample(late, number / 1000))
    return lag


def test_a_report_is_of_the_time_since_the_last_one() -> None:
    lag = measured(5000, [0.050] + [0.001] * 1985 + [0.003] * 14)
    assert lag.report() == (
        "event loop: longest block 50.0 ms, p99.9 3.0 ms, p99 1.0 ms; "
        "processor time in one: most 1999.0 ms, p99.9 1998.0 ms; 2000 samples"
    )
    assert lag.report() == "event loop: not measured"
    lag.keep(Sample(0.002, 0.001))
    assert lag.report().startswith("event loop: longest block 2.0 ms")


def test_of_too_many_samples_the_oldest_go() -> None:
    assert measured(10, [0.5] * 5 + [0.001] * 10).report().endswith("10 samples")
    assert "longest block 1.0 ms" in measured(10, [0.5] * 5 + [0.001] * 10).report()


@pytest.mark.parametrize("count", [100, 60_000])
def test_what_is_kept_is_small_and_does_not_grow(count: int) -> None:
    tracemalloc.start()
    try:
        lag = LoopLag(lambda _: None)
        for number in range(count):
            lag.keep(Sample(number / 7, number / 11))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_100_000
