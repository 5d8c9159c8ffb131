"""What the feed's words mean; that it agrees with the server's machine: tests/conformance."""

import json

import pytest

from pushcli.client.feed import FeedEvent
from pushcli.errors import ServerError
from pushcli.jobs.model import JobView, NodeResult
from pushcli.jobs.tracker import MOST_EXPLAINED, MOST_TROUBLED, RATE_OVER, Tracker


def event(name: str, second: float = 0, **fields: object) -> FeedEvent:
    timestamp = f"2014-07-10 05:{int(second // 60):02}:{second % 60:09.6f}Z"
    return FeedEvent(name, "job-1", json.dumps({"timestamp": timestamp, **fields}).encode())


def running(*nodes: str, since: float = 0) -> Tracker:
    tracker = Tracker(nodes)
    tracker.apply(event("start", since, command="uptime", quorum=1))
    for node in nodes:
        tracker.apply(event("quorum_vote", since, node=node, status="success"))
    tracker.apply(event("quorum_succeeded", since))
    for node in nodes:
        tracker.apply(event("run_start", since, node=node))
    return tracker


def test_a_node_that_is_reset_in_the_vote_takes_no_part() -> None:
    tracker = Tracker(["a", "b"])
    tracker.apply(event("quorum_vote", node="a", status="success"))
    tracker.apply(event("rehab", node="a"))
    assert tracker.states == {"a": "unavailable", "b": "new"}
    assert tracker.unfinished == ["b"]


def test_a_reset_while_running_leaves_the_state_to_the_end_that_is_told() -> None:
    tracker = running("a")
    tracker.apply(event("rehab", node="a"))
    assert tracker.states == {"a": "running"}
    tracker.apply(event("run_complete", node="a", status="crashed"))
    assert tracker.states == {"a": "crashed"}


def test_late_words_about_a_node_whose_part_is_over_change_nothing() -> None:
    tracker = running("a", "b")
    tracker.apply(event("run_complete", node="a", status="success"))
    tracker.apply(event("run_complete", node="a", status="client_died_while_running"))
    tracker.apply(event("quorum_vote", node="b", status="unexpected_commit"))
    assert tracker.states == {"a": "succeeded", "b": "running"}


def test_a_feed_that_begins_anew_begins_anew_here_too() -> None:
    tracker = running("a")
    tracker.apply(event("run_complete", node="a", status="failure"))
    tracker.apply(event("start", command="uptime", quorum=1))
    assert (tracker.status, tracker.states, list(tracker.troubled)) == ("voting", {"a": "new"}, [])
    assert tracker.running_since == {}


def test_the_rate_is_of_the_last_seconds() -> None:
    nodes = [f"n{i}" for i in range(40)]
    tracker = running(*nodes)
    for index, node in enumerate(nodes):
        tracker.apply(event("run_complete", index * 0.5, node=node, status="success"))
    assert tracker.rate(tracker.now) == pytest.approx(2, rel=0.1)
    assert tracker.rate(tracker.now + 2 * RATE_OVER) == 0


def test_who_ran_longest_comes_first() -> None:
    tracker = running("a", "b", "c")
    tracker.apply(event("run_complete", 1, node="a", status="success"))
    assert list(tracker.running_since) == ["b", "c"]


def test_of_many_failures_the_last_are_kept() -> None:
    nodes = [f"n{i}" for i in range(MOST_TROUBLED + 5)]
    tracker = running(*nodes)
    for node in nodes:
        tracker.apply(event("run_complete", node=node, status="failure"))
    assert list(tracker.troubled) == nodes[5:]


def test_more_is_asked_for_until_enough_is_known() -> None:
    tracker = running("a", "b")
    assert not tracker.unexplained()
    tracker.apply(event("run_complete", node="a", status="failure"))
    assert tracker.unexplained()
    tracker.explain([NodeResult(node="a", state="failed", exit_code=3)])
    assert not tracker.unexplained()
    tracker.apply(event("run_complete", node="b", status="failure"))
    assert tracker.unexplained()
    tracker.explain([NodeResult(node=str(i), state="failed") for i in range(MOST_EXPLAINED)])
    assert not tracker.unexplained()


def test_a_snapshot_says_how_it_is() -> None:
    tracker = running("a", "b")
    view = JobView(
        id="1" * 32, command="uptime", status="aborted", created_at="", updated_at="",
        nodes={"aborted": ["a"], "succeeded": ["b"]},
    )  # fmt: skip
    tracker.update(view)
    assert (tracker.is_over, tracker.counts) == (True, {"succeeded": 1, "aborted": 1})
    assert (tracker.running_since, list(tracker.troubled)) == ({}, ["a"])


def test_a_summary_is_a_snapshot() -> None:
    tracker = Tracker(["a"])
    view = {"id": "1" * 32, "command": "x", "status": "complete", "created_at": "",
            "updated_at": "", "nodes": {"succeeded": ["a"]}, "timestamp": "now"}  # fmt: skip
    tracker.apply(FeedEvent("summary", "job-1", json.dumps(view).encode()))
    assert (tracker.status, tracker.counts) == ("complete", {"succeeded": 1})


@pytest.mark.parametrize("data", [b"", b"[]", b'{"node": 1}', b"\xff", b"{" * 5000])
@pytest.mark.parametrize("name", ["run_start", "summary"])
def test_data_that_is_none_is_the_servers_fault(name: str, data: bytes) -> None:
    with pytest.raises(ServerError, match="does not understand"):
        Tracker().apply(FeedEvent(name, "job-1", data))


def test_events_that_come_later_are_left_alone() -> None:
    tracker = running("a")
    tracker.apply(event("something_new", node="a", status="success"))
    assert tracker.states == {"a": "running"}
