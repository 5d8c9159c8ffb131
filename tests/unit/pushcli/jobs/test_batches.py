"""Which nodes run when, and when no more do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.errors import UsageError
from pushcli.exit_status import ExitStatus
from pushcli.jobs.batches import WORST_LAST, Course, course, quorum_of_batch
from pushcli.jobs.model import JobView

NODES = st.lists(st.integers(0, 500).map("n{}".format), min_size=1, max_size=60, unique=True)
SIZES = st.integers(1, 80).map(str) | st.integers(1, 100).map("{}%".format)
STATES = ("succeeded", "failed", "crashed", "timed_out", "nacked", "unavailable")


def ended(status: str = "complete", **counts: int) -> JobView:
    nodes = {state: [f"{state}{i}" for i in range(count)] for state, count in counts.items()}
    return JobView(
        id="1" * 32, command="x", status=status, created_at="", updated_at="", nodes=nodes
    )


@given(NODES, SIZES)
def test_every_node_is_in_one_batch_in_the_order_given(nodes: list[str], size: str) -> None:
    plan = course(nodes, size)
    assert [node for batch in plan.batches for node in batch] == nodes
    first, *others = plan.batches
    assert all(len(batch) == len(first) for batch in plan.batches[:-1])
    assert all(1 <= len(batch) <= len(first) for batch in others)
    if size.endswith("%"):
        assert len(plan.batches) <= 100 / int(size[:-1]) + 1
    else:
        assert len(first) == min(int(size), len(nodes))


@given(NODES, SIZES, st.none() | st.integers(0, 5).map(str), st.data())
def test_whatever_happens_each_node_ran_or_is_left(
    nodes: list[str], size: str, most: str | None, data: st.DataObject
) -> None:
    at = course(nodes, size, most)
    statuses = st.sampled_from(["complete", "complete", "complete", "quorum_failed", "aborted"])
    verdicts = [ExitStatus.OK]
    failures = 0
    while (batch := at.next) is not None:
        states = data.draw(
            st.lists(st.sampled_from(STATES), min_size=len(batch), max_size=len(batch))
        )
        counts = {state: states.count(state) for state in set(states)}
        failures += sum(state in STATES[1:4] for state in states)
        job = ended(data.draw(statuses), **counts)
        before, at = at, at.after(job)
        assert at.ran() + at.rest() == nodes
        assert at.ran() == [*before.ran(), *batch]
        assert before.rest(skipped=1) == at.rest()
        too_many = most is not None and failures > int(most)
        assert bool(at.stopped) == (job.status != "complete" or too_many)
        verdicts.append(at.worst)
    assert at.failures == failures
    assert bool(at.stopped) or not at.rest()
    ranks = [WORST_LAST.index(status) for status in verdicts]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize(
    ("jobs", "worst"),
    [
        ([ended(succeeded=1)], ExitStatus.OK),
        ([ended(failed=1), ended(succeeded=1)], ExitStatus.NODE_FAILED),
        ([ended("timed_out", timed_out=1), ended(failed=1)], ExitStatus.TIMED_OUT),
        ([ended("timed_out"), ended("aborted", aborted=1)], ExitStatus.ABORTED),
        ([ended(failed=1), ended("quorum_failed", nacked=1)], ExitStatus.QUORUM_FAILED),
        ([ended("crashed", crashed=1)], ExitStatus.NODE_FAILED),
    ],
)
def test_the_worst_batch_is_the_exit_status(jobs: list[JobView], worst: ExitStatus) -> None:
    at = Course(batches=(("a",), ("b",), ("c",)))
    for job in jobs:
        at = at.after(job)
    assert at.worst == worst


@pytest.mark.parametrize(
    ("most", "failed", "stops"),
    [(None, 10, False), ("0", 1, True), ("0", 0, False), ("2", 2, False), ("2", 3, True),
     ("10%", 1, False), ("10%", 2, True), ("100%", 10, False)],
)  # fmt: skip
def test_it_stops_once_more_than_that_failed(most: str | None, failed: int, stops: bool) -> None:
    at = course([f"n{i}" for i in range(19)], "10", most)
    at = at.after(ended(failed=failed, succeeded=10 - failed))
    assert bool(at.stopped) is stops


def test_who_takes_no_part_does_not_count_as_a_failure() -> None:
    assert not course(["a", "b"], "1", "0").after(ended(nacked=1, unavailable=3)).stopped


@pytest.mark.parametrize("size", ["0", "0%", "", "x", "-1", "1.5", "101%", "1 2"])
def test_a_batch_is_a_number_of_nodes_or_a_part_of_them(size: str) -> None:
    with pytest.raises(UsageError, match="--batch"):
        course(["a", "b"], size)


@pytest.mark.parametrize("most", ["", "x", "-1", "101%"])
def test_so_is_what_may_fail(most: str) -> None:
    with pytest.raises(UsageError, match="--max-failures"):
        course(["a"], "1", most)


def test_a_quorum_is_that_of_a_batch() -> None:
    assert quorum_of_batch(None, 3, 10) is None
    assert quorum_of_batch("80%", 3, 10) == "80%"
    assert quorum_of_batch("8", 10, 10) == "8"
    assert quorum_of_batch("8", 3, 10) == "3"
    with pytest.raises(UsageError, match="a batch of 10 cannot reach a quorum of 11"):
        quorum_of_batch("11", 10, 10)
