"""How much of a job's output may be kept, and what is gathered of a channel."""

from hypothesis import given
from hypothesis import strategies as st

from pushcli_server.core.gathering import Budget, Gathering


def test_each_node_has_its_share() -> None:
    budget = Budget.of(100, 4)
    assert [budget.draw(node, 30) for node in "abcd"] == [25, 25, 25, 25]


def test_what_a_node_leaves_is_for_the_others() -> None:
    budget = Budget.of(100, 4)
    assert budget.draw("a", 30) == 25
    budget.draw("b", 5)
    budget.close("b")
    assert budget.draw("a", 30) == 20
    assert budget.draw("c", 30) == 25


def test_what_nobody_has_a_share_of_is_for_all() -> None:
    assert Budget.of(10, 3).draw("a", 9) == 4


def test_what_is_replaced_is_not_counted_twice() -> None:
    budget = Budget.of(100, 4)
    budget.draw("a", 20)
    budget.close("a")
    budget.begin_again("a")
    assert budget.draw("a", 20) == 20


_steps = st.lists(
    st.tuples(st.sampled_from(["draw", "close"]), st.sampled_from("abc"), st.integers(0, 90))
)


@given(limit=st.integers(0, 200), steps=_steps)
def test_no_more_is_given_than_there_is_and_nobody_s_share_to_others(
    limit: int, steps: list[tuple[str, str, int]]
) -> None:
    budget, used, closed = Budget.of(limit, 3), dict.fromkeys("abc", 0), set[str]()
    for what, node, size in steps:
        if what == "close":
            budget.close(node)
            closed.add(node)
        else:
            given_ = budget.draw(node, size)
            assert 0 <= given_ <= size
            used[node] += given_
    assert sum(used.values()) <= limit
    for node in set("abc") - closed:
        assert budget.draw(node, limit) + used[node] >= limit // 3


def test_what_is_not_as_it_was_goes_once() -> None:
    gathering = Gathering.of(10)
    assert gathering.settle(None) is False
    assert gathering.settle(4) is True
    assert (gathering.received, gathering.kept) == (4, 4)
    gathering.received = gathering.kept = 9
    assert gathering.settle(4) is False
    assert gathering.received == 9


def test_a_head_beyond_what_is_there_cuts_nothing() -> None:
    gathering = Gathering.of(10)
    assert gathering.settle(10) is False
    assert gathering.received == 10
