"""Whatever the original's database holds becomes a job of ours, or is left out with a reason."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.protocol import limits, names
from pushcli_server.core.states import JobStatus, NodeState
from pushcli_server.importing import original_job
from pushcli_server.importing.original_job import MAX_TEXT, LeftOut, OriginalJob, taken
from pushcli_server.importing.original_rest import moment
from pushcli_server.store.original import JOB_STATUS, NODE_STATUS

NOW = 1_800_000_000.0
_ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5),
    st.dictionaries(st.text(max_size=2), st.one_of(st.integers(), st.text(max_size=2))),
    st.sampled_from(["raw:x", "base64:eA==", "base64:!", '{"A":"b"}', '{"A":1}', "[" * 5000]),
)  # fmt: skip
_TIMES = st.one_of(st.none(), st.floats(), st.floats(0, NOW))
JOBS = st.builds(
    OriginalJob,
    id=st.sampled_from(["a" * 32, "A" * 32, "", "1"]),
    command=st.one_of(_ANYTHING, st.just("true")),
    status=st.sampled_from([*JOB_STATUS, "17"]),
    run_timeout=_ANYTHING, quorum=_ANYTHING, created_at=_TIMES, updated_at=_TIMES,
    user=_ANYTHING, dir=_ANYTHING, env=_ANYTHING, capture=st.booleans(), file=_ANYTHING,
    parts=st.lists(
        st.tuples(st.sampled_from(["a", "b", "c d", ""]), st.sampled_from([*NODE_STATUS, "99"]))
    ),
)  # fmt: skip


@given(JOBS)
def test_what_is_taken_over_is_a_job_that_is_over(job: OriginalJob) -> None:
    with contextlib.suppress(LeftOut):
        made = taken(job, "acme", NOW)
        record = made.record
        assert names.is_job_id(record.id)
        assert JobStatus(record.status).is_final
        assert all(part.state.is_final for part in made.parts)
        assert 0 <= record.created_at <= record.updated_at <= NOW + limits.MAX_AHEAD
        assert (record.requestor, record.owner) == ("", None)
        assert 0 <= record.quorum <= limits.MAX_QUORUM
        assert abs(record.run_timeout) < 1e17
        assert record.env is None or all(
            isinstance(value, str) for value in json.loads(record.env).values()
        )
        assert len(made.parts) + len(made.left_out) == len(job.parts)


def test_every_state_of_the_original_has_one_of_ours() -> None:
    """And those that are the same keep their names."""
    for status in JOB_STATUS:
        parts = [(f"n{number}", state) for number, state in enumerate(NODE_STATUS)]
        job = OriginalJob(
            id="a" * 32, command="x", status=status, created_at=1.0, updated_at=2.0, parts=parts
        )
        made = taken(job, "acme", NOW)
        assert not made.left_out
        same = {*JobStatus} - {JobStatus.VOTING, JobStatus.RUNNING}
        assert made.record.status == (status if status in same else JobStatus.ABORTED)
        for (_, there), part in zip(parts, made.parts, strict=True):
            kept = there in {*NodeState} - {NodeState.NEW, NodeState.READY, NodeState.RUNNING}
            assert (part.state == there) == kept
            assert (part.reason is None) == kept


def job(**said: Any) -> OriginalJob:
    fields = {"command": "x", "status": "complete", "created_at": 1.0, "updated_at": 2.0, **said}
    return OriginalJob(id="a" * 32, **fields)


LATER = NOW + limits.MAX_AHEAD + 1
LONG = "x" * MAX_TEXT


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"created_at": LATER}, "created_at is in the future"),
        ({"created_at": -1.0}, "created_at is not a time"),
        ({"command": "a\0b"}, "the command holds a NUL"),
        ({"command": LONG, "env": {"A": "b"}}, "over 1,000,000 characters"),
    ],
)
def test_what_cannot_be_one_of_ours_is_left_out(said: dict[str, Any], why: str) -> None:
    with pytest.raises(LeftOut, match=why):
        taken(job(**said), "acme", NOW)


@pytest.mark.parametrize(
    ("said", "field", "kept", "why"),
    [
        ({"updated_at": LATER}, "updated_at", 1.0, "updated_at is not a time"),
        ({"updated_at": 0.5}, "updated_at", 1.0, "updated_at is before created_at"),
        ({"env": json.dumps({"A": LONG})}, "env", None, "the environment is not one of strings"),
        ({"user": LONG + "x"}, "user", None, "the user is not text"),
        ({"quorum": -1, "parts": [("a", "succeeded")]}, "quorum", 1, "the quorum is not known"),
        ({"quorum": 0}, "quorum", 0, None),
        ({"quorum": 0, "dir": "/srv  "}, "dir", "/srv", None),
        ({"quorum": 0, "user": "   "}, "user", None, None),
    ],
)
def test_what_makes_no_sense_in_a_job_is_replaced_and_said(
    said: dict[str, Any], field: str, kept: object, why: str | None
) -> None:
    made = taken(job(run_timeout=1, **{"quorum": 0, **said}), "acme", NOW)
    assert getattr(made.record, field) == kept
    assert [remark.startswith(why or "-") for remark in made.remarks] == [True] * (why is not None)


def test_a_node_is_in_a_job_once_and_there_are_not_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(original_job, "MAX_NODES", 2)
    parts = [("a", "succeeded"), ("a", "failed"), ("b", "failed"), ("c", "failed")]
    made = taken(job(parts=parts), "acme", NOW)
    assert [(part.node, part.state) for part in made.parts] == [
        ("a", NodeState.SUCCEEDED), ("b", NodeState.FAILED),
    ]  # fmt: skip
    assert list(made.left_out) == ["the job has the node twice", "the job has more than 2"]


@pytest.mark.parametrize(
    ("status", "ended"),
    [
        ("new", NodeState.WAS_READY), ("voting", NodeState.WAS_READY),
        ("quorum_failed", NodeState.WAS_READY), ("running", NodeState.CRASHED),
        ("crashed", NodeState.CRASHED), ("complete", NodeState.CRASHED),
    ],
)  # fmt: skip
def test_who_was_ready_and_never_told_to_run_did_not_crash(status: str, ended: NodeState) -> None:
    (part,) = taken(job(status=status, parts=[("a", "ready")]), "acme", NOW).parts
    assert part.state == ended


def test_a_zone_that_is_named_counts() -> None:
    remarks: list[str] = []
    for text in ("Mon, 23 Nov 2026 22:04:48 GMT", "2026-11-23T22:04:48Z",
                 "2026-11-23T23:04:48+01:00"):  # fmt: skip
        assert moment(text, "created_at", remarks) == 1795471488.0, text
    assert remarks == []
    assert moment("2026-11-23 22:04:48", "created_at", remarks) == 1795471488.0
    assert remarks == ["created_at names no zone: UTC"]
    for odd in ("soon", 5, None, "2" * 101):
        assert moment(odd, "x", remarks) is None
