"""What REST shows of a node's part in a job."""

from typing import Any

import msgspec
import pytest

from pushcli.jobs.model import LateResult, NodeResult
from pushcli_server.store.records import JobNodeRecord
from pushcli_server.views import is_partial, node_part


def part(state: str, **fields: Any) -> JobNodeRecord:
    return JobNodeRecord(node="a", state=state, **{"stdout_digest": "d", **fields})


@pytest.mark.parametrize(
    ("record", "partial"),
    [
        (part("succeeded", partial=False), False),
        (part("failed", partial=True), True),
        (part("timed_out", partial=True), True),
        (part("timed_out"), True),
        (part("aborted"), True),
        (part("crashed"), True),
        # It came to its end after all, and told so too late.
        (part("crashed", partial=False), False),
        (part("crashed", partial=True, stdout_digest=None), False),
        # Of an older version's store.
        (part("succeeded"), False),
        (part("failed"), False),
    ],
)
def test_output_is_partial_where_its_command_was_cut_short(
    record: JobNodeRecord, partial: bool
) -> None:
    assert is_partial(record) is partial
    assert node_part(record).get("partial", False) is partial


def test_bytes_that_are_missing_are_shown_where_there_are_any() -> None:
    shown = node_part(part("succeeded", stdout_dropped=3, stderr_dropped=0))
    assert (shown["stdout_dropped"], "stderr_dropped" in shown) == (3, False)


def test_a_late_result_is_shown_as_far_as_it_says_something() -> None:
    late = '{"succeeded": false, "exit_code": 3, "signal": null, "aborted": false}'
    shown = node_part(part("crashed", partial=False, late_result=late))
    assert shown["late_result"] == {"exit_code": 3}
    assert msgspec.convert(shown, NodeResult).late_result == LateResult(exit_code=3)
