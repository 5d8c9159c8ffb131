"""`make bench`: medians of what operators and small machines feel, on real processes."""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pushcli
from pushcli.sandbox.sandbox import Sandbox
from tests.bench import display, folding, search, whitelist
from tests.bench.machine import cpu_seconds, describe, event_loop
from tests.support.memory import pss_mib

ROUNDS = 15
MANY = 50
MORE = 100
IDLE = 10.0
WHITELIST = {"true": "true"}


def timed(call: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """Seconds of each call, after one that is not counted."""
    call()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def show(what: str, times: list[float], aim: str = "") -> None:
    """One line: median, spread, aim."""
    ms = [t * 1000 for t in times]
    note = f"   aim {aim}" if aim else ""
    print(
        f"{what:<58} {statistics.median(ms):8.1f} ms   ({min(ms):.1f} to {max(ms):.1f}, "
        f"{len(ms)} runs){note}",
        flush=True,
    )


def process(*arguments: str) -> Callable[[], object]:
    """Runs a process to its end."""
    return lambda: subprocess.run(arguments, check=True, capture_output=True)


def start_processes() -> None:
    """What every command pays."""
    python = sys.executable
    show("python -c pass", timed(process(python, "-c", "pass")))
    show("pushcli --help", timed(process(python, "-m", "pushcli", "--help")), "120 ms")


def rest_job(fleet: Sandbox, nodes: list[str]) -> Callable[[], object]:
    """POST of a job until GET says complete, over one connection."""

    def run() -> None:
        job_id = fleet.api.start_job({"command": "true", "nodes": nodes})
        while (status := fleet.api.job(job_id)["status"]) != "complete":
            assert status in {"voting", "running"}, status
            time.sleep(0.001)

    return run


def cli_job(fleet: Sandbox, nodes: list[str]) -> Callable[[], object]:
    """The whole `pushcli job start` process."""

    def run() -> None:
        done = fleet.cli("job", "start", "true", *nodes)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


def tab_key(fleet: Sandbox) -> Callable[[], object]:
    """What a shell waits for when the names are known."""
    env = {**fleet.environment, "_PUSHCLI_COMPLETE": "fish_words"}
    command = fleet.command("job", "start", "true", "n")

    def press() -> str:
        return subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout

    deadline = time.monotonic() + 10
    while "n1" not in press():
        assert time.monotonic() < deadline, "the names are not known"
    return press


def one_node(directory: Path) -> None:
    """A server and one agent."""
    with Sandbox(directory, ["n1"], whitelist=WHITELIST) as fleet:
        show("job on one node, POST to complete", timed(rest_job(fleet, ["n1"])), "50 ms")
        show("pushcli job start, one node, whole process", timed(cli_job(fleet, ["n1"])), "500 ms")
        show("pushcli node status, whole process", timed(lambda: fleet.cli("node", "status")))
        show("Tab key, node names, whole process", timed(tab_key(fleet)), "150 ms")


def alone(directory: Path) -> None:
    """One idle agent."""
    with Sandbox(directory, ["n1"], whitelist=WHITELIST) as fleet:
        pid = fleet.pid("n1")
        cpu = cpu_seconds(pid)
        time.sleep(IDLE)
        busy = (cpu_seconds(pid) - cpu) / IDLE
        print(f"{'idle agent, processor':<58} {busy:8.2%} of a core   aim 1 %", flush=True)
        # Alone: what it shares with the server's interpreter would count only in half.
        fleet.end_server()
        time.sleep(1)
        print(f"{'idle agent, PSS alone':<58} {pss_mib(pid):8.1f} MiB   aim 30 MiB", flush=True)


def many_nodes(directory: Path) -> None:
    """A server and many real agents on this one machine."""
    nodes = [f"n{number:03}" for number in range(MORE)]
    with Sandbox(directory, nodes, whitelist=WHITELIST) as fleet:
        some = nodes[:MANY]
        time.sleep(2)
        event_loop(fleet)
        times = timed(cli_job(fleet, some), 5)
        show(f"pushcli job start, {MANY} real agents, whole process", times, "700 ms")
        print(f"{'server PSS with ' + str(MORE) + ' agents':<58} ", end="")
        print(f"{pss_mib(fleet.pid('server')):8.1f} MiB")
        what = "longest block of the event loop, during these"
        print(f"{what:<58} {event_loop(fleet)}   aim 20 ms")


def main() -> None:
    """All of it."""
    print(f"pushcli {pushcli.__version__} on {describe()}; medians")
    start_processes()
    for part in (one_node, alone, many_nodes):
        with tempfile.TemporaryDirectory(prefix="pushcli-bench-") as directory:
            part(Path(directory))
    display.measure(10_000, 20)
    folding.main()
    search.main()
    whitelist.main()


if __name__ == "__main__":
    main()
