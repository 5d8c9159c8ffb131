"""Searching 10,000 nodes over REST, and what the event loop feels of it.

usage: python -m tests.bench.search [NODES]
"""

import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from pushcli.sandbox.sandbox import ORG, Sandbox
from pushcli_server import settings
from pushcli_server.store import Store, operations
from pushcli_server.store.records import NodeObject
from tests.bench.machine import describe, event_loop

ROUNDS = 9
QUERIES = (
    "name:node00042",
    "role:web AND chef_environment:prod",
    "role:web* AND NOT tags:blue",
    "cpu_total:[8 TO *]",
    "kernel_release:6.1.*",
    "(platform:debian OR platform:rocky) AND ipaddress:10.0.1*",
    "NOT role:db",
    "*:*",
)


def node(number: int) -> NodeObject:
    """A node as agents and chef-client describe one: about 60 fields."""
    automatic = {
        "fqdn": f"node{number:05}.example.com",
        "hostname": f"node{number:05}",
        "ipaddress": f"10.{number % 7}.{number % 251}.{number % 249}",
        "platform": ("debian", "ubuntu", "rocky")[number % 3],
        "platform_version": f"{10 + number % 4}",
        "os": "linux",
        "kernel": {
            "name": "Linux",
            "release": f"6.{number % 5}.{number % 90}",
            "machine": "x86_64",
        },
        "cpu": {"total": 2 ** (number % 6), "model_name": f"model {number % 9}"},
        "memory": {"total": f"{number % 64}GB", "free": f"{number}kB"},
        "network": {"interfaces": {f"eth{i}": {"mtu": 1500, "state": "up"} for i in range(4)}},
    }
    role = ("web", "web-cache", "db", "queue")[number % 4]
    return NodeObject(
        org=ORG,
        name=f"node{number:05}",
        chef_environment=("prod", "staging", "dev")[number % 3],
        run_list=json.dumps([f"role[{role}]", "recipe[base::default]"]),
        automatic=json.dumps(automatic),
        normal=json.dumps({"tags": ["blue" if number % 2 else "green", f"rack{number % 40}"]}),
    )


def fill(fleet: Sandbox, count: int) -> float:
    """Put the nodes in; returns the seconds it took."""

    async def run() -> None:
        directory = fleet.server_directory
        store = Store.open(settings.load(directory).database(directory), directory / "blobs")
        store.start(asyncio.get_running_loop(), lambda _: None)
        for start in range(0, count, 500):
            nodes = [node(number) for number in range(start, min(start + 500, count))]
            await store.write(*(operations.PutNode(node=one, create=True) for one in nodes))
        await store.close()

    begin = time.monotonic()
    asyncio.run(run())
    return time.monotonic() - begin


def main(count: int = 10_000) -> None:
    """Print what it takes."""
    with tempfile.TemporaryDirectory(prefix="pushcli-bench-") as name:
        fleet = Sandbox(Path(name), [])
        fleet.make_server()
        took = fill(fleet, count)
        print(f"search over {count} nodes, {describe()}; put in and indexed in {took:.1f} s")
        fleet.start_server()
        try:
            event_loop(fleet)
            for query in QUERIES:
                times = []
                for _ in range(ROUNDS):
                    begin = time.perf_counter()
                    found = fleet.api.post(
                        "search/node", {"name": ["name"]}, params={"q": query, "rows": "10000"}
                    )
                    times.append((time.perf_counter() - begin) * 1000)
                low, high = min(times), max(times)
                print(
                    f"{query:<58} {statistics.median(times):7.1f} ms   ({low:.1f} to {high:.1f}), "
                    f"{found['total']} nodes, their names   aim 200 ms",
                    flush=True,
                )
            begin = time.perf_counter()
            fleet.api.get("search/node", {"q": "*:*", "rows": "1000"})
            took = (time.perf_counter() - begin) * 1000
            print(f"{'*:*, the first 1000 whole nodes':<58} {took:7.1f} ms")
            print(f"{'event loop meanwhile':<58} {event_loop(fleet)}")
        finally:
            fleet.stop()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
