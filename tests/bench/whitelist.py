"""Editing the whitelist of many nodes: 10,000 in the store, 1,000 of them connected.

usage: python -m tests.bench.whitelist [NODES] [CONNECTED]
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from pushcli import keys
from pushcli.protocol import extensions
from pushcli.sandbox.sandbox import ORG, Sandbox
from pushcli.whitelist import statements
from pushcli.whitelist.statements import Change
from tests.bench.machine import describe
from tests.bench.simulated_fleet import INTERVAL, shares
from tests.support.simulated import Plan, simulating
from tests.support.writers import register

ROUNDS = 5


def edit(fleet: Sandbox, names: list[str], command: str) -> tuple[float, float, dict[str, object]]:
    """Sign and send an edit; seconds for signing, for the answer, and the answer."""
    begin = time.monotonic()
    key = keys.load_private_key(Path(fleet.profile.client_key))
    changes = [Change("bench", command)]
    signed = statements.sign(
        key, org=ORG, nodes=names, changes=changes,
        version=statements.next_version(time.time()), signer=fleet.profile.client_name,
    )  # fmt: skip
    body = {"nodes": names, "changes": [{"name": "bench", "value": command}]}
    sent = time.monotonic()
    answer = fleet.api.post("pushy/whitelist", {**body, **msgspec.to_builtins(signed)})
    return sent - begin, time.monotonic() - sent, answer


def rounds(what: str, measure: Callable[[int], float]) -> None:
    """Print the median of some rounds."""
    taken = [measure(number) for number in range(ROUNDS)]
    low, high = min(taken), max(taken)
    print(f"{what}: {statistics.median(taken):.2f} s ({low:.2f} to {high:.2f})", flush=True)


def main(nodes: int = 10_000, connected: int = 1_000) -> None:
    """Print what it takes."""
    print(f"{describe()}; {nodes} nodes, {connected} of them connected", flush=True)
    with tempfile.TemporaryDirectory(prefix="pushcli-bench-") as name:
        fleet = Sandbox(Path(name), [], settings={"heartbeat_interval": int(INTERVAL * 1000)})
        ended = ExitStack()
        try:
            fleet.make_server()
            names = [f"node{number:05}" for number in range(nodes)]
            key, key_file = keys.generate(), Path(name) / "nodes.pem"
            keys.write_private_key(key_file, key)
            register(fleet.server_directory, ORG, names, keys.public_pem(key))
            fleet.start_server()
            rounds(
                f"whitelist edit of {nodes} nodes, none connected, signing and request",
                lambda number: sum(edit(fleet, names, f"echo {number}")[:2]),
            )
            rounds(
                f"`pushcli whitelist add bench ... -s '*:*'` on {nodes} nodes, whole process",
                lambda number: _cli(fleet, number),
            )
            url = fleet.url.partition("/organizations")[0]
            plans = [
                Plan(
                    nodes=share, interval=INTERVAL, key_file=str(key_file), url=url,
                    extensions=extensions.WHITELIST,
                )
                for share in shares(names[:connected])
            ]  # fmt: skip
            ended.enter_context(simulating(*plans))
            fleet.wait_available(names[:connected])
            rounds(
                f"whitelist edit until it is in force on {connected} connected agents",
                lambda number: _in_force(fleet, names[:connected], f"echo in force {number}"),
            )
        finally:
            ended.close()
            fleet.stop()


def _cli(fleet: Sandbox, number: int) -> float:
    begin = time.monotonic()
    done = fleet.cli("whitelist", "add", "bench", f"echo cli {number}", "-s", "*:*")
    assert done.returncode == 0, done.stderr
    return time.monotonic() - begin


def _in_force(fleet: Sandbox, names: list[str], command: str) -> float:
    signing, request, answer = edit(fleet, names, command)
    assert answer["in_force"] == len(names), answer
    return signing + request


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
