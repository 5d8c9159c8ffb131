"""What REST shows of a node's part in a job."""

import json
from typing import Any

import msgspec
import pytest

from pushcli.jobs.model import LateResult, NodeResult
from pushcli_server.store.records import JobNodeRecord, JobRecord
from pushcli_server.views import deleted_output, is_partial, node_part, without_output


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


def test_who_may_not_read_output_learns_nothing_of_it() -> None:
    """Whatever is recorded of it, now or later: all that names a channel is hidden."""
    late = {"succeeded": False, "exit_code": 3, "timed_out": True, "stdout_dropped": 7}
    filled = {
        name: 1
        for name in JobNodeRecord.__struct_fields__
        if name.startswith(("stdout_", "stderr_")) and not name.endswith("_digest")
    }
    record = part(
        "crashed", reason="r", exit_code=3, partial=True, late_result=json.dumps(late), **filled
    )
    job = JobRecord(
        id="j", org="acme", command="c", status="complete", quorum=1, run_timeout=1.0,
        requestor="ann", created_at=1.0, updated_at=2.0, output_deleted_at=3.0,
        output_deleted_by="job_retention",
    )  # fmt: skip
    shown = node_part(record) | deleted_output(
        job, msgspec.structs.replace(record, stdout_digest=None)
    )
    assert {"stdout_cut_at", "stderr_cut_at", "output_deleted_at"} <= set(shown)
    assert without_output({**shown, "output_pending": True, "ending": True}) == {
        "node": "a",
        "state": "crashed",
        "reason": "r",
        "exit_code": 3,
        "ending": True,
        "late_result": {"exit_code": 3, "timed_out": True},
        "output_hidden": True,
    }
