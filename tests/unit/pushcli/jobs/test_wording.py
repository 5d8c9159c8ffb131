import pytest

from pushcli.jobs.model import JobView, NodeResult
from pushcli.jobs.wording import duration, explain, interrupted, mood, phase, summary
from pushcli.terminal.colours import colour


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
        (job("quorum_failed", nacked=["a"]), "Quorum failed"),
        (job("complete", succeeded=["a"]), "Complete"),
    ],
)
def test_a_phase_is_told_in_the_words_of_knife(shown: JobView, words: str) -> None:
    assert phase(shown) == words


def test_the_end_counts_the_nodes_by_state() -> None:
    assert summary(job("complete", succeeded=["a", "b"], unavailable=["c"])) == (
        "Complete.  2 succeeded, 1 unavailable"
    )
    assert summary(job("timed_out", timed_out=["a"])) == "Timed out.  1 timed_out"


@pytest.mark.parametrize("trouble", ["failed", "crashed", "aborted", "timed_out", "unheard_of"])
def test_a_complete_job_says_that_not_all_is_well(trouble: str) -> None:
    ended = job("complete", succeeded=["a"], nacked=["b"], **{trouble: ["c"]})
    last = "1 nacked, 1 unheard_of" if trouble == "unheard_of" else f"1 {trouble}, 1 nacked"
    assert summary(ended) == f"Complete with failures.  1 succeeded, {last}"
    assert colour(mood(ended)) == "yellow"


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        (job("complete", succeeded=["a"], nacked=["b"], unavailable=["c"]), "green"),
        (job("complete", nacked=["b"]), "red"),
        (job("complete", failed=["b"]), "red"),
        (job("complete"), "red"),
        (job("quorum_failed", was_ready=["a"]), "red"),
        (job("timed_out", succeeded=["a"]), "red"),
    ],
)
def test_a_job_is_green_only_if_something_was_done_and_all_of_it_well(
    ended: JobView, expected: str
) -> None:
    assert colour(mood(ended)) == expected


def test_a_failed_vote_says_how_many_were_needed() -> None:
    ended = job("quorum_failed", was_ready=["a", "b"], nacked=["c"])
    assert summary(ended, 3) == "Quorum failed: 3 needed, 2 ready. Nothing was run."
    assert summary(ended) == "Quorum failed: 2 ready. Nothing was run."
    assert summary(ended, 5) == "Quorum failed: 5 needed, 2 ready, only 3 named. Nothing was run."
    nobody = job("quorum_failed", unavailable=["a"])
    assert summary(nobody, 1) == "Quorum failed: 1 needed, 0 ready. Nothing was run."


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (NodeResult(node="a", state="failed", reason="because", exit_code=3), "because"),
        (NodeResult(node="a", state="failed", exit_code=3), "exit code 3"),
        (NodeResult(node="a", state="failed", signal=9), "killed by signal 9"),
        (NodeResult(node="a", state="nacked", reason="nacked"), ""),
        (NodeResult(node="a", state="running", out_of_contact=True), "out of contact"),
        (NodeResult(node="a", state="aborted", reason="aborted by ann", ending=True),
         "aborted by ann, the command is still ending"),
        (NodeResult(node="a", state="succeeded", exit_code=0), ""),
    ],
)  # fmt: skip
def test_a_state_is_explained_as_well_as_it_can_be(result: NodeResult, why: str) -> None:
    assert explain(result) == why


def test_a_duration_needs_both_ends() -> None:
    assert duration(NodeResult(node="a", state="x", started_at=1.0, ended_at=3.26)) == "2.3 s"
    assert duration(NodeResult(node="a", state="x", started_at=1.0)) == ""


@pytest.mark.parametrize(
    ("shown", "nodes", "words"),
    [
        (job("running", running=["a"], ready=["b"], failed=["c"]), ["a", "b"],
         "2 of 3 nodes still run uptime (job 12345678): a,b."),
        (job("running", running=["a"]), ["a"], "a still runs uptime (job 12345678)."),
        (job("complete", succeeded=["a"]), [], "uptime (job 12345678) is over."),
        (job("voting", new=["a"], ready=["b"]), ["a"],
         "The vote on uptime (job 12345678) is not over: 1 of 2 nodes has yet to answer."),
    ],
)  # fmt: skip
def test_who_presses_ctrl_c_is_told_who_is_still_at_it(
    shown: JobView, nodes: list[str], words: str
) -> None:
    assert interrupted(shown, "12345678" + "0" * 24, "uptime", nodes) == words
