"""What `job status` says of times and batches."""

import pytest

from pushcli.jobs.job_status import _batch, _times
from pushcli.jobs.model import NodeResult
from pushcli.jobs.pages import ListedJob


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        ([], ""),
        ([0.04], "0.0 s"),
        ([0.1, 0.94], "0.9 s"),
        ([0.1, 1.4], "0-1 s"),
        ([3.2, 3.4], "3 s"),
        ([3.2, 14.4], "3-14 s"),
        ([61.0, 119.0], "61-119 s"),
        ([61.0, 120.0], "1 min 1 s - 2 min"),
        ([180.0, 180.0], "3 min"),
        # A clock that was set back while it ran.
        ([-5.0], "0.0 s"),
    ],
)
def test_times_of_many_nodes_are_a_range(seconds: list[float], shown: str) -> None:
    results = [
        NodeResult(node=f"n{n}", state="succeeded", started_at=100.0, ended_at=100.0 + took)
        for n, took in enumerate(seconds)
    ]
    assert _times(results) == shown


@pytest.mark.parametrize(("others", "end"), [(1, ")"), (12, ")"), (13, " and 1 more")])
def test_of_many_batches_the_rest_is_counted(others: int, end: str) -> None:
    jobs = [
        ListedJob(id=f"{n:032x}", command="x", status="complete", created_at="", updated_at="")
        for n in range(others + 1)
    ]
    told = _batch(jobs[1].id, jobs)
    assert told.startswith(f"batch 2 of the {others + 1} that were started: 00000000 (complete)")
    assert told.endswith(end)
