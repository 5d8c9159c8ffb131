"""How much of a job's output may be kept, and what is gathered of a channel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli_server.core.gathering import MAX_TAIL, Budget, Gathering, Tail


def test_each_node_has_its_share() -> None:
    budget = Budget.of(100, 4)
    assert [budget.draw(node, 30, ended=True) for node in "abcd"] == [25, 25, 25, 25]


def test_until_its_command_ends_a_node_has_something_in_reserve() -> None:
    budget = Budget.of(100, 4)
    assert budget.draw("a", 30) == 13
    assert budget.room("a") == 12
    assert budget.draw("a", 30, ended=True) == 12
    assert budget.room("a") == 0


def test_the_reserve_is_no_more_than_an_end_may_have() -> None:
    budget = Budget.of(2**30, 1)
    assert budget.draw("a", 2**30) == 2**30 - MAX_TAIL


def test_what_a_node_leaves_is_for_the_others() -> None:
    budget = Budget.of(100, 4)
    assert budget.draw("a", 30) == 13
    budget.draw("b", 5)
    budget.close("b")
    assert budget.draw("a", 30) == 20
    assert budget.draw("c", 30) == 13


def test_what_others_left_does_not_grow_the_reserve() -> None:
    budget = Budget.of(100, 4)
    budget.close("b")
    assert budget.draw("a", 30) == 30
    assert budget.draw("a", 10) == 8, "what is left of b's share"


def test_the_end_of_an_output_may_have_what_others_left() -> None:
    budget = Budget.of(100, 4)
    budget.close("b")
    assert budget.room("a") == 50


def test_a_job_without_nodes_has_a_budget() -> None:
    assert Budget.of(100, 0).share == 100


def test_what_nobody_has_a_share_of_is_for_all() -> None:
    assert Budget.of(10, 3).draw("a", 9) == 3
    assert Budget.of(10, 3).draw("a", 9, ended=True) == 4


def test_what_is_replaced_is_not_counted_twice() -> None:
    budget = Budget.of(100, 4)
    budget.draw("a", 20, ended=True)
    budget.close("a")
    budget.begin_again("a")
    assert budget.draw("a", 20, ended=True) == 20


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
        assert budget.room(node) >= limit // 3 - used[node]
        assert budget.draw(node, limit, ended=True) + used[node] >= limit // 3


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


def test_the_end_is_asked_for_where_there_is_room_for_some_of_it() -> None:
    gathering = Gathering(received=70, kept=40)
    assert gathering.is_cut
    assert gathering.begin_tail(100, 10)
    assert (gathering.received, gathering.left_out, gathering.is_cut) == (90, 50, False)


def test_an_end_that_meets_the_beginning_leaves_nothing_out() -> None:
    gathering = Gathering(received=70, kept=40)
    assert gathering.begin_tail(100, 80)
    assert (gathering.received, gathering.left_out) == (40, 0)


def test_an_end_is_no_longer_than_ends_may_be() -> None:
    gathering = Gathering(received=9 * MAX_TAIL, kept=5)
    assert gathering.begin_tail(9 * MAX_TAIL, 5 * MAX_TAIL)
    assert gathering.tail == Tail(8 * MAX_TAIL, MAX_TAIL)


@pytest.mark.parametrize(("size", "room"), [(100, 0), (40, 10), (1, 10)])
def test_without_room_or_without_an_end_none_is_asked_for(size: int, room: int) -> None:
    gathering = Gathering(received=70, kept=40)
    assert not gathering.begin_tail(size, room)
    assert gathering.is_cut


def test_another_head_has_another_end() -> None:
    gathering = Gathering(received=70, kept=40)
    gathering.begin_tail(100, 10)
    assert gathering.settle(30)
    assert (gathering.received, gathering.kept, gathering.tail) == (30, 30, None)
