"""A simulated fleet against the real server, beside the floor, in one run.

usage: python -m tests.bench.fleet [N ...] [--old] [--postgresql] [--rest SECONDS] [--save PAGE]
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bench.machine import cpu_seconds, describe, event_loop
from tests.bench.scaling import Figures, page
from tests.bench.simulated_fleet import INTERVAL, SimulatedFleet, shares, simulated_fleet
from tests.support.memory import rss_mib
from tests.support.postgresql import new_database
from tests.support.simulated import OURS, Plan, simulating

ROUNDS = 5
SETTLING = 15.0
"""Seconds after which what follows a configuration is over: whitelists, facts."""
IDLE = 10.0
READERS = 400
JOBS = 1000
CONNECTIONS = 20


def floor(names: list[str]) -> tuple[float, list[float]]:
    """Seconds to connect, and seconds for each round, of the bare loop."""
    session_key = os.urandom(32).hex()
    bare = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.bare", str(len(names)), session_key],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert bare.stdout is not None
    assert bare.stdin is not None
    told = json.loads(bare.stdout.readline())
    plans = [
        Plan(
            nodes=share, interval=INTERVAL, session_key=session_key,
            command_addr=f"tcp://127.0.0.1:{told['port']}", curve_public_key=told["key"],
        )
        for share in shares(names)
    ]  # fmt: skip
    with simulating(*plans):
        connected = float(bare.stdout.readline())
        rounds = []
        for _ in range(ROUNDS):
            bare.stdin.write("\n")
            bare.stdin.flush()
            rounds.append(float(bare.stdout.readline()))
    bare.kill()
    bare.communicate()
    return connected, rounds


WHOLE = {"capture_output": True}
DEFAULT = {"pushcli": {"capture": "default"}}


def job(fleet: SimulatedFleet, command: str, capture: Mapping[str, object] = WHOLE) -> float:
    """Seconds from the POST to the job's end, results stored."""
    start = time.monotonic()
    job_id = fleet.api.start_job({"command": command, "nodes": fleet.names, **capture})
    status = fleet.wait_for_end(job_id)
    took = time.monotonic() - start
    ended = {state: len(nodes) for state, nodes in fleet.api.job(job_id)["nodes"].items()}
    assert (status, ended) == ("complete", {"succeeded": len(fleet.names)}), (status, ended)
    return took


def results_phase(fleet: SimulatedFleet, readers: int) -> float:
    """Seconds from the moment when all commands end to the job's end, with so many readers."""
    moment = time.time() + 6 + readers * 0.04
    command = f"until:{moment}"
    job_id = fleet.api.start_job({"command": command, "nodes": fleet.names, "capture_output": True})
    reading = watch(fleet, job_id, readers) if readers else None
    assert time.time() < moment, "the readers took too long to connect"
    time.sleep(moment - time.time())
    fleet.wait_for_end(job_id)
    took = time.time() - moment
    if reading is not None:
        out, _ = reading.communicate(timeout=120)
        smallest, largest = out.split()
        assert int(smallest) > 100 * len(fleet.names), out
        print(f"each of {readers} readers got {smallest} to {largest} bytes")
    return took


def told(fleet: SimulatedFleet, *options: str) -> str:
    """How `job start` tells of three different outputs, of which one is a failure."""
    with subprocess.Popen(
        fleet.command("job", "start", *options, "three outputs", "-a", "-y"),
        env=fleet.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        job_id = process.stdout.readline().split()[-1]
        fleet.wait_for_end(job_id)
        ended = time.monotonic()
        lines = process.stdout.read().splitlines()
        process.wait(120)
    return f"{time.monotonic() - ended:.2f} s after the job's end, {len(lines) + 1} lines"


def watch(fleet: SimulatedFleet, job_id: str, readers: int) -> "subprocess.Popen[str]":
    """Start the readers; returns when all are connected."""
    profile = fleet.profile
    url = f"{fleet.url}/pushy/job_status_feed/{job_id}"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.readers", url, profile.client_name,
         str(profile.client_key), str(readers)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "connected\n"
    return process


def many_jobs(fleet: SimulatedFleet) -> float:
    """Jobs in a second, of one node each, one after the other over some keep-alive connections."""
    from pushcli.client.api import ApiClient  # noqa: PLC0415 - slow to import

    count = min(JOBS, len(fleet.names))

    def work(first: int) -> None:
        api = ApiClient(fleet.profile)
        for number in range(first, count, CONNECTIONS):
            api.start_job({"command": "true", "nodes": [fleet.names[number]]})
        api.close()

    start = time.monotonic()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for done in [pool.submit(work, first) for first in range(CONNECTIONS)]:
            done.result()
    started = time.monotonic() - start
    while fleet.metric("pushcli_jobs"):
        time.sleep(0.05)
    took = time.monotonic() - start
    said = f"{count / took:.0f} jobs/s ({count / started:.0f} POSTs/s), no failed request"
    print(f"jobs of one node each: {said}", flush=True)
    return count / took


def restarted(fleet: SimulatedFleet) -> float:
    """Seconds until all are back after the server was killed."""
    fleet.end_server(signal.SIGKILL)
    start = time.monotonic()
    fleet.start_server()
    ready = time.monotonic() - start
    fleet.wait_all()
    took = time.monotonic() - start
    print(f"server killed: ready after {ready:.2f} s, all back after {took:.2f} s", flush=True)
    return took


@contextmanager
def loop_of(fleet: SimulatedFleet, what: str) -> Iterator[None]:
    """Say what the event loop went through meanwhile."""
    event_loop(fleet)
    yield
    print(f"  {what}: event loop {event_loop(fleet)}", flush=True)


def median_of(measure: Callable[[], float], rounds: int = ROUNDS) -> tuple[float, str]:
    """Median of some rounds, in seconds, and in words with their spread."""
    times = [measure() for _ in range(rounds)]
    median = statistics.median(times)
    return median, f"{median:.3f} s ({min(times):.3f} to {max(times):.3f})"


def at_rest(fleet: SimulatedFleet, seconds: float) -> float:
    """Processor time of the server in a second, by heartbeats."""
    pid = fleet.pid("server")
    time.sleep(SETTLING)
    offline = went_offline(fleet)
    with loop_of(fleet, "at rest"):
        cpu = cpu_seconds(pid)
        time.sleep(seconds)
        busy = (cpu_seconds(pid) - cpu) / seconds
    beats = len(fleet.names) / INTERVAL
    print(
        f"at rest for {seconds:g} s: {busy:.1%} of a core, "
        f"{busy / beats * 1e6:.0f} us a node and interval, "
        f"{went_offline(fleet) - offline:.0f} nodes went offline"
    )
    return busy


def went_offline(fleet: SimulatedFleet) -> float:
    """How many nodes did, since the server started."""
    return fleet.metric("pushcli_nodes_went_offline_total")


def jobs(fleet: SimulatedFleet, bare: float) -> tuple[float, float, float, float]:
    """Jobs over all nodes, POST to complete, medians of some rounds.

    Returns:
        Seconds of one, the server's processor time for it, seconds with output, and jobs of one
        node each in a second.
    """
    pid = fleet.pid("server")
    with loop_of(fleet, "during these"):
        used = cpu_seconds(pid)
        plain, said = median_of(lambda: job(fleet, "true"))
        used = (cpu_seconds(pid) - used) / ROUNDS
    print(
        f"job of `true` over all: {said}, {plain / bare:.2f} x the floor, "
        f"{used:.2f} s of the server's processor time"
    )
    with loop_of(fleet, "during these"):
        captured, said = median_of(lambda: job(fleet, "distinct"))
        print(f"1 KB of output of each: {said}")
    print(f"keeping no output: {median_of(lambda: job(fleet, 'true', {}))[1]}")
    print(f"output by default: {median_of(lambda: job(fleet, 'true', DEFAULT))[1]}")
    with loop_of(fleet, "during these"):
        single = many_jobs(fleet)
    return plain, used, captured, single


def operators(fleet: SimulatedFleet) -> None:
    """What those see who start it and those who watch."""
    for options in (["--capture"], [], ["--no-capture"]):
        seen = told(fleet, *options)
        print(f"{' '.join(['job start', *options])}, three outputs: over {seen}", flush=True)
    without = statistics.median(results_phase(fleet, 0) for _ in range(3))
    with loop_of(fleet, "with readers"):
        watched = results_phase(fleet, READERS)
    print(
        f"results of all at once: {without:.3f} s, with {READERS} readers of the feed "
        f"{watched:.3f} s, {watched / without:.2f} x"
    )


def measure(count: int, *, old: bool, database_url: str, rest_for: float) -> Figures:
    """Run it all and print it; for so many seconds nothing is asked of the fleet."""
    kind, where = in_words(old=old, postgresql=bool(database_url))
    print(f"{count} {kind}, {INTERVAL:g} s heartbeats, {where}, on {describe()}")
    connected, rounds = floor([f"n{number:05}" for number in range(count)])
    bare = statistics.median(rounds)
    print(f"floor: all connected {connected:.2f} s, round {bare:.3f} s (median of {ROUNDS})")
    offered = "" if old else OURS
    with simulated_fleet(count, offered=offered, old=old, database_url=database_url) as begun:
        fleet, seconds = begun
        print(f"all configured and available: {seconds:.2f} s")
        rest = at_rest(fleet, rest_for)
        plain, used, captured, single = jobs(fleet, bare)
        operators(fleet)
        memory = rss_mib(fleet.pid("server"))
        print(f"server memory: {memory:.0f} MiB resident")
        print(f"went offline in all: {went_offline(fleet):.0f}")
        return Figures(
            nodes=count, floor=bare, configured=seconds, rest=rest, job=plain, job_used=used,
            captured=captured, single=single, memory=memory, back=restarted(fleet),
        )  # fmt: skip


def in_words(*, old: bool, postgresql: bool) -> tuple[str, str]:
    """What is simulated, and where the server keeps everything."""
    kind = "simulated old agents" if old else "simulated agents like ours"
    return kind, "PostgreSQL" if postgresql else "SQLite"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("counts", nargs="*", type=int, default=[1000], metavar="N")
    parser.add_argument("--old", action="store_true", help="agents without extensions")
    parser.add_argument("--postgresql", action="store_true", help="in place of SQLite")
    parser.add_argument(
        "--rest", type=float, default=IDLE, metavar="SECONDS",
        help="for which nothing is asked of the largest fleet",
    )  # fmt: skip
    parser.add_argument("--save", type=Path, metavar="PAGE", help="write tables and plots there")
    asked = parser.parse_args()
    kind, where = in_words(old=asked.old, postgresql=asked.postgresql)
    measured: list[Figures] = []
    with ExitStack() as ended:
        for count in sorted(asked.counts):
            # Each fleet has a database of its own.
            url = ended.enter_context(new_database()) if asked.postgresql else ""
            rest = asked.rest if count == max(asked.counts) else IDLE
            measured.append(measure(count, old=asked.old, database_url=url, rest_for=rest))
            # What was measured is not lost if a larger fleet fails.
            if asked.save is not None:
                text = page(
                    measured, kind=kind, database=where, interval=INTERVAL, rounds=ROUNDS,
                    machine=describe(), options=" ".join(sys.argv[1 + len(asked.counts) :]),
                )  # fmt: skip
                asked.save.write_text(text)


if __name__ == "__main__":
    main()
