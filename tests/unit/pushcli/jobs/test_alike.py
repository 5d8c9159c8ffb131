from hypothesis import given
from hypothesis import strategies as st

from pushcli.jobs.alike import MOST_ROWS, Alike, alike
from pushcli.jobs.model import NodeResult
from pushcli.terminal.reasons import in_short

STATES = ("succeeded", "failed", "crashed", "nacked", "unavailable", "running")


def absent(node: str, reason: str) -> NodeResult:
    return NodeResult(node=node, state="unavailable", reason=reason)


def names(group: Alike) -> list[str]:
    return [result.node for result in group.results]


def test_reasons_that_differ_in_their_moment_are_one() -> None:
    early, late = "2020-01-01T08:00Z", "2020-01-01T08:07Z"
    [group, other] = alike(
        [absent("a", f"offline since {late}"), absent("b", f"offline since {early}"),
         absent("c", "offline since its server started"), absent("d", f"offline since {late}")]
    )  # fmt: skip
    assert names(group) == ["a", "b", "d"]
    began, until = (in_short(f"since {moment}").removeprefix("since ") for moment in (early, late))
    assert group.why == f"offline since {began} to {until}"
    assert other.why == "offline since its server started"


def test_the_same_moment_is_told_once() -> None:
    [group] = alike([absent(node, "offline since 2020-01-01T08:00Z") for node in "ab"])
    assert group.why == in_short("offline since 2020-01-01T08:00Z")


def test_codes_are_told_apart_and_not_repeated() -> None:
    found = alike(
        [NodeResult(node="a", state="failed", exit_code=3),
         NodeResult(node="b", state="failed", exit_code=4),
         NodeResult(node="c", state="failed", exit_code=3),
         NodeResult(node="d", state="succeeded", started_at=1.0, ended_at=2.0)]
    )  # fmt: skip
    assert [(names(one), one.exit_code, one.why) for one in found] == [
        (["d"], 0, ""), (["a", "c"], 3, ""), (["b"], 4, ""),
    ]  # fmt: skip


def test_of_many_reasons_those_of_the_most_nodes_are_told() -> None:
    results = [absent(f"n{number}-{copy}", f"reason {number}")
               for number in range(40) for copy in range(40 - number)]  # fmt: skip
    found = alike(results)
    assert len(found) == MOST_ROWS
    assert sorted(one.why for one in found) == sorted(
        [*(f"reason {number}" for number in range(11)), "29 more reasons; -V tells all"]
    )


def test_without_an_end_nobody_knows_the_code() -> None:
    [group] = alike([NodeResult(node="a", state="succeeded")])
    assert group.exit_code is None


def test_codes_that_differ_are_nobody_s() -> None:
    codes = [NodeResult(node=str(code), state="failed", exit_code=code) for code in (3, 4)]
    assert Alike(codes).exit_code is None


def test_more_states_than_rows_are_all_told() -> None:
    states = [f"state {number}" for number in range(MOST_ROWS + 1)]
    found = alike([NodeResult(node="n", state=state) for state in states])
    assert sorted(one.state for one in found) == sorted(states)


@given(st.lists(st.builds(
    NodeResult, node=st.uuids().map(str), state=st.sampled_from(STATES),
    reason=st.none() | st.integers(0, 30).map(str), exit_code=st.none() | st.integers(0, 5),
)))  # fmt: skip
def test_each_node_stands_in_one_of_few_rows(results: list[NodeResult]) -> None:
    found = alike(results)
    assert len(found) <= MOST_ROWS
    assert sorted(name for one in found for name in names(one)) == sorted(r.node for r in results)
    assert all({result.state for result in one.results} == {one.state} for one in found)
