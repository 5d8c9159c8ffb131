"""A process that writes to a store and reports what is committed, until it is killed."""

import asyncio
import sys
from pathlib import Path

from pushcli_server.store import Store, operations
from tests.integration.store.writing import JOB, changed, with_job

NODES = 600


def content(number: int) -> bytes:
    """A node's output: some lie in the table, some in files."""
    return b"%d\n" % number * (5000 if number % 3 else 10)


async def main(url: str, root: Path) -> None:
    """Print the number of a node as soon as what it wrote is reported as committed."""
    store = Store.open(url, root)
    store.start(asyncio.get_running_loop(), lambda _: None)
    await with_job(store, *(str(number) for number in range(NODES)))
    for number in range(NODES):
        path, whole = store.incoming(f"{number}.stdout"), content(number)
        for offset in range(0, len(whole), 4096):
            store.submit(operations.AppendOutput(path, offset, whole[offset : offset + 4096]))
        store.submit(
            operations.AppendEvent("feed", number, number, b"x"),
            operations.StoreOutput(job_id=JOB, node=str(number), stdout=path, stderr=None),
            changed(str(number), "succeeded"),
        )
        if number % 7 == 0:
            await store.barrier()
            print(number, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
