import pytest

from pushcli.exit_status import ExitStatus
from pushcli.jobs.model import JobView
from pushcli.jobs.verdict import verdict


@pytest.mark.parametrize(
    ("status", "states", "exit_status"),
    [
        ("complete", ["succeeded"], ExitStatus.OK),
        ("complete", ["succeeded", "nacked", "unavailable"], ExitStatus.OK),
        ("complete", [], ExitStatus.OK),
        ("complete", ["succeeded", "failed"], ExitStatus.NODE_FAILED),
        ("complete", ["succeeded", "crashed"], ExitStatus.NODE_FAILED),
        ("complete", ["succeeded", "heard_of_never"], ExitStatus.NODE_FAILED),
        ("quorum_failed", ["was_ready", "nacked"], ExitStatus.QUORUM_FAILED),
        ("timed_out", ["timed_out", "succeeded"], ExitStatus.TIMED_OUT),
        ("aborted", ["aborted"], ExitStatus.ABORTED),
        ("crashed", ["crashed"], ExitStatus.NODE_FAILED),
    ],
)
def test_the_end_of_a_job_is_an_exit_status(
    status: str, states: list[str], exit_status: ExitStatus
) -> None:
    job = JobView(
        id="1", command="x", status=status, created_at="", updated_at="",
        nodes={state: ["a"] for state in states},
    )  # fmt: skip
    assert verdict(job) is exit_status
