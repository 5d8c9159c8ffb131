"""A simulated fleet against the real server, beside the floor, in one run.

usage: python -m tests.bench.fleet [N]
"""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from pushcli import keys
from pushcli.sandbox.sandbox import ORG, Sandbox
from tests.bench.machine import cpu_seconds, describe
from tests.support.memory import rss_mib
from tests.support.simulated import Plan, simulating
from tests.support.writers import register

PROCESSES = 2
ROUNDS = 5
IDLE = 10.0
READERS = 500
INTERVAL = 1.0


def shares(names: list[str]) -> list[list[str]]:
    """The names, split over the processes."""
    return [names[i::PROCESSES] for i in range(PROCESSES)]


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


def job(fleet: Sandbox, names: list[str], capture: Mapping[str, object] = WHOLE) -> float:
    """Seconds from the POST to the job's end, results stored."""
    start = time.monotonic()
    job_id = fleet.api.start_job({"command": "true", "nodes": names, **capture})
    while (answer := fleet.api.job(job_id))["status"] in {"voting", "running"}:
        time.sleep(0.02)
    assert answer["status"] == "complete", answer["status"]
    assert set(answer["nodes"]) == {"succeeded"}, {k: len(v) for k, v in answer["nodes"].items()}
    return time.monotonic() - start


def results_phase(fleet: Sandbox, names: list[str], readers: int) -> float:
    """Seconds from the moment when all commands end to the job's end, with so many readers."""
    moment = time.time() + 6 + readers * 0.02
    command = f"until:{moment}"
    job_id = fleet.api.start_job({"command": command, "nodes": names, "capture_output": True})
    reading = watch(fleet, job_id, readers) if readers else None
    assert time.time() < moment, "the readers took too long to connect"
    time.sleep(moment - time.time())
    while fleet.api.job(job_id)["status"] in {"voting", "running"}:
        time.sleep(0.02)
    took = time.time() - moment
    if reading is not None:
        out, _ = reading.communicate(timeout=120)
        smallest, largest = out.split()
        assert int(smallest) > 100 * len(names), out
        print(f"each of {readers} readers got {smallest} to {largest} bytes")
    return took


def captured(fleet: Sandbox, names: list[str], *options: str) -> str:
    """How `job start` tells of three different outputs, of which one is a failure."""
    with subprocess.Popen(
        fleet.command("job", "start", *options, "three outputs", *names),
        env=fleet.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        job_id = process.stdout.readline().split()[-1]
        while fleet.api.job(job_id)["status"] in {"voting", "running"}:
            time.sleep(0.02)
        ended = time.monotonic()
        lines = process.stdout.read().splitlines()
        process.wait(120)
    return f"{time.monotonic() - ended:.2f} s after the job's end, {len(lines) + 1} lines"


def watch(fleet: Sandbox, job_id: str, readers: int) -> "subprocess.Popen[str]":
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


def loop_report(fleet: Sandbox) -> str:
    """The server's own measure of its event loop since the last time."""
    log = fleet.log("server")
    before = log.stat().st_size
    os.kill(fleet.pid("server"), signal.SIGUSR2)
    while b"event loop" not in log.read_bytes()[before:]:
        time.sleep(0.02)
    found = re.findall(r"event loop: .*", log.read_bytes()[before:].decode())
    return str(found[-1])


def measure(count: int) -> None:
    """Run it all and print it."""
    names = [f"n{number:05}" for number in range(count)]
    print(f"{count} simulated nodes, {INTERVAL:g} s heartbeats, on {describe()}")
    connected, rounds = floor(names)
    bare = statistics.median(rounds)
    print(f"floor: all connected {connected:.2f} s, round {bare:.3f} s (median of {ROUNDS})")
    with tempfile.TemporaryDirectory(prefix="pushcli-bench-") as directory:
        fleet = Sandbox(Path(directory), [], settings={"heartbeat_interval": int(INTERVAL * 1000)})
        fleet.make_server()
        key, key_file = keys.generate(), Path(directory) / "nodes.pem"
        keys.write_private_key(key_file, key)
        register(fleet.server_directory, ORG, names, keys.public_pem(key))
        fleet.start_server()
        ended = ExitStack()
        try:
            start = time.monotonic()
            url = fleet.url.partition("/organizations")[0]
            plans = [
                Plan(
                    nodes=share,
                    interval=INTERVAL,
                    key_file=str(key_file),
                    url=url,
                    extensions="capture,output",
                )
                for share in shares(names)
            ]
            ended.enter_context(simulating(*plans))
            fleet.wait_available(names, patience=300)
            print(f"all configured and available: {time.monotonic() - start:.2f} s")
            pid = fleet.pid("server")
            loop_report(fleet)
            cpu = cpu_seconds(pid)
            time.sleep(IDLE)
            print(f"idle: {(cpu_seconds(pid) - cpu) / IDLE:.1%} of a core; {loop_report(fleet)}")
            times = [job(fleet, names) for _ in range(ROUNDS)]
            median = statistics.median(times)
            print(
                f"job of `true` over all, POST to complete: {median:.3f} s (median of {ROUNDS}, "
                f"{min(times):.3f} to {max(times):.3f}), {median / bare:.2f} x the floor"
            )
            print(f"during jobs: {loop_report(fleet)}")
            for what, capture in (("nothing", {}), ("output by default", DEFAULT)):
                median = statistics.median(job(fleet, names, capture) for _ in range(ROUNDS))
                print(f"the same, keeping {what}: {median:.3f} s; {loop_report(fleet)}")
            for options in (["--capture"], [], ["--no-capture"]):
                told = captured(fleet, names, *options)
                print(f"{' '.join(['job start', *options])}, three outputs: over {told}")
            without = statistics.median(results_phase(fleet, names, 0) for _ in range(3))
            loop_report(fleet)
            with_readers = results_phase(fleet, names, READERS)
            print(
                f"results of all at once: {without:.3f} s, with {READERS} readers of the feed "
                f"{with_readers:.3f} s, {with_readers / without:.2f} x; {loop_report(fleet)}"
            )
            print(f"server memory: {rss_mib(pid):.0f} MiB resident")
        finally:
            ended.close()
            fleet.stop()


if __name__ == "__main__":
    measure(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
