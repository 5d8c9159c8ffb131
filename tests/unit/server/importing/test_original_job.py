"""Whatever the original's database holds becomes a job of ours, or is left out with a reason."""

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from pushcli.protocol import limits, names
from pushcli_server.core.states import JobStatus, NodeState
from pushcli_server.importing.original_job import LeftOut, OriginalJob, taken
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
