"""Both cores together, and two jobs that want the same machines: neither ends the other's work."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pushcli.protocol import extensions
from pushcli.protocol.run import Outcome
from pushcli_server.core.identity import JobKey
from pushcli_server.core.states import UNFINISHED, NodeState
from tests.support.examples import examples
from tests.unit.joined.world import JOB, ORG, World

NAMES = ("a", "b")
DONE = Outcome(exit_code=0, started_at=1.0, ended_at=2.0)
OTHERS = tuple(JobKey(ORG, digit * 32) for digit in "23")
machine = st.sampled_from(NAMES)
steps = st.lists(
    st.tuples(
        st.one_of(
            st.sampled_from(["to server", "to agent"]),
            st.sampled_from(["exchange", "start", "abort", "end"]),
            st.sampled_from([
                "blip", "restart server", "stall", "slow store", "commit", 1.0, 3.0, 10.0, 21.0,
            ]),
        ),
        machine,
    ),
    min_size=5, max_size=40,
)  # fmt: skip


def step(world: World, what: str | float, name: str) -> None:
    one = world.machines[name]
    match what:
        case float():
            # Nobody falls silent.
            for _ in range(int(what)):
                world.pass_time(1.0)
                for each in world.machines.values():
                    world.connect(each)
                    step(world, "exchange", each.key.name)
        case "to server":
            world.deliver_to_server(one)
        case "to agent":
            world.deliver_to_agent(one)
        case "exchange":
            for _ in range(3):
                world.deliver_to_server(one)
                world.deliver_to_agent(one)
        case "start":
            if new := [key for key in OTHERS if key.id not in world.store.jobs]:
                world.start_job(quorum=1, key=new[0])
        case "abort":
            for key in OTHERS:
                world.abort_job(key)
        case "end" if "running" in one.supervisors.values():
            world.end_command(one, DONE)
        case "blip":
            world.disconnect(one)
            world.connect(one)
        case "restart server":
            world.restart_server()
            for each in world.machines.values():
                world.connect(each)
        case "stall":
            world.stall(6.0)
        case "slow store":
            world.slow_store = True
        case "commit":
            world.commit()
        case _:
            pass


@pytest.mark.timeout(180)
@example(
    # Two aborts, of which the second comes behind the question, and a lost second question.
    ahead=0,
    script=[
        ("start", "a"), ("restart server", "a"), ("slow store", "a"), ("abort", "a"),
        ("to server", "a"), ("to agent", "a"), ("commit", "a"), (10.0, "a"),
    ],
    quiet=frozenset({extensions.QUIET}),
)  # fmt: skip
@settings(max_examples=examples(300), deadline=None)
@given(
    ahead=st.integers(0, 3), script=steps,
    quiet=st.sampled_from([frozenset({extensions.QUIET}), frozenset[str]()]),
)  # fmt: skip
def test_no_job_ends_what_another_one_runs(
    ahead: int, script: list[tuple[str | float, str]], quiet: frozenset[str]
) -> None:
    world = World(NAMES, (extensions.ALL - {extensions.QUIET}) | quiet)
    for one in world.machines.values():
        world.connect(one)
    for name in NAMES * 6:
        step(world, "exchange", name)
    world.start_job(quorum=1, run_timeout=600.0)
    for name in (NAMES * 2)[:ahead]:
        step(world, "exchange", name)
    for what, name in script:
        step(world, what, name)
    world.calm_down(DONE)
    assert not world.aborted_at_work
    assert world.fleet.jobs == {}
    for name, one in world.machines.items():
        # No agent was restarted, and nobody aborted it: who ran it has done it.
        ran = one.runs[JOB] == 1
        assert world.states[name] is (NodeState.SUCCEEDED if ran else world.states[name])
        assert world.states[name] not in UNFINISHED | {NodeState.CRASHED, NodeState.FAILED}
        assert (one.supervisors, one.spool, one.agent.job) == ({}, {}, None)
        assert world.fleet.why_unavailable(one.key, world.now) is None
