"""Every event sequence of section 8, played by scripted old agents against a real server.

A step is what an agent sends, and the events that this must put into the job's feed.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zmq

from pushcli.sandbox.sandbox import Sandbox
from tests.support.feed_reader import FeedReader
from tests.support.old_agent import OldAgent
from tests.support.waiting import until

pytestmark = pytest.mark.timeout(60)
_numbers = itertools.count(1)
Agents = Callable[[int], list[OldAgent]]


@pytest.fixture
def agents(server: Sandbox, context: "zmq.Context[zmq.Socket[bytes]]") -> Iterator[Agents]:
    made: list[OldAgent] = []

    def make(count: int) -> list[OldAgent]:
        fresh = [OldAgent(server, context, f"sim{next(_numbers)}") for _ in range(count)]
        made.extend(fresh)
        for agent in fresh:
            agent.come_online()
        server.wait_available([agent.name for agent in fresh])
        return fresh

    yield make
    for agent in made:
        agent.close()
    for feed in FeedReader.opened:
        feed.close()
    FeedReader.opened.clear()


class Scene:
    """A job over scripted agents `a`, `b`, and its feed."""

    def __init__(self, server: Sandbox, agents: list[OldAgent], **more: Any) -> None:
        self.server = server
        self.agents = dict(zip("ab", agents, strict=False))
        self.names = {agent.name: letter for letter, agent in self.agents.items()}
        nodes = [agent.name for agent in agents]
        self.job_id = server.api.start_job({"command": "x", "nodes": nodes, **more})
        for agent in agents:
            commit = agent.expect("commit")
            assert commit["job_id"] == self.job_id
            assert "run_timeout" not in commit, "an extension that was not offered"
        self.feed = FeedReader(server.profile, f"job_status_feed/{self.job_id}")
        assert self.next() == "start"

    def next(self) -> str:
        words = self.feed.next().split()
        return " ".join(self.names.get(word, word) for word in words)

    def send(self, letter: str, kind: str, *events: str, **more: Any) -> None:
        self.agents[letter].send(kind, self.job_id, **more)
        self.expect(*events)

    def expect(self, *events: str) -> None:
        assert [self.next() for _ in events] == list(events)

    def end(self) -> dict[str, list[str]]:
        """The stream is over, and a GET right after it knows the same."""
        assert self.next() == "end"
        job = self.server.api.job(self.job_id)
        assert job["status"] not in {"voting", "running"}
        nodes = job["nodes"].items()
        return {state: [self.names[name] for name in names] for state, names in nodes}


def test_all_succeed(server: Sandbox, agents: Agents) -> None:
    scene = Scene(server, agents(2))
    scene.send("b", "ack_commit", "quorum_vote b success")
    scene.send("a", "ack_commit", "quorum_vote a success", "quorum_succeeded")
    assert scene.agents["a"].expect("run")["job_id"] == scene.job_id
    scene.send("b", "ack_run", "run_start b")
    scene.send("a", "ack_run", "run_start a")
    scene.send("b", "failed", "run_complete b failure")
    scene.send("a", "succeeded", "run_complete a success", "job_complete complete")
    assert scene.end() == {"succeeded": ["a"], "failed": ["b"]}


def test_nack_commit_with_a_quorum_of_one(server: Sandbox, agents: Agents) -> None:
    scene = Scene(server, agents(2), quorum=1)
    scene.send("b", "nack_commit", "quorum_vote b failure")
    scene.send("a", "ack_commit", "quorum_vote a success", "quorum_succeeded")
    scene.send("a", "ack_run", "run_start a")
    scene.send("a", "succeeded", "run_complete a success", "job_complete complete")
    assert scene.end() == {"succeeded": ["a"], "nacked": ["b"]}


def test_nack_commit_with_a_quorum_of_all(server: Sandbox, agents: Agents) -> None:
    scene = Scene(server, agents(2))
    scene.send("a", "ack_commit", "quorum_vote a success")
    scene.send("b", "nack_commit", "quorum_vote b failure", "job_complete quorum_failed")
    scene.agents["a"].expect("abort")
    assert scene.end() == {"was_ready": ["a"], "nacked": ["b"]}


def test_nack_run(server: Sandbox, agents: Agents) -> None:
    scene = Scene(server, agents(2))
    scene.send("a", "ack_commit", "quorum_vote a success")
    scene.send("b", "ack_commit", "quorum_vote b success", "quorum_succeeded")
    scene.send("b", "ack_run", "run_start b")
    scene.send("a", "nack_run", "rehab a", "run_complete a run_nacked")
    # Its answer to our abort is absorbed: the old server would reset it once more.
    scene.agents["a"].send("aborted", scene.job_id)
    scene.send("b", "succeeded", "run_complete b success", "job_complete complete")
    assert scene.end() == {"failed": ["a"], "succeeded": ["b"]}


def test_ack_run_and_then_nack_run(server: Sandbox, agents: Agents) -> None:
    scene = Scene(server, agents(1))
    scene.send("a", "ack_commit", "quorum_vote a success", "quorum_succeeded")
    scene.send("a", "ack_run", "run_start a")
    scene.send(
        "a", "nack_run", "rehab a", "run_complete a run_nacked_while_running",
        "job_complete complete",
    )  # fmt: skip
    assert scene.end() == {"failed": ["a"]}


def test_a_result_without_ack_run(server: Sandbox, agents: Agents) -> None:
    scene = Scene(server, agents(1))
    scene.send("a", "ack_commit", "quorum_vote a success", "quorum_succeeded")
    scene.send("a", "succeeded", "rehab a", "run_complete a crashed", "job_complete complete")
    assert scene.end() == {"crashed": ["a"]}


def test_ack_commit_twice(server: Sandbox, agents: Agents) -> None:
    scene = Scene(server, agents(2))
    scene.send("b", "ack_commit", "quorum_vote b success")
    scene.send("b", "ack_commit")
    scene.send("a", "ack_commit", "quorum_vote a success", "quorum_succeeded")
    scene.send("a", "ack_commit", "rehab a", "run_complete a crashed")
    scene.send("b", "ack_run", "run_start b")
    scene.send("b", "succeeded", "run_complete b success", "job_complete complete")
    assert scene.end() == {"succeeded": ["b"], "crashed": ["a"]}


def test_ack_commit_and_then_nack_commit(server: Sandbox, agents: Agents) -> None:
    scene = Scene(server, agents(2), quorum=1)
    scene.send("a", "ack_commit", "quorum_vote a success")
    scene.send("a", "nack_commit", "rehab a", "quorum_vote a lost_availibility")
    scene.send("b", "ack_commit", "quorum_vote b success", "quorum_succeeded")
    scene.send("b", "ack_run", "run_start b")
    scene.send("b", "succeeded", "run_complete b success", "job_complete complete")
    assert scene.end() == {"unavailable": ["a"], "succeeded": ["b"]}


@pytest.mark.parametrize("kind", ["ack_run", "nack_run", "succeeded", "failed", "aborted"])
def test_any_other_message_while_voting(server: Sandbox, agents: Agents, kind: str) -> None:
    scene = Scene(server, agents(2), quorum=1)
    scene.send("a", kind, "rehab a")
    scene.agents["a"].expect("abort")
    scene.send("b", "ack_commit", "quorum_vote b success", "quorum_succeeded")
    scene.send("b", "ack_run", "run_start b")
    scene.send("b", "succeeded", "run_complete b success", "job_complete complete")
    assert scene.end() == {"unavailable": ["a"], "succeeded": ["b"]}


@pytest.mark.parametrize("job_named", [True, False])
def test_aborted_while_running(server: Sandbox, agents: Agents, job_named: bool) -> None:
    scene = Scene(server, agents(1))
    scene.send("a", "ack_commit", "quorum_vote a success", "quorum_succeeded")
    scene.send("a", "ack_run", "run_start a")
    scene.agents["a"].send("aborted", scene.job_id if job_named else None)
    scene.expect("rehab a", "run_complete a crashed", "job_complete complete")
    assert scene.end() == {"crashed": ["a"]}


def test_a_new_incarnation_while_running(server: Sandbox, agents: Agents) -> None:
    scene = Scene(server, agents(1))
    scene.send("a", "ack_commit", "quorum_vote a success", "quorum_succeeded")
    scene.send("a", "ack_run", "run_start a")
    scene.agents["a"].incarnation = "another"
    scene.agents["a"].heartbeat()
    scene.expect("rehab a", "run_complete a crashed", "job_complete complete")
    assert scene.end() == {"crashed": ["a"]}


def test_a_node_that_falls_silent_while_running(server: Sandbox, agents: Agents) -> None:
    scene = Scene(server, agents(1))
    scene.send("a", "ack_commit", "quorum_vote a success", "quorum_succeeded")
    scene.send("a", "ack_run", "run_start a")
    scene.expect("rehab a", "run_complete a crashed", "job_complete complete")
    assert scene.end() == {"crashed": ["a"]}


def test_a_node_that_falls_silent_while_voting(server: Sandbox, agents: Agents) -> None:
    scene = Scene(server, agents(2), quorum=1)
    scene.send("b", "ack_commit", "quorum_vote b success")
    b = scene.agents["b"]
    while (message := b.receive(0.2)) is None:
        b.heartbeat("committed", scene.job_id)
    assert message["type"] == "run"
    scene.expect("quorum_vote a down", "rehab a", "quorum_succeeded")
    scene.send("b", "ack_run", "run_start b")
    scene.send("b", "succeeded", "run_complete b success", "job_complete complete")
    assert scene.end() == {"unavailable": ["a"], "succeeded": ["b"]}


def test_a_run_timeout(server: Sandbox, agents: Agents) -> None:
    scene = Scene(server, agents(1), run_timeout=0.5)
    scene.send("a", "ack_commit", "quorum_vote a success", "quorum_succeeded")
    scene.send("a", "ack_run", "run_start a")
    scene.expect("job_complete timed_out")
    scene.agents["a"].expect("run")
    scene.agents["a"].expect("abort")
    assert scene.end() == {"timed_out": ["a"]}


def test_a_result_twice(server: Sandbox, agents: Agents) -> None:
    scene = Scene(server, agents(2))
    scene.send("a", "ack_commit", "quorum_vote a success")
    scene.send("b", "ack_commit", "quorum_vote b success", "quorum_succeeded")
    scene.send("b", "ack_run", "run_start b")
    scene.send("a", "ack_run", "run_start a")
    scene.send("a", "succeeded", "run_complete a success")
    scene.send("a", "succeeded", "rehab a", "run_complete a client_died_while_running")
    scene.send("b", "succeeded", "run_complete b success", "job_complete complete")
    assert scene.end() == {"succeeded": ["a", "b"]}


def test_a_voting_timeout(server: Sandbox, agents: Agents) -> None:
    [a] = agents(1)
    scene = Scene(server, [a])
    for _ in range(14):
        a.heartbeat()
        if a.receive(0.25):
            break
    scene.expect("quorum_vote a voting_timeout", "job_complete quorum_failed")
    assert scene.end() == {"unavailable": ["a"]}


def test_a_node_that_is_down_at_the_start(server: Sandbox) -> None:
    job_id = server.api.start_job({"command": "x", "nodes": ["nosuch"]})
    feed = FeedReader(server.profile, f"job_status_feed/{job_id}")
    expected = ["start", "quorum_vote nosuch down", "rehab nosuch", "job_complete quorum_failed"]
    assert [feed.next() for _ in range(5)] == [*expected, "end"]


def test_two_idle_heartbeats_end_the_work_of_a_node(server: Sandbox, agents: Agents) -> None:
    scene = Scene(server, agents(1))
    scene.send("a", "ack_commit", "quorum_vote a success", "quorum_succeeded")
    scene.send("a", "ack_run", "run_start a")
    scene.agents["a"].heartbeat()
    scene.agents["a"].heartbeat()
    scene.expect("rehab a", "run_complete a crashed", "job_complete complete")
    assert scene.end() == {"crashed": ["a"]}


def test_for_5_seconds_an_ended_job_swallows_what_names_it(server: Sandbox, agents: Agents) -> None:
    [a] = agents(1)
    scene = Scene(server, [a])
    scene.send("a", "ack_commit", "quorum_vote a success", "quorum_succeeded")
    scene.send("a", "ack_run", "run_start a")
    scene.send("a", "succeeded", "run_complete a success", "job_complete complete")
    a.expect("run")
    a.heartbeat("running", scene.job_id)
    a.send("succeeded", scene.job_id)
    assert a.receive(0.5) is None
    assert server.api.node_state(a.name)["availability"] == "available"


class TestFeeds:
    def test_a_feed_resumes_after_the_event_that_was_seen(self, server: Sandbox) -> None:
        job_id = server.api.start_job({"command": "x", "nodes": ["nosuch"]})
        whole = FeedReader(server.profile, f"job_status_feed/{job_id}").rest()
        assert [event["id"] for event in whole] == ["job-1", "job-2", "job-3", "job-4"]
        after = FeedReader(server.profile, f"jobs_status_feed/{job_id}", "job-2").rest()
        assert after == whole[2:]
        unknown = FeedReader(server.profile, f"job_status_feed/{job_id}", "job-77").rest()
        assert unknown == whole

    def test_timestamps_rise_strictly(self, server: Sandbox) -> None:
        nodes = [f"nosuch{number}" for number in range(50)]
        job_id = server.api.start_job({"command": "x", "nodes": nodes})
        events = FeedReader(server.profile, f"job_status_feed/{job_id}").rest()
        times = [event["data"]["timestamp"] for event in events]
        assert len(set(times)) == len(times) == 102
        assert sorted(times) == times
        assert next(iter(events[0]["data"])) == "timestamp"

    def test_the_start_event_tells_what_was_asked(self, server: Sandbox) -> None:
        body = {
            "command": "x", "nodes": ["nosuch"], "user": "root", "dir": "/tmp",
            "env": {"A": "b"}, "file": "raw:x", "capture_output": True, "run_timeout": 30,
        }  # fmt: skip
        job_id = server.api.start_job(body)
        [start, *_] = FeedReader(server.profile, f"job_status_feed/{job_id}").rest()
        del start["data"]["timestamp"]
        assert start["data"] == {
            "command": "x", "run_timeout": 30, "quorum": 1, "node_count": 1, "user": "operator",
            "job_user": "root", "dir": "/tmp", "env": {"A": "b"}, "file_specified": True,
            "capture": True,
        }  # fmt: skip

    def test_a_feed_must_be_asked_for_by_its_type(self, server: Sandbox) -> None:
        for accept in (None, "application/json"):
            assert FeedReader(server.profile, "job_status_feed", accept=accept).status == 406
        feed = FeedReader(server.profile, "job_status_feed")
        assert feed.status == 200
        assert feed.response.headers["X-Accel-Buffering"] == "no"
        assert feed.response.headers["Content-Type"].startswith("text/event-stream")
        feed.close()

    def test_an_unknown_job_has_no_feed(self, server: Sandbox) -> None:
        assert FeedReader(server.profile, f"job_status_feed/{'0' * 32}").status == 404

    def test_the_organization_sees_starts_and_ends_from_now_on(self, server: Sandbox) -> None:
        server.api.start_job({"command": "before", "nodes": ["nosuch"]})
        feed = FeedReader(server.profile, "job_status_feed")
        job_id = server.api.start_job({"command": "after", "nodes": ["nosuch"]})
        start, end = feed.event(), feed.event()
        assert start is not None
        assert end is not None
        assert (start["event"], start["data"]["command"]) == ("start", "after")
        assert list(start["data"])[:2] == ["timestamp", "job"]
        assert (end["event"], end["data"]["status"]) == ("job_complete", "quorum_failed")
        assert start["data"]["job"] == end["data"]["job"] == job_id
        feed.close()
        later = FeedReader(server.profile, "job_status_feed", start["id"])
        assert later.event() == end
        later.close()

    def test_with_an_unknown_id_the_organization_tells_its_history(self, server: Sandbox) -> None:
        job_id = server.api.start_job({"command": "x", "nodes": ["nosuch"]})
        feed = FeedReader(server.profile, "job_status_feed", "nope")
        first = feed.event()
        assert first is not None
        assert (first["event"], first["id"]) == ("start_of_history", "start_id")
        jobs: list[tuple[str, str]] = []
        while not jobs or jobs[-1] != ("job_complete", job_id):
            event = feed.event()
            assert event is not None
            jobs.append((event["event"], event["data"]["job"]))
        assert jobs[-2] == ("start", job_id)
        feed.close()

    def test_after_5_seconds_a_summary_is_left(self, server: Sandbox) -> None:
        job_id = server.api.start_job({"command": "x", "nodes": ["nosuch"]})

        def only_one() -> list[dict[str, Any]] | None:
            events = FeedReader(server.profile, f"job_status_feed/{job_id}").rest()
            return events if len(events) == 1 else None

        [summary] = until(only_one, "the events are gone")
        assert (summary["event"], summary["id"]) == ("summary", "job-1")
        data = summary["data"]
        assert data.pop("timestamp")
        assert data == server.api.job(job_id)

    def test_a_feed_goes_on_after_a_restart_of_the_server(
        self, server: Sandbox, agents: Agents
    ) -> None:
        scene = Scene(server, agents(1), quorum=1)
        scene.send("a", "ack_commit", "quorum_vote a success", "quorum_succeeded")
        scene.feed.close()
        scene.agents["a"].heartbeat("running", scene.job_id)
        server.end_server()
        server.start_server()
        feed = FeedReader(server.profile, f"job_status_feed/{scene.job_id}", "job-2")
        ids = []
        for expected in ("quorum_succeeded", "run_start"):
            event = feed.event()
            assert event is not None
            assert event["event"] == expected
            ids.append(event["id"])
        assert ids == ["job-3", "job-4"]
        scene.agents["a"].heartbeat("running", scene.job_id)
        scene.agents["a"].send("succeeded", scene.job_id)
        end = [(event["event"], event["id"]) for event in feed.rest()]
        assert end == [("run_complete", "job-5"), ("job_complete", "job-6")]
        feed.close()
