"""The same thing is said so often and no more; the rest is counted."""

from pushcli.logs.rate_bound import MOST, MOST_OF_A_KIND, PERIOD, RateBound


def said(bound: RateBound, count: int, *, source: str = "n1", now: float = 0.0) -> int:
    return sum(bound.admits("dropped", source, now) for _ in range(count))


def test_what_is_said_now_and_then_is_always_said() -> None:
    bound = RateBound()
    assert all(bound.admits("dropped", "n1", PERIOD * n) for n in range(200))
    assert not bound.left_out(PERIOD * 300)


def test_one_source_is_counted_from_its_bound_on() -> None:
    bound = RateBound()
    assert said(bound, MOST + 412) == MOST
    assert not bound.left_out(PERIOD - 1), "its time is not over"
    assert bound.left_out(PERIOD) == [("dropped", 412)]
    assert not bound.left_out(PERIOD), "told once"
    assert said(bound, 5, now=PERIOD) == 5


def test_another_source_is_heard_all_the_same() -> None:
    bound = RateBound()
    said(bound, MOST + 1)
    assert bound.admits("dropped", "n2", 0.0)
    assert bound.admits("failed", "n1", 0.0)


def test_many_sources_together_are_bounded_too() -> None:
    bound = RateBound()
    total = sum(said(bound, 10, source=f"n{number}") for number in range(10_000))
    assert total == MOST_OF_A_KIND
    assert bound.left_out(PERIOD) == [("dropped", 100_000 - MOST_OF_A_KIND)]


def test_what_is_left_out_is_told_even_if_it_goes_on_and_on() -> None:
    bound = RateBound()
    told = lines = 0
    for now in range(int(PERIOD) * 5):
        lines += said(bound, 100, now=now)
        told += sum(count for _, count in bound.left_out(now))
    told += sum(count for _, count in bound.left_out(PERIOD * 6))
    assert told + lines == 100 * PERIOD * 5


def test_only_so_many_sources_are_remembered() -> None:
    bound = RateBound()
    for number in range(20_000):
        bound.admits(f"kind {number}", f"n{number}", 0.0)
    assert len(bound._windows) < 3000
