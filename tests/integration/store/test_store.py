"""The store through its public interface, on both databases."""

import asyncio
from typing import Any

import pytest

from pushcli_server.store import CannotApply, Store, identity_reads, operations, reads, records
from tests.integration.store.conftest import Database
from tests.integration.store.writing import JOB, ORGS, changed, job, with_job

pytestmark = pytest.mark.timeout(60)


def test_a_job_and_its_nodes_are_read_as_they_were_written(database: Database) -> None:
    full = job(
        user="root", dir="/tmp", env='{"A": "b"}', capture=True, exact_env=True,
        batch="0f" * 16, request_id="r", voting_deadline=61.5, run_deadline=1e12 + 0.25,
    )  # fmt: skip

    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        store.submit(operations.InsertJob(full, [("b", "new"), ("a", "new")]))
        store.submit(changed("b", "running"))
        store.submit(changed("b", "failed", reason="exit code 3", exit_code=3, started_at=1.25))
        store.submit(changed("b", "failed"))
        assert await store.ask(reads.job, "acme", JOB) == full
        assert await store.ask(reads.job, "other", JOB) is None
        first, second = await store.ask(reads.job_nodes, "acme", JOB)
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
        [(org, job_id)] = await store.ask(reads.live_jobs)
        live = await store.ask(reads.live_job, store.root, org, job_id)
        assert live is not None
        assert (live.job.id, live.job.status, live.job.run_deadline) == (JOB, "running", 99.0)
        assert [(node.node, node.state) for node in live.nodes] == [("a", "ready")]
        assert live.file is None

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
        assert isinstance(results[0], CannotApply)
        assert results[1] is None
        assert not await store.ask(identity_reads.group_exists, "acme", "g"), (
            "all of a write or nothing"
        )
        assert await store.ask(identity_reads.group_exists, "acme", "h")
        assert (await store.ask(reads.job_nodes, "acme", JOB))[0].state == "ready"
        assert not store.refused

    database.run(scenario)


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
        assert await store.ask(identity_reads.is_member, "acme", "user", "ann", "top")
        assert await store.ask(identity_reads.is_member, "acme", "client", "bot", "top")
        assert not await store.ask(identity_reads.is_member, "acme", "client", "ann", "top")
        assert not await store.ask(identity_reads.is_member, "acme", "user", "nobody", "top")
        assert not await store.ask(identity_reads.is_member, "other", "user", "ann", "top")
        assert not await store.ask(identity_reads.is_member, "acme", "user", "ann", "missing")
        await store.write(operations.RemoveMember("acme", "middle", "group", "bottom"))
        assert not await store.ask(identity_reads.is_member, "acme", "user", "ann", "top")
        with pytest.raises(CannotApply):
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
        user, client = await store.ask(identity_reads.principals, "acme", "ann")
        assert (user.kind, user.associated, sorted(user.public_keys)) == (
            "user", True, ["K1", "new"],
        )  # fmt: skip
        assert (client.kind, client.public_keys) == ("client", ("K2",))
        [elsewhere] = await store.ask(identity_reads.principals, "other", "ann")
        assert not elsewhere.associated
        await store.write(operations.DeleteClient("acme", "ann"))
        assert [p.kind for p in await store.ask(identity_reads.principals, "acme", "ann")] == [
            "user"
        ]

    database.run(scenario)


def test_a_request_starts_one_job_and_is_found_again(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        store.submit(operations.InsertJob(job(request_id="r1"), []))
        assert await store.ask(reads.job_by_request, "acme", "ann", "r1") == JOB
        assert await store.ask(reads.job_by_request, "acme", "bob", "r1") is None
        assert await store.ask(reads.job_by_request, "other", "ann", "r1") is None
        # Without a request id there may be any number.
        store.submit(operations.InsertJob(job("2" * 32), []))
        store.submit(operations.InsertJob(job("3" * 32), []))
        assert len((await store.ask(reads.jobs, "acme"))[0]) == 3

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
        assert [known.name for known in await store.ask(reads.nodes, "acme")] == ["n"]
        store.submit(operations.SaveNode(node), operations.SaveNode(node))
        assert await store.ask(reads.nodes) == [
            records.NodeRecord(**{**_fields(node), "created_at": 0.0})
        ], "the node was known since its enrolment"
        for feed, number in (("b", 2), ("a", 1), ("b", 1)):
            store.submit(operations.AppendEvent(feed, number, number * 10, b"data"))
        assert [(f, n) for f, n, _, _ in await store.ask(reads.feed_events)] == [
            ("a", 1), ("b", 1), ("b", 2),
        ]  # fmt: skip
        store.submit(operations.DropEvents("b", 2), operations.DropEvents("a", None))
        assert await store.ask(reads.feed_events) == [("b", 2, 20, b"data")]

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
        [node] = await store.ask(reads.job_nodes, "acme", JOB)
        assert (node.state, node.late_result) == ("crashed", "{}")
        assert await store.ask(reads.audit, "acme") == [line]
        assert await store.ask(reads.audit, "other") == []

    database.run(scenario)


def test_closing_commits_what_is_queued(database: Database) -> None:
    async def first(store: Store) -> None:
        await with_job(store, "a")
        store.submit(changed("a", "ready"))

    async def second(store: Store) -> str:
        return (await store.ask(reads.job_nodes, "acme", JOB))[0].state

    database.run(first)
    assert database.run(second) == "ready"


def test_a_group_has_the_outcome_of_its_operations_in_order(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a", "b")
        await store.barrier()
        # One after the other without a turn of the loop: they go in a few groups.
        for round_ in range(50):
            store.submit(operations.AppendEvent("feed", 1, round_, b"x"))
            store.submit(changed("a", "ready", reason=str(round_)), changed("b", "ready"))
            store.submit(operations.DropEvents("feed", None))
            store.submit(changed("a", "running"), changed("b", "failed", exit_code=round_))
            store.submit(
                operations.UpdateJob(
                    job_id=JOB, status="running", updated_at=float(round_),
                    voting_deadline=None, run_deadline=None,
                )
            )  # fmt: skip
        store.submit(operations.AppendEvent("feed", 1, 50, b"last"))
        assert await store.ask(reads.feed_events) == [("feed", 1, 50, b"last")]
        a, b = await store.ask(reads.job_nodes, "acme", JOB)
        assert (a.state, a.reason) == ("running", "49")
        assert (b.state, b.exit_code, b.reason) == ("failed", 49, None)
        stored = await store.ask(reads.job, "acme", JOB)
        assert stored is not None
        assert stored.updated_at == 49.0

    database.run(scenario)
