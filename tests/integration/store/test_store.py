"""The store through its public interface, on both databases."""

import asyncio
from typing import Any

import psycopg
import pytest

from pushcli_server.store import Conflict, Store, StoreUnavailable, operations, records
from tests.integration.store.conftest import Database

pytestmark = pytest.mark.timeout(60)
JOB = "1" * 32
ORGS = (operations.CreateOrganization("acme"), operations.CreateOrganization("other"))


def job(job_id: str = JOB, **more: Any) -> records.JobRecord:
    fields = {
        "org": "acme", "command": "x", "status": "voting", "quorum": 1, "run_timeout": 3600.0,
        "requestor": "ann", "created_at": 1.5, "updated_at": 1.5, **more,
    }  # fmt: skip
    return records.JobRecord(id=job_id, **fields)


def changed(node: str, state: str, **more: Any) -> operations.UpdateJobNodes:
    return operations.UpdateJobNodes(JOB, [operations.NodeChange(node=node, state=state, **more)])


async def with_job(store: Store, *nodes: str) -> None:
    await store.write(*ORGS)
    store.submit(operations.InsertJob(job(), [(node, "new") for node in nodes]))


def test_a_job_and_its_nodes_are_read_as_they_were_written(database: Database) -> None:
    full = job(
        user="root", dir="/tmp", env='{"A": "b"}', file="raw:\u2603", capture=True,
        request_id="r", voting_deadline=61.5, run_deadline=1e12 + 0.25,
    )  # fmt: skip

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        store.submit(operations.InsertJob(full, [("b", "new"), ("a", "new")]))
        store.submit(changed("b", "running"))
        store.submit(changed("b", "failed", reason="exit code 3", exit_code=3, started_at=1.25))
        store.submit(changed("b", "failed"))
        assert await store.job("acme", JOB) == full
        assert await store.job("other", JOB) is None
        first, second = await store.job_nodes(JOB)
        assert (first.node, second.node) == ("b", "a"), "the order of the request"
        assert first == records.JobNodeRecord(
            node="b", state="failed", reason="exit code 3", exit_code=3, started_at=1.25
        )

    database.run(scenario)


def test_live_jobs_are_there_after_reopening_and_ended_ones_are_not(database: Database) -> None:
    async def first(store: Store) -> None:
        await with_job(store, "a")
        store.submit(operations.InsertJob(job("2" * 32, status="complete"), []))
        store.submit(changed("a", "ready"))
        store.submit(
            operations.UpdateJob(
                job_id=JOB, status="running", updated_at=2.0, voting_deadline=61.0,
                run_deadline=99.0,
            )
        )  # fmt: skip

    async def second(store: Store) -> None:
        [(live, nodes)] = await store.live_jobs()
        assert (live.id, live.status, live.run_deadline) == (JOB, "running", 99.0)
        assert [(node.node, node.state) for node in nodes] == [("a", "ready")]

    database.run(first)
    database.run(second)


def test_tickets_rise_and_are_released_in_order(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, *(f"n{i}" for i in range(200)))
        tickets = [store.submit(changed(f"n{i}", "ready")) for i in range(200)]
        assert tickets == sorted(set(tickets))
        await store.barrier()
        assert store.committed >= tickets[-1]
        assert database.released == sorted(database.released)

    database.run(scenario)


def test_what_was_queued_during_a_commit_goes_with_the_next_one(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        await store.barrier()
        before = len(database.released)
        for _ in range(500):
            store.submit(changed("a", "ready"))
        await store.barrier()
        assert len(database.released) - before < 50, "a commit for a group, not for each"

    database.run(scenario)


def test_a_conflict_is_told_and_harms_nothing_around_it(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        client = operations.CreateClient(org="acme", name="n", public_key="PEM")
        await store.write(client)
        results = await asyncio.gather(
            store.write(operations.CreateGroup("acme", "g"), client),
            store.write(operations.CreateGroup("acme", "h")),
            return_exceptions=True,
        )
        store.submit(changed("a", "ready"))
        assert isinstance(results[0], Conflict)
        assert results[1] is None
        assert not await store.group_exists("acme", "g"), "all of a write or nothing"
        assert await store.group_exists("acme", "h")
        assert (await store.job_nodes(JOB))[0].state == "ready"
        assert database.failures == []

    database.run(scenario)


def test_an_operation_that_can_never_be_applied_is_a_failure_not_a_retry(
    database: Database,
) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        await store.barrier()
        store.submit(operations.InsertJob(job(), []))
        while not database.failures:
            await asyncio.sleep(0.01)

    database.run(scenario)
    assert len(database.failures) == 1


def test_groups_nest_cycles_end_and_names_of_organizations_stay_apart(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        for org in ("acme", "other"):
            for group in ("top", "middle", "bottom"):
                await store.write(operations.CreateGroup(org, group))
        for group, kind, member in (
            ("top", "group", "middle"), ("middle", "group", "bottom"),
            ("bottom", "group", "top"), ("bottom", "user", "ann"), ("bottom", "client", "bot"),
            ("bottom", "group", "missing"),
        ):  # fmt: skip
            await store.write(operations.AddMember("acme", group, kind, member))
        assert await store.is_member("acme", "user", "ann", "top")
        assert await store.is_member("acme", "client", "bot", "top")
        assert not await store.is_member("acme", "client", "ann", "top")
        assert not await store.is_member("acme", "user", "nobody", "top")
        assert not await store.is_member("other", "user", "ann", "top")
        assert not await store.is_member("acme", "user", "ann", "missing")
        await store.write(operations.RemoveMember("acme", "middle", "group", "bottom"))
        assert not await store.is_member("acme", "user", "ann", "top")
        with pytest.raises(Conflict):
            await store.write(operations.AddMember("acme", "nogroup", "user", "ann"))

    database.run(scenario)


def test_principals_are_seen_from_their_organization_with_valid_keys_only(
    database: Database,
) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        await store.write(operations.CreateUser(name="ann", public_key="K1"))
        await store.write(operations.AssociateUser("acme", "ann"))
        await store.write(operations.CreateClient(org="acme", name="ann", public_key="K2"))
        for name, expires_at in (("old", 1.0), ("new", 1e11)):
            await store.write(
                operations.AddKey(
                    kind="user", org="", name="ann", key_name=name, public_key=name,
                    expires_at=expires_at,
                )
            )  # fmt: skip
        user, client = await store.principals("acme", "ann")
        assert (user.kind, user.associated, sorted(user.public_keys)) == (
            "user", True, ["K1", "new"],
        )  # fmt: skip
        assert (client.kind, client.public_keys) == ("client", ("K2",))
        [elsewhere] = await store.principals("other", "ann")
        assert not elsewhere.associated
        await store.write(operations.DeleteClient("acme", "ann"))
        assert [p.kind for p in await store.principals("acme", "ann")] == ["user"]

    database.run(scenario)


@pytest.mark.parametrize("size", [0, 5, 8192, 8193, 300_000])
def test_output_comes_back_byte_for_byte_and_equal_output_is_kept_once(
    database: Database, size: int
) -> None:
    content = bytes(range(256)) * (size // 256) + b"\xff\x00" * 1000
    content = content[:size]

    async def scenario(store: Store) -> None:
        await with_job(store, "a", "b", "c")
        for node in ("a", "b"):
            store.submit(operations.StoreOutput(job_id=JOB, node=node, stdout=content, stderr=b""))
        assert await store.output(JOB, "a", "stdout") == content
        assert await store.output(JOB, "b", "stdout") == content
        assert await store.output(JOB, "a", "stderr") == b""
        assert await store.output(JOB, "c", "stdout") is None
        assert [node.stdout_size for node in await store.job_nodes(JOB)] == [size, size, None]

    database.run(scenario)
    files = [path for path in database.root.rglob("*") if path.is_file()]
    assert len(files) == (1 if size > 8192 else 0)
    assert all(path.stat().st_mode & 0o077 == 0 for path in database.root.rglob("*"))


def test_chunks_may_be_repeated_and_make_one_output(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        path = store.incoming("a.stdout")
        for offset, data in ((0, b"x" * 9000), (9000, b"y" * 9000), (9000, b"y" * 9000)):
            store.submit(operations.AppendOutput(path, offset, data))
        store.submit(operations.StoreOutput(job_id=JOB, node="a", stdout=path, stderr=None))
        assert await store.output(JOB, "a", "stdout") == b"x" * 9000 + b"y" * 9000
        assert not path.exists()

    database.run(scenario)


def test_a_request_starts_one_job_and_is_found_again(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        store.submit(operations.InsertJob(job(request_id="r1"), []))
        assert await store.job_by_request("acme", "ann", "r1") == JOB
        assert await store.job_by_request("acme", "bob", "r1") is None
        assert await store.job_by_request("other", "ann", "r1") is None
        # Without a request id there may be any number.
        store.submit(operations.InsertJob(job("2" * 32), []))
        store.submit(operations.InsertJob(job("3" * 32), []))
        assert len(await store.jobs("acme")) == 3

    database.run(scenario)


def test_nodes_keep_their_attributes_and_events_their_order(database: Database) -> None:
    node = records.NodeRecord(
        org="acme", name="n", incarnation="i", curve_key="k", previous_curve_key="p",
        configured_at=5.5, extensions="adopt,output", created_at=1.0,
    )  # fmt: skip

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        await store.write(
            operations.CreateClient(org="acme", name="n", public_key="K", enrolls=True)
        )
        assert [known.name for known in await store.nodes("acme")] == ["n"]
        store.submit(operations.SaveNode(node), operations.SaveNode(node))
        assert await store.nodes() == [
            records.NodeRecord(**{**_fields(node), "created_at": 0.0})
        ], "the node was known since its enrolment"
        for feed, number in (("b", 2), ("a", 1), ("b", 1)):
            store.submit(operations.AppendEvent(feed, number, number * 10, b"data"))
        assert [(f, n) for f, n, _, _ in await store.feed_events()] == [
            ("a", 1), ("b", 1), ("b", 2),
        ]  # fmt: skip
        store.submit(operations.DropEvents("b", 2), operations.DropEvents("a", None))
        assert await store.feed_events() == [("b", 2, 20, b"data")]

    database.run(scenario)


def _fields(record: records.NodeRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


def test_late_results_and_the_audit_trail_are_kept(database: Database) -> None:
    line = records.AuditRecord(
        at=1.5, org="acme", actor="ann", action="job start", target=JOB, origin="127.0.0.1"
    )

    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        store.submit(changed("a", "crashed"), operations.LateResult(JOB, "a", "{}"))
        store.submit(operations.Audit(line))
        [node] = await store.job_nodes(JOB)
        assert (node.state, node.late_result) == ("crashed", "{}")
        assert await store.audit("acme") == [line]
        assert await store.audit("other") == []

    database.run(scenario)


def test_closing_commits_what_is_queued(database: Database) -> None:
    async def first(store: Store) -> None:
        await with_job(store, "a")
        store.submit(changed("a", "ready"))

    async def second(store: Store) -> str:
        return (await store.job_nodes(JOB))[0].state

    database.run(first)
    assert database.run(second) == "ready"


def test_a_lost_connection_is_told_and_got_over(database: Database) -> None:
    if not database.url.startswith("postgresql"):
        pytest.skip("SQLite has no connection to lose")

    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        await store.barrier()
        server, _, name = database.url.rpartition("/")
        with psycopg.connect(f"{server}/postgres", autocommit=True) as other:
            other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = %s AND pid <> pg_backend_pid()",
                [name],
            )
            store.submit(changed("a", "ready"))
            while store.healthy:
                await asyncio.sleep(0.01)
            with pytest.raises(StoreUnavailable):
                await store.barrier()
            with pytest.raises(StoreUnavailable):
                await store.write(operations.CreateGroup("acme", "g"))
            other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
        while not store.healthy:
            await asyncio.sleep(0.01)
        assert (await store.job_nodes(JOB))[0].state == "ready"

    database.run(scenario)
