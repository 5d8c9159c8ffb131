"""Both cores together, over a network that breaks, and with restarts at any moment."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcli.protocol import extensions, messages
from pushcli.protocol.run import Outcome
from pushcli_server.core.states import UNFINISHED, NodeState
from tests.support.examples import examples
from tests.unit.joined.world import JOB, KEY, Machine, World

NAMES = ("a", "b")
OUTCOMES = (
    Outcome(exit_code=0, started_at=1.0, ended_at=2.0),
    Outcome(exit_code=3, started_at=1.0, ended_at=2.0),
)
machine = st.sampled_from(NAMES)
FREQUENT = ("exchange", "to server", "to agent", "to server", "to agent")
DISTURBING = (
    "connect", "connect", "disconnect", "restart agent", "end", "lose supervisor",
    "repeat to agent", "restart server", "stall", "slow store", "commit", "pretend",
    0.5, 1.0, 3.0, 10.0,
)  # fmt: skip
PRETENDED = (
    messages.AckCommit, messages.NackCommit, messages.AckRun, messages.NackRun,
    messages.Succeeded, messages.Failed, messages.Aborted,
)  # fmt: skip
FINAL = ("operator aborts", 30.0, 61.0, 61.0, 61.0)
actions = st.one_of(
    *(st.sampled_from(FREQUENT) for _ in range(5)),
    *(st.sampled_from(DISTURBING) for _ in range(4)),
    st.sampled_from((*FREQUENT, *DISTURBING, *FINAL)),
)
steps = st.lists(st.tuples(actions, machine), min_size=8, max_size=50)


def step(world: World, what: str | float, one: Machine) -> None:
    match what:
        case float():
            world.pass_time(what)
        case "to server":
            world.deliver_to_server(one)
        case "to agent":
            world.deliver_to_agent(one)
        case "exchange":
            for _ in range(3):
                world.deliver_to_server(one)
                world.deliver_to_agent(one)
        case "repeat to agent" if one.to_agent:
            one.to_agent.append(one.to_agent[0])
        case "connect":
            world.connect(one)
        case "disconnect":
            world.disconnect(one)
        case "restart agent":
            world.boot(one)
        case "restart server":
            world.restart_server()
        case "stall":
            world.stall(6.0)
        case "end":
            world.end_command(one, OUTCOMES[0])
        case "lose supervisor":
            world.end_command(one, None)
        case "slow store":
            world.slow_store = True
        case "commit":
            world.commit()
        case "pretend":
            for kind in PRETENDED:
                world.pretend(kind, one.key.name)
        case "operator aborts":
            world.abort_job()
        case _:
            pass


def play(
    quorum: int,
    ahead: int,
    script: list[tuple[str | float, str]],
    offered: frozenset[str] = extensions.ALL,
) -> World:
    world = World(NAMES, offered)
    for one in world.machines.values():
        world.connect(one)
    for _ in range(6):
        for one in world.machines.values():
            world.deliver_to_server(one)
            world.deliver_to_agent(one)
    world.start_job(quorum)
    for one in list(world.machines.values())[:ahead]:
        # Some have voted, and perhaps run, before anything goes wrong.
        step(world, "exchange", one)
    for what, name in script:
        step(world, what, world.machines[name])
    world.calm_down(OUTCOMES[0])
    return world


@pytest.mark.timeout(180)
@settings(max_examples=examples(250), deadline=None)
@given(
    quorum=st.integers(0, 2), ahead=st.integers(0, 2), script=steps,
    quiet=st.sampled_from([frozenset({extensions.QUIET}), frozenset[str]()]),
)  # fmt: skip
def test_after_the_storm_everything_ended_once_and_in_the_truth(
    quorum: int, ahead: int, script: list[tuple[str | float, str]], quiet: frozenset[str]
) -> None:
    world = play(quorum, ahead, script, (extensions.ALL - {extensions.QUIET}) | quiet)
    assert world.store.jobs[JOB].status not in {"voting", "running"}
    assert UNFINISHED.isdisjoint(world.states.values()), "every node ends in a final state"
    assert KEY not in world.fleet.jobs
    assert world.fleet.busy == {}
    for name, one in world.machines.items():
        assert one.runs[JOB] <= 1
        if world.states[name] is NodeState.SUCCEEDED:
            assert one.runs[JOB] == 1
        assert one.supervisors == {}, "nothing is left committed or running"
        assert one.agent.job is None
        assert one.spool == {}, "every result was acknowledged"
        assert world.fleet.why_unavailable(one.key, world.now) is None


@pytest.mark.timeout(180)
@settings(max_examples=examples(150), deadline=None)
@given(quorum=st.integers(0, 2), ahead=st.integers(0, 2), script=steps)
def test_with_agents_that_keep_no_results_everything_ends_once_too(
    quorum: int, ahead: int, script: list[tuple[str | float, str]]
) -> None:
    world = play(quorum, ahead, script, frozenset())
    assert world.store.jobs[JOB].status not in {"voting", "running"}
    assert UNFINISHED.isdisjoint(world.states.values()), "every node ends in a final state"
    assert world.fleet.busy == {}
    for name, one in world.machines.items():
        assert one.runs[JOB] <= 1
        if world.states[name] is NodeState.SUCCEEDED:
            assert one.runs[JOB] == 1
        assert one.agent.job is None
        assert world.fleet.why_unavailable(one.key, world.now) is None


@pytest.mark.parametrize("away", ["restart server", "stall"])
@pytest.mark.parametrize(
    "offered", [frozenset[str](), extensions.ALL - {extensions.QUIET}, extensions.ALL]
)
def test_a_job_outlives_that_the_server_was_away(away: str, offered: frozenset[str]) -> None:
    world = play(2, 2, [(away, "a"), (6.0, "a"), ("connect", "a"), ("connect", "b")], offered)
    assert set(world.states.values()) == {NodeState.SUCCEEDED}


def test_without_a_storm_a_job_succeeds() -> None:
    world = play(2, 0, [])
    assert set(world.states.values()) == {NodeState.SUCCEEDED}
    assert world.acknowledged == set(NAMES)


@pytest.mark.timeout(180)
def test_the_storm_is_one_that_reaches_every_end() -> None:
    """The scripts above would prove nothing if all of them ended before a vote."""
    reached: set[NodeState] = set()

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(quorum=st.integers(0, 2), ahead=st.integers(0, 2), script=steps)
    def collect(quorum: int, ahead: int, script: list[tuple[str | float, str]]) -> None:
        reached.update(play(quorum, ahead, script).states.values())

    collect()
    assert {NodeState.SUCCEEDED, NodeState.CRASHED, NodeState.UNAVAILABLE} <= reached
    assert reached.isdisjoint(UNFINISHED)


def test_an_operators_abort_and_the_timeout_reach_nodes_that_run() -> None:
    aborted = play(2, 2, [("operator aborts", "a")])
    assert set(aborted.states.values()) == {NodeState.ABORTED}
    late = play(2, 2, [(61.0, "a")])
    assert set(late.states.values()) == {NodeState.TIMED_OUT}
