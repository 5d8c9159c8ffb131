"""`python -m tests.bench.store`: medians of the store's writes, on SQLite and PostgreSQL.

PostgreSQL is measured where PUSHCLI_TEST_POSTGRESQL, or else the local one, lets us make a
database. The fsync beside them is the floor: no durable commit can be faster.
"""

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pushcli_server.store import Store, operations, records
from tests.bench.machine import describe
from tests.support.postgresql import NoPostgresqlError, new_database

NODES = 10_000
GROUP = 100
ROUNDS = 7
COMMITS = 200


def show(what: str, seconds: list[float], aim: str = "") -> None:
    """One line: median, spread, aim."""
    ms = [s * 1000 for s in seconds]
    note = f"   aim {aim}" if aim else ""
    print(
        f"{what:<62} {statistics.median(ms):8.2f} ms   ({min(ms):.2f} to {max(ms):.2f}, "
        f"{len(ms)} runs){note}",
        flush=True,
    )


def fsyncs(directory: Path) -> list[float]:
    """Seconds of an append and its fsync, where the database lies too."""
    times = []
    with (directory / "floor").open("ab", buffering=0) as file:
        for _ in range(COMMITS):
            start = time.perf_counter()
            file.write(b"x" * 4096)
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    return times


def job(name: str) -> operations.InsertJob:
    """A job over the whole fleet."""
    record = records.JobRecord(
        id=name, org="acme", command="true", status="voting", quorum=NODES, run_timeout=60.0,
        requestor="ann", created_at=1.0, updated_at=1.0,
    )  # fmt: skip
    return operations.InsertJob(record, [(f"node-{i:05}", "new") for i in range(NODES)])


def changes(name: str, state: str, start: int, count: int) -> operations.UpdateJobNodes:
    """New states of some nodes."""
    return operations.UpdateJobNodes(
        name,
        [
            operations.NodeChange(
                node=f"node-{i:05}", state=state, exit_code=0, started_at=1.5, ended_at=2.5
            )
            for i in range(start, start + count)
        ],
    )


async def updates(store: Store, name: str, size: int) -> tuple[float, float, float]:
    """Seconds until 10,000 updates are committed, to submit them, and of the longest submit.

    The loop lives between the submits, as it does when they are answers of a fleet.
    """
    groups = [changes(name, "running", start, size) for start in range(0, NODES, size)]
    begin, submitting, longest = time.perf_counter(), 0.0, 0.0
    for number, group in enumerate(groups):
        start = time.perf_counter()
        store.submit(group)
        took = time.perf_counter() - start
        submitting, longest = submitting + took, max(longest, took)
        if number % GROUP == GROUP - 1:
            await asyncio.sleep(0)
    await store.barrier()
    return time.perf_counter() - begin, submitting, longest


async def commit(store: Store, name: str) -> float:
    """Seconds of a single small commit, from `submit` to the end of `barrier`."""
    start = time.perf_counter()
    store.submit(changes(name, "ready", 0, 1))
    await store.barrier()
    return time.perf_counter() - start


async def results(store: Store, name: str) -> float:
    """Seconds until 10,000 small outputs, each another, are committed."""
    start = time.perf_counter()
    for i in range(NODES):
        store.submit(
            operations.StoreOutput(
                job_id=name, node=f"node-{i:05}", stdout=f"{name}{i}".encode(), stderr=b""
            )
        )
    await store.barrier()
    return time.perf_counter() - start


async def measure(store: Store) -> None:
    """All medians of one database."""
    store.start(asyncio.get_running_loop(), lambda _: None)
    try:
        await store.write(operations.CreateOrganization("acme"))
        singles, groups, inserts, outputs = [], [], [], []
        for number in range(ROUNDS):
            name = f"{number:032}"
            start = time.perf_counter()
            store.submit(job(name))
            await store.barrier()
            inserts.append(time.perf_counter() - start)
            groups.append(await updates(store, name, GROUP))
            singles.append(await updates(store, name, 1))
            outputs.append(await results(store, name))
        name = f"{0:032}"
        show("single small commit", [await commit(store, name) for _ in range(COMMITS)])
        show(f"a job over {NODES:,} nodes inserted", inserts)
        show(f"{NODES:,} job_nodes updates, {GROUP} an operation", [g[0] for g in groups], "300 ms")
        show(f"{NODES:,} job_nodes updates, 1 an operation", [s[0] for s in singles], "300 ms")
        show("   of it on the loop's thread, to submit them", [s[1] for s in singles])
        show("   the longest submit", [s[2] for s in singles])
        show(f"{NODES:,} small outputs stored", outputs)
        if store.refused:
            sys.exit("the store refused some of it: see above")
    finally:
        await store.close()


@contextmanager
def postgresql() -> Iterator[str | None]:
    """A throw-away database's URL; None where there is no PostgreSQL."""
    with ExitStack() as made:
        try:
            url = made.enter_context(new_database())
        except NoPostgresqlError:
            yield None
        else:
            yield url


def bench(title: str, url: str, directory: Path) -> None:
    """One database, from its making on."""
    print(title, flush=True)
    Store.create(url, directory / "blobs")
    asyncio.run(measure(Store.open(url, directory / "blobs")))


def main() -> None:
    """Both databases."""
    print(f"{describe()}; medians")
    with tempfile.TemporaryDirectory(prefix="pushcli-bench-") as name:
        directory = Path(name)
        show("4 KiB appended to a file and fsynced: the floor", fsyncs(directory))
        bench("SQLite", f"sqlite:///{directory / 'pushcli.db'}", directory)
        with postgresql() as url:
            if url is None:
                print("PostgreSQL: none reachable, not measured")
            else:
                bench("PostgreSQL", url, directory)


if __name__ == "__main__":
    main()
