"""A fleet at work for `SOAK_MINUTES`, and then the verdict: nothing has grown.

`SOAK_SEED` repeats a run's decisions (not its instants), `SOAK_AGENTS` makes the fleet another
size, `SOAK_KEEP=1` keeps the directory of a run that went well, too, with all samples.

What is judged, and why so. Resident memory is noisy: allocators keep what they were given, and
grow in steps of a MiB. So the judge draws a line of least squares through a sample of each second,
and calls only that growth which is too steep *and* more than such steps: of a server at this work
5 MiB in the first 15 minutes, and 0.3 MiB in the five after these. So ten minutes show a leak of
2 KiB for each job, thirty one of 1 KiB; of agents, which hardly grow, one of 4 KiB for each job
that they run. What only a full collection of garbage takes away is a leak here, too: the server
has one in hours (`server.py`). The database's file grows by some MiB when much is written before a
minute's deletions, and stays so.

The first third of a run is not judged. What is used for the first time is loaded then: compiled
statements, SQLite's caches (2 MiB for each connection), threads and their arenas. And what the
server forgets after a time comes to as many as are forgotten:

- as many jobs as it keeps are there from the begin (`past.py`); what is too much goes each minute,
  output that is older than 20 s likewise, events of the organization after a minute;
- signatures of writes are kept until 15 minutes after the time that they name: ours name one
  14 minutes ago (`world.py`). Those of configurations that agents ask for, 500 in a minute, do grow
  for 15 minutes;
- of each node four keys and eight runs are remembered.

The audit trail is kept for an hour at least. It is told apart, and not judged.

Descriptors and threads are counted twice while the fleet is at rest, with everybody there and
nothing to do: after the warm-up and at the end. A run takes longer than its minutes: the fleet
has to start, and to come to rest.
"""

import math
import os
import random
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from pushcli import keys
from pushcli.errors import PushcliError
from pushcli.sandbox.sandbox import ORG
from tests.soak import jobs, operators, past
from tests.soak.churn import NEW, Guests, comers
from tests.soak.nodes import staying
from tests.soak.report import Count, Series, counts, growing, slopes
from tests.soak.samples import Sampler, Stored, descriptors, threads
from tests.soak.trend import Bound
from tests.soak.world import World
from tests.support import postgresql
from tests.support.fleet import Fleet
from tests.support.logs import tracebacks
from tests.support.memory import rss_mib
from tests.support.simulated import OURS, Plan
from tests.support.writers import register

SEED = int(os.environ.get("SOAK_SEED", "1"))
MINUTE = 60.0
SECONDS = MINUTE * float(os.environ.get("SOAK_MINUTES", "10"))
AGENTS = int(os.environ.get("SOAK_AGENTS", "500"))
KEEP = bool(os.environ.get("SOAK_KEEP"))
REAL = [f"real{number}" for number in range(7)]
COMERS = [f"comer{number}" for number in range(3)]
GUESTS = [f"guest{number:02}" for number in range(80)]
SIMULATED = [f"sim{number:03}" for number in range(AGENTS - len(REAL + COMERS + GUESTS) - NEW)]
MAX_JOBS = 1000
"""The fewest that a server can be told to keep."""
INTERVAL = 1.0
"""Seconds between two heartbeats of a node that has something to do."""
SETTINGS = {
    "heartbeat_interval": int(INTERVAL * 1000),
    "offline_threshold": 10,
    "voting_timeout": 60,
    "lost_grace": 60,
    "lifetime": 60,
    "output_retention": "20s",
    "max_stored_jobs": MAX_JOBS,
}
WARMING = 0.35
"""The part of the run before anything is judged; to come to rest is in no part."""
FEWEST = 100
"""Jobs without which nothing is judged."""
SERIES = (
    Series("server memory", Bound(slope=30, noise=8)),
    Series("agent memory (mean)", Bound(slope=5, noise=0.5)),
    Series("database", Bound(slope=30, noise=8)),
    Series("its write-ahead log", Bound(slope=30, noise=4)),
    Series("files of output", Bound(slope=60, noise=8)),
    Series("audit trail", None),
)
Step = Callable[[World, random.Random], None]


def main() -> int:
    """The exit status."""
    if postgresql.IS_CHOSEN:
        print("soak: it looks into SQLite's file: unset PUSHCLI_TEST_DATABASE", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
    directory = Path(tempfile.mkdtemp(prefix="pushcli-soak-"))
    try:
        with ExitStack() as ended:
            wrong = run(directory, ended)
    except (PushcliError, TimeoutError, AssertionError) as error:
        wrong = [f"the run broke off: {error}"]
    wrong += tracebacks(directory / "log") if (directory / "log").exists() else []
    if wrong:
        print(*wrong, f"see {directory}: samples.json, log/, server/", sep="\n")
        more = f" (and {len(wrong) - 1} more, above)" if len(wrong) > 1 else ""
        print(f"soak: {wrong[0]}{more}", file=sys.stderr)
        return 1
    print("Flat, and all as expected.")
    if not KEEP:
        shutil.rmtree(directory)
    return 0


def run(directory: Path, ended: ExitStack) -> list[str]:
    """Everything that is wrong."""
    begin = time.monotonic()
    world, guests = make_world(directory, ended)
    since = time.monotonic()
    total = len(REAL + COMERS + SIMULATED) + len(guests.names)
    print(
        f"{total} agents after {since - begin:.0f} s: {len(REAL + COMERS)} real ones, the others "
        f"simulated; {len(COMERS)} and {len(guests.names)} of them come and go",
        flush=True,
    )
    stored = Stored(world.fleet.server_directory)
    looks = [Sampler(memory(world), since, 1.0), Sampler(sizes(stored), since, 5.0)]
    for sampler in looks:
        sampler.start()
        ended.callback(sampler.end)
    workers = start_workers(world, guests)
    ended.callback(world.over)
    watch(world, since, looks, WARMING * SECONDS)
    with world.at_rest("guest"):
        before, warm_at, were = counted(world), time.monotonic() - since, number_of_jobs(world)
    print(f"{warm_at:5.0f} s  warm", flush=True)
    watch(world, since, looks, warm_at + (1 - WARMING) * SECONDS)
    with world.at_rest("guest"):
        after = settled(world, before)
        world.over()
    for worker in workers:
        worker.join()
    for sampler in looks:
        sampler.end()
    samples = {name: found for sampler in looks for name, found in sampler.samples.items()}
    (directory / "samples.json").write_bytes(msgspec.json.encode(samples))
    rows = [Count(name, count, after[name], slack_of(name)) for name, count in before.items()]
    print_done(world)
    print(*slopes(SERIES, samples, warm_at), *counts(rows), sep="\n", flush=True)
    wrong = growing(SERIES, samples, warm_at, rows)
    if (more := number_of_jobs(world) - were) < FEWEST:
        wrong.append(
            f"{more} jobs after the warm-up are too few to judge anything: give a larger M"
        )
    wrong += [sampler.failure for sampler in looks if sampler.failure]
    return world.complaints + wrong + at_the_end(world)


def make_world(directory: Path, ended: ExitStack) -> tuple[World, Guests]:
    """Everything started, and available."""
    fleet = Fleet(directory, [*REAL, *COMERS], whitelist=jobs.WHITELIST, settings=SETTINGS)
    ended.callback(fleet.stop)
    fleet.make_server()
    key, key_file = keys.generate(), directory / "nodes.pem"
    keys.write_private_key(key_file, key)
    register(fleet.server_directory, ORG, [*SIMULATED, *GUESTS], keys.public_pem(key))
    past.fill(fleet.server_directory, SIMULATED, MAX_JOBS)
    fleet.start_server()
    fleet.enroll(fleet.nodes)
    for node in fleet.nodes:
        fleet.start_agent(node)
    plan = Plan(
        nodes=SIMULATED, interval=INTERVAL, key_file=str(key_file),
        extensions=OURS, url=fleet.url.partition("/organizations")[0],
    )  # fmt: skip
    ended.enter_context(staying(plan))
    world = World(
        fleet, real=REAL, simulated=SIMULATED, comers=COMERS, guests=GUESTS, seed=SEED
    )  # fmt: skip
    guests = Guests(world, plan)
    ended.callback(guests.close)
    guests.come()
    world.until_available([*fleet.nodes, *SIMULATED])
    # Those who were slow to come for the first time.
    world.may_go_offline = world.went_offline()
    return world, guests


# --- what works


def start_workers(world: World, guests: Guests) -> list[threading.Thread]:
    """A thread for each kind of work, with the seconds between its steps."""
    work: list[tuple[str, Step, float]] = [
        *(("job", jobs.some_job, 0.5) for _ in range(5)),
        ("edit", operators.edit, 2.0),
        ("command line", operators.command_line, 15.0),
        ("stranger", operators.strangers, 2.0),
        ("comer", comers, 8.0),
        ("guest", guests.step, 15.0),
    ]
    workers = [
        threading.Thread(
            target=work_on, args=(world, name, step, pause, random.Random(f"{SEED} {number}")),
            name=name, daemon=True,
        )
        for number, (name, step, pause) in enumerate(work)
    ]  # fmt: skip
    for worker in workers:
        worker.start()
    return workers


def work_on(world: World, name: str, step: Step, pause: float, chance: random.Random) -> None:
    """Step after step."""
    while not world.is_over:
        next_at = time.monotonic() + 2 * pause * chance.random()
        with world.step(name):
            try:
                if not world.is_over:
                    step(world, chance)
            except Exception as error:
                world.complain(f"{name}: {error or type(error).__name__}")
        while not world.is_over and time.monotonic() < next_at:
            time.sleep(0.05)


def number_of_jobs(world: World) -> int:
    """All that were started."""
    return sum(count for what, count in world.done.items() if what.startswith("jobs "))


# --- what is looked at


def memory(world: World) -> Mapping[str, Callable[[], float]]:
    """Of the server, and of the agents that stay."""
    server = world.fleet.pid("server")
    agents = [world.fleet.pid(node) for node in REAL]
    return {
        "server memory": lambda: rss_mib(server),
        "agent memory (mean)": lambda: statistics.fmean(rss_mib(pid) for pid in agents),
    }


def sizes(stored: Stored) -> Mapping[str, Callable[[], float]]:
    """Of what the server keeps."""
    return {
        "database": stored.database,
        "its write-ahead log": stored.log,
        "files of output": stored.output,
        "audit trail": stored.audit,
    }


def counted(world: World) -> dict[str, int]:
    """Descriptors and threads, now."""
    server = world.fleet.pid("server")
    agents = [world.fleet.pid(node) for node in REAL]
    return {
        "server descriptors": descriptors(server),
        "server threads": threads(server),
        "agent descriptors (most)": max(map(descriptors, agents)),
        "agent threads (most)": max(map(threads, agents)),
    }


def slack_of(name: str) -> int:
    """What may be open by chance: a connection that ends, one to the database."""
    return 5 if name == "server descriptors" else 1


def settled(world: World, before: Mapping[str, int], seconds: float = 30.0) -> dict[str, int]:
    """The same at the end, once it is no more than before, or after some time."""
    deadline = time.monotonic() + seconds
    while True:
        found = counted(world)
        grown = any(found[name] > count + slack_of(name) for name, count in before.items())
        if not grown or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


# --- the run


def watch(world: World, since: float, looks: list[Sampler], until: float) -> None:
    """Until then, in seconds since the begin; with a line each minute."""
    next_line = math.ceil((time.monotonic() - since + 1) / MINUTE) * MINUTE
    while not world.is_over and (now := time.monotonic() - since) < until:
        if now >= next_line:
            next_line += MINUTE
            values = ", ".join(
                f"{name} {found[-1].value:.1f}"
                for sampler in looks for name, found in sampler.samples.items() if found
            )  # fmt: skip
            print(f"{now:5.0f} s  {number_of_jobs(world)} jobs; MiB: {values}", flush=True)
        time.sleep(0.2)


def at_the_end(world: World) -> list[str]:
    """What must hold when nothing is done any more."""
    wrong = []
    if live := world.live_jobs():
        wrong.append(f"{live} jobs are not over at the end")
    with suppress(AssertionError):
        world.until_available([*REAL, *COMERS, *SIMULATED, *GUESTS])
        went = world.went_offline()
        if went > world.may_go_offline:
            wrong.append(
                f"nodes went offline {went} times, of which {world.may_go_offline} were meant to"
            )
        return wrong
    return [*wrong, "not all nodes are available at the end"]


def print_done(world: World) -> None:
    """What was done."""
    states = {w[5:]: n for w, n in sorted(world.done.items()) if w.startswith("jobs ")}
    print(f"{number_of_jobs(world):,} jobs:", ", ".join(f"{n:,} {s}" for s, n in states.items()))
    others = {w: n for w, n in sorted(world.done.items()) if not w.startswith("jobs ")}
    print(", ".join(f"{n:,} {what}" for what, n in others.items()))


if __name__ == "__main__":
    sys.exit(main())
