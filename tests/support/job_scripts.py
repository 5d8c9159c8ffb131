"""Whatever may happen to a job, in whatever order: scripts for its machine."""

from hypothesis import strategies as st

from pushcli.protocol.run import Outcome, RunSpec
from pushcli_server.core.identity import JobKey
from pushcli_server.core.job import handle
from pushcli_server.core.job_events import (
    AbortRequested,
    Effect,
    Event,
    HeartbeatReceived,
    NodeDown,
    NodeRestarted,
    Reconnected,
    ResultReceived,
    Resumed,
    RunAnswered,
    Started,
    TimePassed,
    UnexpectedReceived,
    VoteReceived,
)
from pushcli_server.core.job_state import Grace, Job, JobSpec

NODES = ("a", "b", "c")
node = st.sampled_from(NODES)
flag = st.booleans()
node_events: st.SearchStrategy[Event] = st.one_of(
    st.builds(VoteReceived, node, flag),
    st.builds(RunAnswered, node, flag),
    st.builds(ResultReceived, node, flag, flag, st.builds(Outcome, timed_out=flag)),
    st.builds(HeartbeatReceived, node, st.sampled_from(["idle", "committed", "running"]), flag),
    st.builds(Reconnected, node),
    st.builds(NodeDown, node, flag),
    st.builds(NodeRestarted, node),
    st.builds(UnexpectedReceived, node),
)
events = st.one_of(
    node_events,
    node_events,
    node_events,
    st.builds(TimePassed),
    st.builds(Resumed),
    st.builds(AbortRequested, st.just("ann")),
)
steps = st.lists(st.tuples(events, st.floats(0, 40)), max_size=60)
starts = st.tuples(st.integers(0, 4), st.sets(node))
Start = tuple[int, set[str]]
Script = list[tuple[Event, float]]


def run(start: Start, script: Script) -> tuple[Job, list[Effect]]:
    quorum, down = start
    spec = JobSpec(run=RunSpec(command="x", run_timeout=90), nodes=NODES, quorum=quorum)
    job = Job(
        key=JobKey("acme", "1" * 32), spec=spec, requestor="ann", created_at=0, updated_at=0,
        grace=Grace(),
    )  # fmt: skip
    effects = handle(job, Started(dict.fromkeys(down, "offline")), 0)
    now = 0.0
    for event, wait in script:
        now += wait
        if job.status.is_final:
            break
        effects += handle(job, event, now)
    return job, effects
