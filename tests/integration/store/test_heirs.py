"""Who has the name of a node now, and which jobs were of another one before it."""

from pushcli import keys
from pushcli.protocol import messages
from pushcli_server import persistence
from pushcli_server.core.identity import NodeKey
from pushcli_server.core.states import NodeState
from pushcli_server.store import Store, operations, reads
from tests.integration.store.conftest import Database
from tests.integration.store.writing import JOB, ORGS, job
from tests.support.identities import KEYS

LATER = "2" * 32
PEM = keys.public_pem(KEYS[0])


def made(name: str) -> operations.CreateClient:
    return operations.CreateClient(
        org="acme", name=name, public_key=PEM, validator=False, enrolls=True, created_at=0.0
    )


async def insert(store: Store, job_id: str, created_at: float) -> None:
    record = job(job_id, created_at=created_at, status="running")
    await store.write(operations.InsertJob(record, [("old", "crashed"), ("new", "crashed")]))


async def parts(store: Store, name: str) -> list[NodeState | None]:
    """What a late result of this node finds, for both jobs."""
    found = []
    for job_id in (JOB, LATER):
        message = messages.Succeeded(
            node=name, org="acme", sequence=1, timestamp="", job_id=job_id, incarnation_id="i"
        )
        found.append((await persistence.find_part(store, NodeKey("acme", name), message)).state)
    return found


def test_a_job_is_of_the_nodes_that_were_there_when_it_was_made(database: Database) -> None:
    crashed = NodeState.CRASHED

    async def scenario(store: Store) -> None:
        await store.write(*ORGS, made("old"), made("new"))
        await insert(store, JOB, 5.0)
        assert await parts(store, "new") == [crashed, None]
        await store.write(operations.DeleteClient("acme", "new"))
        assert await parts(store, "new") == [None, None]
        await store.write(made("new"))
        await insert(store, LATER, 5.5)
        assert await parts(store, "new") == [None, crashed]
        assert await parts(store, "old") == [crashed, crashed]
        live = await store.ask(reads.live_job, store.root, "acme", JOB)
        assert live is not None
        assert live.disowned == {"new"}

    database.run(scenario)
