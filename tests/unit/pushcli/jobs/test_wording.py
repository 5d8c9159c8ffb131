import pytest

from pushcli.jobs.model import JobView, NodeResult
from pushcli.jobs.wording import description, duration, exceptions, explain, phase, summary


def job(status: str, **nodes: list[str]) -> JobView:
    return JobView(
        id="1", command="x", status=status, created_at="", updated_at="",
        nodes=nodes,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (job("voting", new=["a", "b"], ready=["c"]), "Voting (1/3 ready)"),
        (job("running", ready=["a"], running=["b"], failed=["c"]), "Running (2/3 in progress)"),
        (job("quorum_failed", nacked=["a"]), "Quorum_failed"),
        (job("complete", succeeded=["a"]), "Complete"),
    ],
)
def test_a_phase_is_told_in_the_words_of_knife(shown: JobView, words: str) -> None:
    assert phase(shown) == words


def test_the_end_counts_the_nodes_by_state() -> None:
    assert summary(job("complete", succeeded=["a", "b"], failed=["c"])) == (
        "Complete.  2 succeeded, 1 failed"
    )


def test_a_job_is_laid_out_as_knife_does() -> None:
    raw = {
        "id": "1", "command": "show-env", "status": "complete", "run_timeout": 30,
        "env": {"FOO": "bar", "FOOTWO": "x y"}, "capture_output": True,
        "nodes": {"succeeded": ["a", "b"], "failed": ["c"]}, "unheard_of": 1,
    }  # fmt: skip
    assert description(raw) == [
        "id:             1",
        "command:        show-env",
        "status:         complete",
        "run_timeout:    30",
        "env:",
        "  FOO:    bar",
        "  FOOTWO: x y",
        "capture_output: true",
        "nodes:",
        "  succeeded: a, b",
        "  failed:    c",
    ]


def test_nodes_in_the_same_plight_share_a_line() -> None:
    results = [
        NodeResult(node="a", state="succeeded", exit_code=0),
        NodeResult(node="b", state="nacked", reason="not on the whitelist"),
        NodeResult(node="c", state="failed", exit_code=3),
        NodeResult(node="d", state="nacked", reason="not on the whitelist"),
        NodeResult(node="e", state="crashed"),
    ]
    assert exceptions(results) == [
        "nacked: b, d (not on the whitelist)",
        "failed: c (exit code 3)",
        "crashed: e",
    ]
    assert exceptions(results, only_explained=True) == exceptions(results)[:2]


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (NodeResult(node="a", state="failed", reason="because", exit_code=3), "because"),
        (NodeResult(node="a", state="failed", exit_code=3), "exit code 3"),
        (NodeResult(node="a", state="failed", signal=9), "killed by signal 9"),
        (NodeResult(node="a", state="nacked", reason="nacked"), ""),
        (NodeResult(node="a", state="running", out_of_contact=True), "out of contact"),
        (NodeResult(node="a", state="succeeded", exit_code=0), ""),
    ],
)
def test_a_state_is_explained_as_well_as_it_can_be(result: NodeResult, why: str) -> None:
    assert explain(result) == why


def test_a_duration_needs_both_ends() -> None:
    assert duration(NodeResult(node="a", state="x", started_at=1.0, ended_at=3.26)) == "2.3 s"
    assert duration(NodeResult(node="a", state="x", started_at=1.0)) == ""
