"""Both cores together: what a command wrote until it was ended is waited for while it comes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcli.protocol.run import Outcome
from pushcli_server.core.states import NodeState
from tests.support.examples import examples
from tests.unit.joined.world import KEY, World

NAMES = ("a", "b")
DONE = Outcome(exit_code=0, started_at=1.0, ended_at=2.0)
what = st.sampled_from(["to server", "to agent", "commit", "commit"])
steps = st.lists(
    st.tuples(what, st.sampled_from(NAMES)),
    min_size=5, max_size=60,
)  # fmt: skip


def running() -> World:
    world = World(NAMES)
    # Available at first, then voting, then running.
    for turn in range(3):
        if turn == 1:
            world.start_job(quorum=2)
        exchange(world)
    assert set(world.states.values()) == {NodeState.RUNNING}
    return world


def exchange(world: World) -> None:
    for machine in world.machines.values():
        world.connect(machine)
        for _ in range(5):
            world.deliver_to_server(machine)
            world.deliver_to_agent(machine)
    world.pass_time(1.0)


def step(world: World, what: str, name: str) -> None:
    match what:
        case "to server":
            world.deliver_to_server(world.machines[name])
        case "to agent":
            world.deliver_to_agent(world.machines[name])
        case _:
            world.commit_next()


def look(world: World, name: str) -> None:
    """What whoever reads the job now is told of this node."""
    part = world.store.job_nodes[KEY.id][name]
    if NodeState(part.state).is_final:
        is_ending = world.fleet.is_ending(KEY, name, world.now)
        assert is_ending or part.partial, f"{name} would be shown without what is still to come"


@pytest.mark.parametrize("end", ["abort", "timeout"])
@settings(max_examples=examples(300))
@given(steps)
def test_it_is_awaited_from_the_end_of_the_part_until_it_is_stored(
    end: str, script: list[tuple[str, str]]
) -> None:
    world = running()
    if end == "abort":
        world.slow_store = True
        world.abort_job()
    else:
        while world.now < world.fleet.jobs[KEY].run_deadline - 1:
            exchange(world)
        world.slow_store = True
        world.pass_time(1.0)
    script = [*script, *((what, name) for what in ("commit", "to agent", "to server", "commit")
                         for _ in range(20) for name in NAMES)]  # fmt: skip
    for what, name in script:
        step(world, what, name)
        for each in NAMES:
            look(world, each)
    assert set(world.states.values()) == {
        NodeState.ABORTED if end == "abort" else NodeState.TIMED_OUT
    }
    assert all(part.partial for part in world.store.job_nodes[KEY.id].values())
    assert not any(world.fleet.is_ending(KEY, name, world.now) for name in NAMES)


def test_what_ended_as_its_job_did_is_not_awaited() -> None:
    world = running()
    for machine in world.machines.values():
        world.end_command(machine, DONE)
        for _ in range(5):
            world.deliver_to_server(machine)
    assert set(world.states.values()) == {NodeState.SUCCEEDED}
    assert not any(world.fleet.is_ending(KEY, name, world.now) for name in NAMES)
