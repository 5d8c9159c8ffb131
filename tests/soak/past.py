"""Jobs of before: a server that has as many as it keeps deletes one for each that comes."""

import asyncio
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from pushcli.sandbox.sandbox import ADMIN, ORG
from pushcli_server import settings
from pushcli_server.store import Store, operations
from pushcli_server.store.records import JobRecord

NODES = 15
"""Of each: what the jobs of a run have on average."""
_AGE = 600.0


def fill(directory: Path, names: Sequence[str], count: int) -> None:
    """Have so many jobs in the store of a server that is not running."""
    asyncio.run(_fill(directory, names, count))


async def _fill(directory: Path, names: Sequence[str], count: int) -> None:
    store = Store.open(settings.load(directory).database(directory), directory / "blobs")
    store.start(asyncio.get_running_loop(), lambda _: None)
    begin = time.time() - _AGE
    for number in range(count):
        at = begin + number * _AGE / count / 2
        job = JobRecord(
            id=uuid.uuid4().hex, org=ORG, command="distinct", status="complete", quorum=NODES,
            run_timeout=60.0, requestor=ADMIN, owner=ADMIN, owner_kind="user", created_at=at,
            updated_at=at,
        )  # fmt: skip
        first = number % (len(names) - NODES)
        nodes = [(name, "succeeded") for name in names[first : first + NODES]]
        store.submit(operations.InsertJob(job, nodes))
    await store.barrier()
    await store.close()
