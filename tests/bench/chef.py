"""A fleet that fetches its configurations at once, while its clients are on a Chef Infra Server.

usage: python -m tests.bench.chef [N]
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import zmq

from pushcli import keys
from pushcli.sandbox.sandbox import ORG
from tests.bench.machine import describe
from tests.bench.simulated_fleet import INTERVAL, shares, simulated_fleet
from tests.support.beside_chef import BesideChef
from tests.support.chef_server import ChefServer, chef_server
from tests.support.metrics import metric
from tests.support.simulated import OURS, Plan, fetch, simulating

DELAYS = (0.0, 0.02, 0.1)
"""Seconds that the Chef Infra Server takes for an answer, beside its own work."""
_PATIENCE = 300.0
_GLANCE = 0.1
_CONNECTIONS = 32


def main(count: int) -> None:
    """Measure, and print a line for each."""
    print(describe())
    with simulated_fleet(count, offered=OURS) as (_, seconds):
        print(f"{count:,} nodes, own identities: all available after {seconds:.1f} s", flush=True)
    for delay in DELAYS:
        for line in beside_chef(count, delay):
            print(f"{count:,} nodes, Chef answers in {delay * 1000:g} ms: {line}", flush=True)


def beside_chef(count: int, delay: float) -> Iterator[str]:
    """From nothing, then all of them again while the answers count."""
    superuser_key, key = keys.generate(), keys.generate()
    names = [f"n{number:05}" for number in range(count)]
    with (
        tempfile.TemporaryDirectory(prefix="pushcli-bench-") as directory,
        chef_server(superuser_key.public_key()) as chef,
        BesideChef(
            Path(directory), chef, superuser_key, chef_cache=300,
            heartbeat_interval=int(INTERVAL * 1000),
        ) as fleet,
    ):  # fmt: skip
        key_file = Path(directory) / "nodes.pem"
        keys.write_private_key(key_file, key)
        for name in names:
            chef.keys[ORG, "client", name] = [keys.public_pem(key)]
        plans = [
            Plan(
                nodes=share, interval=INTERVAL, key_file=str(key_file), extensions=OURS,
                url=fleet.url.partition("/organizations")[0], network=f"127.{number}",
            )
            for number, share in enumerate(shares(names), 2)
        ]  # fmt: skip
        chef.delay = delay
        with simulating(*plans), counted(chef, count) as asked:
            start = time.monotonic()
            while metric(fleet, "pushcli_nodes", state="available") < count:
                if time.monotonic() - start > _PATIENCE:
                    raise SystemExit(f"not all are available after {_PATIENCE:g} s")
                time.sleep(_GLANCE)
            seconds = time.monotonic() - start
        mean = metric(fleet, "pushcli_chef_question_seconds_sum") / chef.asked.total()
        yield f"all available after {seconds:.1f} s; {asked[0]}; {mean * 1000:.0f} ms each"
        with counted(chef, count) as asked:
            start = time.monotonic()
            with ThreadPoolExecutor(_CONNECTIONS) as pool:
                for done in [
                    pool.submit(again, plans[0], names[first::_CONNECTIONS])
                    for first in range(_CONNECTIONS)
                ]:
                    done.result()
            seconds = time.monotonic() - start
        yield f"all configurations once more in {seconds:.1f} s; {asked[0]}"


def again(plan: Plan, names: list[str]) -> None:
    """Fetch the configurations of these nodes, one after the other over one connection."""
    key = keys.load_private_key(Path(plan.key_file))
    connection = HTTPConnection(plan.url.removeprefix("http://"), timeout=30)
    for name in names:
        fetch(connection, plan, key, name, zmq.curve_keypair()[0].decode())
    connection.close()


@contextmanager
def counted(chef: ChefServer, count: int) -> Iterator[list[str]]:
    """What it was asked meanwhile: a text, at the end."""
    said: list[str] = []
    before = chef.asked.copy()
    yield said
    asked = chef.asked - before
    most = max(asked.values(), default=0)
    said.append(
        f"{asked.total():,} questions, {asked.total() / count:.2f} per node, "
        f"{most} at most about one name"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
