"""An organization goes: every table that names one is emptied of it, and content nobody needs."""

from sqlalchemy import func, select

from pushcli_server.store import Store, identity_reads, operations, organizations, reads, schema
from pushcli_server.store.database import make_engine
from pushcli_server.store.records import JobRecord, NodeObject
from tests.integration.store.conftest import Database

LARGE = b"x" * 20_000


def job(number: int, org: str, file: str | None = None) -> operations.InsertJob:
    record = JobRecord(
        id=f"{org}{number}".rjust(32, "0"), org=org, command="c", status="complete", quorum=1,
        run_timeout=1.0, requestor="ann", created_at=1.0, updated_at=1.0,
    )  # fmt: skip
    return operations.InsertJob(record, [("n", "new")], file)


def everything(org: str) -> list[operations.Operation]:
    """Rows in tables that name an organization."""
    node = NodeObject(org=org, name="n", normal='{"tags": ["x"]}')
    return [
        operations.CreateOrganization(org),
        operations.CreateGroup(org, "admins"),
        operations.CreateGroup(org, "users"),
        operations.AssociateUser(org, "ann"),
        operations.CreateClient(org=org, name="n", public_key="k", enrolls=True),
        operations.PutNode(node=node),
        operations.SaveEditor(org=org, key="k", version=1, statement="{}", latest=1),
    ]


def test_of_a_deleted_organization_no_row_is_left_and_of_others_every_one(
    database: Database,
) -> None:
    async def scenario(store: Store) -> None:
        await store.write(operations.CreateUser(name="ann", public_key="k"))
        for org in ("acme", "other"):
            await store.write(*everything(org))
            store.submit(*(job(number, org) for number in range(250)))
            store.submit(operations.AppendEvent(f"{org}/", 1, 1, b"event"))
            store.submit(operations.AppendEvent(f"{org}1".rjust(32, "0"), 1, 1, b"event"))
        rounds = 0
        while await store.ask(organizations.is_large, "acme"):
            await store.write(operations.PurgeOrganization("acme"))
            rounds += 1
        assert rounds == 3, "others may write in between"
        await store.write(operations.DeleteOrganization("acme"))
        assert await store.ask(identity_reads.organizations) == ["other"]
        assert len((await store.ask(reads.jobs, "other"))[0]) == 250
        feeds = {feed for feed, *_ in await store.ask(reads.feed_events)}
        assert feeds == {"other/", "other1".rjust(32, "0")}

    database.run(scenario)
    engine = make_engine(database.url)
    with engine.connect() as connection:
        for table in schema.metadata.sorted_tables:
            if "org" in table.c:
                for org, wanted in (("acme", False), ("other", True)):
                    count = connection.scalar(
                        select(func.count()).select_from(table).where(table.c.org == org)
                    )
                    if not wanted:
                        assert count == 0, table.name
        parts = connection.scalar(select(func.count()).select_from(schema.job_nodes))
        assert parts == 250
    engine.dispose()


def test_content_goes_with_the_last_job_that_refers_to_it(database: Database) -> None:
    shared, own = LARGE.decode(), "y" * 20_000

    async def scenario(store: Store) -> None:
        for org in ("acme", "other"):
            await store.write(operations.CreateOrganization(org))
        store.submit(job(1, "acme", shared), job(2, "acme", own), job(1, "other", shared))
        gathered = store.incoming(f"{job(1, 'acme').job.id}.node.stdout")
        theirs = store.incoming(f"{job(1, 'other').job.id}.node.stdout")
        store.submit(
            operations.AppendOutput(gathered, 0, b"some"), operations.AppendOutput(theirs, 0, b"x")
        )
        await store.barrier()
        await store.write(operations.DeleteOrganization("acme"))
        assert not gathered.exists()
        assert theirs.exists()
        # Somebody brings the same content again just before it would go.
        store.submit(job(2, "other", own))
        await store.write(operations.DropUnusedBlobs())
        assert await store.ask(reads.job_file, store.root, "other", job(2, "other").job.id) == own
        await store.write(operations.DeleteOrganization("other"), operations.DropUnusedBlobs())
        assert [path for path in store.root.rglob("*") if path.is_file()] == []

    database.run(scenario)
