"""What the store's tests write."""

import asyncio
from typing import Any

from pushcli_server.store import Store, operations, output_reads, records
from pushcli_server.store.contents import Content

JOB = "1" * 32
ORGS = (operations.CreateOrganization("acme"), operations.CreateOrganization("other"))


def job(job_id: str = JOB, **more: Any) -> records.JobRecord:
    """A job record with defaults."""
    fields = {
        "org": "acme", "command": "x", "status": "voting", "quorum": 1, "run_timeout": 3600.0,
        "requestor": "ann", "created_at": 1.5, "updated_at": 1.5, **more,
    }  # fmt: skip
    return records.JobRecord(id=job_id, **fields)


def changed(node: str, state: str, **more: Any) -> operations.UpdateJobNodes:
    """A node's new state in the job."""
    return operations.UpdateJobNodes(JOB, [operations.NodeChange(node=node, state=state, **more)])


async def with_job(store: Store, *nodes: str) -> None:
    """Have the organizations, and the job with these nodes."""
    await store.write(*ORGS)
    store.submit(operations.InsertJob(job(), [(node, "new") for node in nodes]))


async def until_healthy(store: Store, healthy: bool = True) -> None:
    """Wait until the store has noticed that its database is back, or away."""
    while store.healthy is not healthy:
        await asyncio.sleep(0.01)


async def kept_output(store: Store, org: str, job_id: str, node: str, channel: str) -> bytes | None:
    """What a node wrote."""
    return _whole(await store.ask(output_reads.output, store.root, org, job_id, node, channel))


async def kept_output_of(store: Store, org: str, job_id: str, digest: str) -> bytes | None:
    """What nodes of a job wrote that has this digest."""
    return _whole(await store.ask(output_reads.output_of, store.root, org, job_id, digest))


def _whole(content: Content | None) -> bytes | None:
    if content is None:
        return None
    try:
        return content.whole()
    finally:
        content.close()
