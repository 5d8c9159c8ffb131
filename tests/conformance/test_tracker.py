"""What the feed tells a watcher is what the server knows, whatever happens to a job."""

from hypothesis import given, settings

from pushcli.client.feed import EventParser
from pushcli.jobs.tracker import Tracker
from pushcli_server.clock import Clock
from pushcli_server.core import fleet_events
from pushcli_server.core.job_events import Publish
from pushcli_server.feeds import Feeds
from tests.support.examples import examples
from tests.support.job_scripts import NODES, Script, Start, run, starts, steps


@settings(max_examples=examples(400))
@given(starts, steps)
def test_a_watcher_knows_where_each_node_stands(start: Start, script: Script) -> None:
    job, effects = run(start, script)
    feeds = Feeds(Clock(), lambda _: 0, {})
    for effect in effects:
        if isinstance(effect, Publish):
            told = fleet_events.Publish(job, effect.event, effect.node, effect.status)
            _, show = feeds.record(told)
            show()
    log = feeds.job(job.key)
    assert log is not None
    stream, _ = log.read(log.first, 10_000_000)
    tracker = Tracker(NODES)
    for event in EventParser().feed(stream):
        tracker.apply(event)
    assert tracker.status == job.status
    assert tracker.quorum == start[0]
    if not job.status.is_final:
        # That it timed out on the node is not told, nor at its end what became of the rest.
        states = {n: "failed" if s == "timed_out" else str(s) for n, s in job.nodes.items()}
        assert tracker.states == states
        assert set(tracker.running_since) == {n for n, s in states.items() if s == "running"}
    assert tracker.counts == {
        state: list(tracker.states.values()).count(state) for state in tracker.counts
    }
    assert sum(tracker.counts.values()) == len(NODES)
