"""What is done to the world: some strikes are aimed at a phase, some fall anywhere.

An aimed one waits for the sign that a part is in its phase. Two things keep it there: a node that
is stopped holds up the vote, and a database that waits holds up what the server saves.
"""

from collections.abc import Callable
from contextlib import ExitStack

from tests.chaos.commands import COMMANDS
from tests.chaos.phases import Phase
from tests.chaos.world import World

Strike = Callable[[World], None]


def vote(world: World) -> None:
    """One has voted, another has not."""
    if not (nodes := world.cast(3)):
        return
    ready, silent, _ = nodes
    with world.frozen(world.fleet.pid(silent)):
        job = world.post("short", [*nodes, *some_simulated(world)])
        if job and world.wait(lambda: world.spooled(ready, job) == "committed"):
            fell(world, job, [ready, silent])


def before_run_is_saved(world: World) -> None:
    """All have voted, and the server cannot save what follows from it."""
    if not (nodes := world.cast(2)):
        return
    ready, last = nodes
    with world.frozen(world.fleet.pid(last)):
        job = world.post("short", nodes)
        if not job or not world.wait(lambda: world.spooled(ready, job) == "committed"):
            return
        # Its vote is saved.
        world.wait(lambda: state(world, job, ready) == "ready")
        held = ExitStack()
        held.enter_context(world.store.held())
    with held:
        if world.wait(lambda: world.spooled(last, job) != "nothing"):
            world.pause(0.3)
            fell(world, job, nodes, server=0.7)


def after_it_was_sent(world: World) -> None:
    """It was told to run, and has not heard of it."""
    if not (nodes := world.cast(2)):
        return
    told, last = nodes
    with ExitStack() as stopped:
        with world.frozen(world.fleet.pid(last)):
            job = world.post(command(world), [*nodes, *some_simulated(world)])
            if not job or not world.wait(lambda: world.spooled(told, job) == "committed"):
                return
            stopped.enter_context(world.frozen(world.fleet.pid(told)))
        if world.wait(lambda: status(world, job, told) == "running"):
            world.pause(0.1)
            fell(world, job, [told])


def running(world: World) -> None:
    """The command runs."""
    if not (nodes := world.cast(2)):
        return
    job = world.post(world.chance.choice(["middle", "big", "long"]), nodes, capture_output=True)
    if job and world.wait(lambda: world.spooled(nodes[0], job) == "running"):
        world.pause(1.0)
        fell(world, job, nodes[:1], server=0.3)
        if world.chance.random() < 0.3:
            fell(world, job, nodes[1:], server=0.3)


def result_is_spooled(world: World) -> None:
    """The command has ended, and the server cannot save it."""
    if not (nodes := world.cast(2)):
        return
    job = world.post(world.chance.choice(["short", "fails", "middle"]), nodes, **capture(world))
    first = nodes[0]
    if not job or not world.wait(lambda: world.spooled(first, job) == "running"):
        return
    with world.store.held():
        if world.wait(lambda: world.spooled(first, job) == "ended"):
            world.pause(0.3)
            fell(world, job, [first], server=0.7)


def power_fails(world: World) -> None:
    """The command has ended, nobody could be told, and its machine loses power."""
    if not (nodes := world.cast(2)):
        return
    job = world.post(world.chance.choice(["middle", "big", "long"]), nodes, **capture(world))
    first = nodes[0]
    if not job or not world.wait(lambda: world.spooled(first, job) == "running"):
        return
    world.kill("server")
    if world.wait(lambda: world.spooled(first, job) == "ended"):
        world.wait(lambda: (job, first) not in world.supervisors(), 1.0)
        world.cut_power(first)


def acknowledged(world: World) -> None:
    """The result is stored, and the node was told so."""
    if not (nodes := world.cast(2)):
        return
    job = world.post(world.chance.choice(["short", "fails"]), nodes, **capture(world))
    if job and world.wait(lambda: state(world, job, nodes[0]) in {"succeeded", "failed"}):
        world.wait(lambda: world.spooled(nodes[0], job) == "nothing", 1.0)
        fell(world, job, nodes[:1])


def aborted(world: World) -> None:
    """Somebody aborts a job, and something dies right then."""
    if not (nodes := world.cast(2)):
        return
    job = world.post("long", [*nodes, *some_simulated(world)], **capture(world))
    if job and world.wait(lambda: world.spooled(nodes[0], job) == "running"):
        world.pause(0.5)
        world.abort(job)
        world.pause(0.1)
        fell(world, job, nodes)


def anywhere(world: World) -> None:
    """Some jobs, and at some instant some of all that lives dies."""
    jobs(world)
    world.pause(1.5)
    for _ in range(world.chance.choice([1, 1, 2, 4])):
        supervisors = sorted(world.supervisors())
        kind = world.chance.random()
        if kind < 0.35:
            world.kill("server")
        elif kind < 0.7 or not supervisors:
            node = world.chance.choice(world.fleet.nodes)
            strike_down = world.cut_power if world.chance.random() < 0.3 else world.kill
            strike_down(node)
        else:
            world.kill_supervisor(world.chance.choice(supervisors))
        world.pause(0.2)


def frozen(world: World) -> None:
    """Some of all that lives stands still for a while."""
    jobs(world)
    world.pause(1.0)
    lives = [name for name in world.fleet.nodes if world.is_alive(name)]
    names = world.chance.sample(lives, min(len(lives), world.chance.randrange(1, 6)))
    if world.is_alive("server") and world.chance.random() < 0.6:
        names.append("server")
    pids = [world.fleet.pid(name) for name in names]
    if world.chance.random() < 0.3:
        pids.append(world.simulated.pid)
    beside = world.supervisors()
    pids += [pid for _, pid in sorted(beside.items()) if world.chance.random() < 0.3]
    world.record(f"STOP {', '.join(names)} and {len(pids) - len(names)} others")
    with world.frozen(*pids):
        world.pause(3.0)
        if world.chance.random() < 0.3:
            world.kill(world.chance.choice(names))


def database(world: World) -> None:
    """The database ends its connections, or waits for a while."""
    jobs(world)
    world.pause(0.7)
    if world.store.is_postgresql:
        for _ in range(world.chance.randrange(1, 6)):
            world.end_connections()
            world.pause(0.4)
    else:
        world.record("the database waits")
        with world.store.held():
            world.pause(1.5)


AIMED: dict[Phase, Strike] = {
    Phase.VOTE: vote,
    Phase.BEFORE_SAVED: before_run_is_saved,
    Phase.SENT: after_it_was_sent,
    Phase.RUNNING: running,
    Phase.SPOOLED: result_is_spooled,
    Phase.ACKNOWLEDGED: acknowledged,
}
STRIKES: tuple[Strike, ...] = (
    *AIMED.values(),
    power_fails,
    aborted,
    anywhere,
    anywhere,
    frozen,
    database,
)


# --- what they have in common


def fell(world: World, job: str, nodes: list[str], server: float = 0.5) -> None:
    """Kill the server, or what works on one of these nodes: an agent, a supervisor, the machine.

    Args:
        server: the chance that it is the server.
    """
    node = world.chance.choice(nodes)
    kind = world.chance.random()
    if kind < server:
        world.kill("server")
    elif kind < (2 + server) / 3 or (job, node) not in world.supervisors():
        world.kill(node)
    elif kind < (5 + server) / 6:
        world.kill_supervisor((job, node))
    else:
        world.cut_power(node)


def jobs(world: World, most: int = 4) -> None:
    """Some jobs on random nodes; some are aborted."""
    for _ in range(world.chance.randint(1, most)):
        world.revive()
        real = world.chance.sample(world.fleet.nodes, world.chance.randrange(1, 7))
        nodes = [*real, *some_simulated(world)]
        more = capture(world)
        if world.chance.random() < 0.15:
            more["run_timeout"] = world.chance.choice([1, 2])
        if world.chance.random() < 0.3:
            more["quorum"] = world.chance.randrange(1, len(nodes) + 1)
        job = world.post(command(world), nodes, **more)
        if job and world.chance.random() < 0.15:
            world.pause(0.5)
            world.abort(job)


def command(world: World) -> str:
    """One of them."""
    return world.chance.choice(list(COMMANDS))


def capture(world: World) -> dict[str, object]:
    """Whether output is wanted."""
    return {"capture_output": True} if world.chance.random() < 0.6 else {}


def some_simulated(world: World) -> list[str]:
    """Some of the simulated nodes."""
    return world.chance.sample(world.names, world.chance.choice([0, 1, 5, 20]))


def status(world: World, job: str, node: str) -> str:
    """Of the job of a part, as stored."""
    part = world.store.part(job, node)
    return "" if part is None else part.status


def state(world: World, job: str, node: str) -> str:
    """Of a part, as stored."""
    part = world.store.part(job, node)
    return "" if part is None else part.state
