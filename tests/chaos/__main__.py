"""Chaos for a while, and then the verdict.

`CHAOS_SEED` repeats a run's decisions (not its instants), `CHAOS_SECONDS` says how long things
die, `PUSHCLI_TEST_DATABASE=postgresql` has the server keep everything there, and with
`CHAOS_SERVERS=2` a second one stands ready, which takes over whenever the first is killed.
`CHAOS_KEEP=1` keeps the directory of a run that went well, too.
"""

import os
import random
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from pushcli import keys
from pushcli.sandbox.sandbox import ORG
from tests.chaos import commands, verdict
from tests.chaos.nodes import OFFERED, simulated_nodes
from tests.chaos.store import Ended, StoreView
from tests.chaos.strikes import AIMED, STRIKES, jobs
from tests.chaos.world import World
from tests.support.logs import tracebacks
from tests.support.paired import PairedFleet
from tests.support.postgresql import NONE, NoPostgresqlError, require_chosen
from tests.support.powered import PoweredFleet
from tests.support.simulated import Plan
from tests.support.stored import url_of
from tests.support.writers import register

SEED = int(os.environ.get("CHAOS_SEED", "1"))
SECONDS = float(os.environ.get("CHAOS_SECONDS", "150"))
SERVERS = int(os.environ.get("CHAOS_SERVERS", "1"))
KEEP = bool(os.environ.get("CHAOS_KEEP"))
REAL = [f"real{number:02}" for number in range(20)]
SIMULATED = [f"sim{number:03}" for number in range(200)]
SETTLING = 120.0
"""Seconds after which whatever is not over hangs."""
BESIDE = 0.5
"""The chance that other jobs run beside a strike."""
ATTEMPTS = 4
"""For each phase that no kill has fallen into."""
SETTINGS = {
    "heartbeat_interval": 500,
    "offline_threshold": 4,
    "voting_timeout": 10,
    # Longer than an agent waits between two tries (MAX_DELAY, 30 s): a node whose command ended is
    # not given up for a server that was killed so often that its agent tries seldom.
    "restart_grace": 45,
}


def main() -> int:
    """The exit status."""
    directory = Path(tempfile.mkdtemp(prefix="pushcli-chaos-"))
    with ExitStack() as ended:
        world = make_world(directory, ended)
        reign(world)
        complete(world)
        settle(world)
        found = judge(world, directory)
    (directory / "story").write_text("\n".join(world.story) + "\n")
    print(f"{len(world.posted)} jobs. Kills that fell into each phase:")
    print("\n".join(world.tally.table()))
    found += [f"no kill fell into the phase: {phase}" for phase in world.tally.missing()]
    if found:
        print(f"{len(found)} wrong, the first ones:", *found[:30], sep="\n  ")
        print(f"see {directory}: story, log/, server/")
        return 1
    print("Nothing was lost.")
    if not KEEP:
        shutil.rmtree(directory)
    return 0


def make_world(directory: Path, ended: ExitStack) -> World:
    """Everything started, and available."""
    effects = directory / "effects"
    effects.mkdir()
    whitelist = commands.whitelist(effects)
    kind = PairedFleet if SERVERS > 1 else PoweredFleet
    fleet = kind(directory, REAL, whitelist=whitelist, settings=SETTINGS)
    ended.callback(fleet.stop)
    fleet.make_server()
    key, key_file = keys.generate(), directory / "nodes.pem"
    keys.write_private_key(key_file, key)
    register(fleet.server_directory, ORG, SIMULATED, keys.public_pem(key))
    fleet.start_server()
    fleet.enroll(REAL)
    for node in REAL:
        fleet.start_agent(node)
    plan = Plan(
        nodes=SIMULATED, interval=0.5, key_file=str(key_file), extensions=OFFERED,
        url=fleet.url.partition("/organizations")[0],
    )  # fmt: skip
    simulated = ended.enter_context(simulated_nodes(plan, directory / "journal"))
    fleet.wait_available([*REAL, *SIMULATED])
    store = StoreView(url_of(fleet))
    ended.callback(store.close)
    chance = random.Random(SEED)
    return World(fleet, store, simulated, SIMULATED, chance=chance, seconds=SECONDS)


def reign(world: World) -> None:
    """Strikes in rounds, each of them once in a random order."""
    while not world.is_over:
        for strike in world.chance.sample(STRIKES, len(STRIKES)):
            if world.is_over:
                return
            world.revive()
            if world.chance.random() < BESIDE:
                jobs(world, most=2)
            world.record(f"-- {strike.__name__}")
            strike(world)


def complete(world: World) -> None:
    """Aimed strikes for phases that were missed by chance: a slow machine has fewer of them."""
    for _ in range(ATTEMPTS):
        for phase in world.tally.missing():
            world.revive()
            world.record(f"-- {AIMED[phase].__name__} again")
            AIMED[phase](world)


def settle(world: World) -> None:
    """Everything lives, and gets time."""
    world.revive(everything=True)
    world.record("-- all live")
    deadline = time.monotonic() + SETTLING
    while time.monotonic() < deadline and not _is_settled(world):
        time.sleep(0.2)
    world.record("-- settled")


def _is_settled(world: World) -> bool:
    live = any(part.is_unfinished for part in world.store.live(time.time()))
    return not live and not any(_left(world)) and len(world.idle()) == len(REAL)


def _left(world: World) -> list[str]:
    """What is not delivered yet."""
    return [str(path) for node in REAL for path in world.spool(node).iterdir()]


def judge(world: World, directory: Path) -> list[str]:
    """Everything that is wrong."""
    parts = world.store.ended()
    began, ended = (effects(world, directory, which) for which in ("began", "ended"))
    facts = verdict.Facts(
        began=verdict.counted(began),
        ended=verdict.counted(ended),
        killed=frozenset(world.killed),
        acknowledged=frozenset(world.simulated.noted("acked")),
        real=frozenset(REAL),
    )
    found = verdict.complaints(parts, facts)
    known = {part.job for part in parts}
    found += [
        f"{job}: it was started, and is not known" for job in world.posted if job not in known
    ]
    found += [f"{path}: still in the spool" for path in _left(world)]
    found += as_shown(world, parts)
    found += output(world, parts)
    return found + tracebacks(directory / "log")


def effects(world: World, directory: Path, which: str) -> list[verdict.Key]:
    """What `began` or `ended`, of real and simulated nodes."""
    real = [
        (job, node) for node in REAL for job in commands.effects(directory / "effects", node, which)
    ]
    return real + world.simulated.noted(which)


def as_shown(world: World, parts: list[Ended]) -> list[str]:
    """REST shows each node once, and as it is stored."""
    stored: dict[str, dict[str, str]] = {}
    for part in parts:
        stored.setdefault(part.job, {})[part.node] = part.state
    found = []
    for job, states in stored.items():
        shown = world.fleet.api.job(job)["nodes"]
        pairs = sorted((node, state) for state, nodes in shown.items() for node in nodes)
        if pairs != sorted(states.items()):
            found.append(f"{job}: stored {sorted(states.items())}, shown {pairs}")
    return found


def output(world: World, parts: list[Ended]) -> list[str]:
    """What commands wrote is what was captured."""
    found = []
    for part in parts:
        if not part.capture or part.node not in REAL or part.state not in {"succeeded", "failed"}:
            continue
        if not part.reported:
            continue
        command = commands.COMMANDS[part.command]
        for channel, written in (
            ("stdout", command.stdout(part.job, part.node)),
            ("stderr", command.stderr(part.job)),
        ):
            got = world.fleet.api.job_output(part.job, part.node, channel)
            if got != written:
                found.append(
                    f"{part.job} {part.node}: {channel} has {len(got)} bytes of {len(written)}"
                )
    return found


if __name__ == "__main__":
    try:
        require_chosen()
        sys.exit(main())
    except NoPostgresqlError as error:
        print(error, file=sys.stderr)
        sys.exit(NONE)
