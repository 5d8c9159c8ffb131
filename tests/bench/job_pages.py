"""Finding jobs among 30,000, each on 20 nodes, on SQLite and PostgreSQL.

usage: python -m tests.bench.job_pages [JOBS]
"""

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pushcli_server.store import Store, job_pages, operations
from pushcli_server.store.job_pages import Wanted
from pushcli_server.store.records import JobRecord
from tests.bench.machine import describe
from tests.bench.store import postgresql, show

ROUNDS = 9
NODES = 20
LOOKED: dict[str, dict[str, Any]] = {
    "the newest 25": {},
    "complete": {"statuses": ("complete",)},
    "failed, a handful of all": {"statuses": ("failed",)},
    "failed or running": {"statuses": ("failed", "running")},
    "by a command that none has": {"command": "deploy*"},
    "of a node that none has": {"node": "nosuch"},
    "of a batch": {"batch": "b" * 32},
}


async def measure(store: Store, jobs: int) -> None:
    """Fill the store and look for each."""
    chance = random.Random(1)
    store.start(asyncio.get_running_loop(), lambda _: None)
    try:
        await store.write(operations.CreateOrganization("acme"))
        for number in range(jobs):
            job = JobRecord(
                id=f"{chance.getrandbits(128):032x}", org="acme", command="uptime",
                status="complete", quorum=NODES, run_timeout=60.0, requestor="ann",
                owner="ann", owner_kind="user", created_at=float(number), updated_at=number + 5.0,
            )  # fmt: skip
            last = "failed" if number % 5_000 == 0 else "succeeded"
            states = ["succeeded"] * (NODES - 1) + [last]
            nodes = [(f"node-{place:02}", state) for place, state in enumerate(states)]
            store.submit(operations.InsertJob(job, nodes))
            if number % 500 == 0:
                await store.barrier()
        await store.barrier()
        for what, fields in LOOKED.items():
            times = []
            for _ in range(ROUNDS):
                start = time.perf_counter()
                await store.lists.ask(job_pages.page, "acme", Wanted(limit=25, **fields))
                times.append(time.perf_counter() - start)
            show(f"of {jobs:,} jobs: {what}", times, "300 ms")
    finally:
        await store.close()


def bench(title: str, url: str, directory: Path, jobs: int) -> None:
    """One database, from its making on."""
    print(title, flush=True)
    Store.create(url, directory / "blobs")
    asyncio.run(measure(Store.open(url, directory / "blobs"), jobs))


def main() -> None:
    """Both databases."""
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 30_000
    print(f"{describe()}; medians")
    with tempfile.TemporaryDirectory(prefix="pushcli-bench-") as name:
        directory = Path(name)
        bench("SQLite", f"sqlite:///{directory / 'pushcli.db'}", directory, jobs)
        with postgresql() as url:
            if url is None:
                print("PostgreSQL: none reachable, not measured")
            else:
                bench("PostgreSQL", url, directory, jobs)


if __name__ == "__main__":
    main()
