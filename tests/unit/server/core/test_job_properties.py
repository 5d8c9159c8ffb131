"""Whatever nodes send, and in whatever order, a job keeps its promises."""

from hypothesis import given, settings

from pushcli_server.core.job import handle
from pushcli_server.core.job_events import (
    Ended,
    Publish,
    Reset,
    SaveJob,
    SaveNodes,
    SendRun,
    TimePassed,
)
from pushcli_server.core.states import UNFINISHED, NodeState
from tests.support.examples import examples
from tests.support.job_scripts import NODES, Script, Start, run, starts, steps


@settings(max_examples=examples(400))
@given(starts, steps)
def test_run_is_sent_only_after_the_quorum_was_reached_and_saved(
    start: Start, script: Script
) -> None:
    quorum, _ = start
    ready: set[str] = set()
    saved_running = False
    job, effects = run(start, script)
    for effect in effects:
        if isinstance(effect, SaveNodes):
            for change in effect.changes:
                if change.state is NodeState.READY:
                    ready.add(change.node)
                elif not saved_running:
                    ready.discard(change.node)
        elif isinstance(effect, Publish) and effect.event == "quorum_succeeded":
            assert len(ready) >= quorum
            saved_running = True
        elif isinstance(effect, SendRun):
            assert saved_running
            assert set(effect.nodes) <= ready
    assert job.id


@settings(max_examples=examples(400))
@given(starts, steps)
def test_every_node_ends_in_exactly_one_final_state(start: Start, script: Script) -> None:
    job, effects = run(start, script)
    final: dict[str, NodeState] = {}
    for effect in effects:
        if isinstance(effect, SaveNodes):
            for change in effect.changes:
                assert change.node not in final, "a final state changed"
                if change.state not in UNFINISHED:
                    final[change.node] = change.state
    assert {n: s for n, s in job.nodes.items() if s not in UNFINISHED} == final
    if job.status.is_final:
        assert set(final) == set(NODES)


@settings(max_examples=examples(400))
@given(starts, steps)
def test_every_job_ends_once_its_deadlines_have_passed(start: Start, script: Script) -> None:
    job, effects = run(start, script)
    now = 1e6
    for _ in range(2):
        if not job.status.is_final:
            effects += handle(job, TimePassed(), now)
            now += 1e6
    assert job.status.is_final
    assert sum(isinstance(e, Ended) for e in effects) == 1
    [end] = [e for e in effects if isinstance(e, Publish) and e.event == "job_complete"]
    assert end.status == job.status
    assert [e for e in effects if isinstance(e, SaveJob)]


@settings(max_examples=examples(400))
@given(starts, steps)
def test_the_counts_are_those_of_the_states(start: Start, script: Script) -> None:
    job, _ = run(start, script)
    for state in NodeState:
        assert job.count(state) == list(job.nodes.values()).count(state)


@settings(max_examples=examples(400))
@given(starts, steps)
def test_whoever_did_not_end_by_a_result_or_a_refusal_is_reset(
    start: Start, script: Script
) -> None:
    """No agent is left committed or running for a job that does not want it any more."""
    job, effects = run(start, script)
    reset = {name for e in effects if isinstance(e, Reset) for name in e.nodes}
    voted = {
        c.node
        for e in effects
        if isinstance(e, SaveNodes)
        for c in e.changes
        if c.state is NodeState.READY
    }
    answered = {e.node for e in effects if isinstance(e, Publish) and e.event == "run_complete"}
    clean = {NodeState.SUCCEEDED, NodeState.FAILED, NodeState.NACKED, *UNFINISHED}
    for name in voted:
        state = job.nodes[name]
        by_result = state is NodeState.TIMED_OUT and name in answered
        assert state in clean or by_result or name in reset, f"{name} is {state}, not reset"
