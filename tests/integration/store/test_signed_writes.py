"""What becomes of a signed write when the database does not answer."""

import asyncio
import contextlib

import pytest

from pushcli_server import signed_writes
from pushcli_server.core.identity import Requestor
from pushcli_server.core.replays import Replays, Signature, Verdict
from pushcli_server.signed_writes import Attempt, SignedWrites
from pushcli_server.store import (
    CannotApply,
    Store,
    StoreUnavailable,
    identity_reads,
    operations,
    signatures,
)
from tests.integration.store.conftest import Database
from tests.support.waiting import patient

NOW = 1000.0
SIGNED = Signature(Requestor("user", "", "ann"), b"s" * 32, NOW)
JOB = "1" * 32


async def opened(store: Store) -> SignedWrites:
    return await signed_writes.load(store, Replays(), lambda: NOW)


async def verdict(writes: SignedWrites, at: float) -> Verdict | None:
    """Of an equal request; None: it may be carried out, and fails."""
    with contextlib.suppress(CannotApply):
        async with writes.once(SIGNED, at) as attempt:
            if isinstance(attempt, Attempt):
                await attempt.write(operations.DeleteGroup("acme", "nosuch"))
            else:
                return attempt
    return None


async def lose(writes: SignedWrites, store: Store, *queued: operations.Operation) -> None:
    """The database goes away while a write waits for it."""
    async with writes.once(SIGNED, NOW):
        store.submit(*queued)
        raise StoreUnavailable


def test_what_was_queued_when_the_database_went_away_is_not_done_again(database: Database) -> None:
    async def scenario(store: Store) -> None:
        writes = await opened(store)
        made = operations.CreateOrganization("acme")
        with pytest.raises(StoreUnavailable):
            await lose(writes, store, made, operations.RememberSignature(SIGNED, NOW, JOB))
        assert await verdict(writes, NOW + 5) is Verdict.CARRIED_OUT
        assert writes.job(SIGNED) == JOB
        assert await store.ask(identity_reads.organizations) == ["acme"]

    database.run(scenario)


def test_what_never_came_to_the_database_may_come_again(database: Database) -> None:
    async def scenario(store: Store) -> None:
        writes = await opened(store)
        with pytest.raises(StoreUnavailable):
            await lose(writes, store)
        assert await verdict(writes, NOW + 5) is None

    database.run(scenario)


def test_who_repeats_what_is_under_way_hears_of_its_end(database: Database) -> None:
    async def scenario(store: Store) -> None:
        writes = await opened(store)
        async with writes.once(SIGNED, NOW) as attempt:
            assert isinstance(attempt, Attempt)
            waiting = [asyncio.create_task(verdict(writes, NOW + 2)) for _ in range(3)]
            await asyncio.sleep(0.05)
            assert not any(task.done() for task in waiting)
            await attempt.write(operations.CreateOrganization("acme"))
        assert await asyncio.gather(*waiting) == [Verdict.CARRIED_OUT] * 3

    database.run(scenario)


def test_a_success_without_a_change_is_remembered_too(database: Database) -> None:
    async def scenario(store: Store) -> None:
        writes = await opened(store)
        async with writes.once(SIGNED, NOW):
            pass
        assert await store.ask(signatures.find, SIGNED.digest) is not None
        assert await verdict(await opened(store), NOW + 5) is Verdict.CARRIED_OUT

    database.run(scenario)


def test_what_a_request_took_from_the_window_is_not_read_again(database: Database) -> None:
    async def scenario(store: Store) -> None:
        later = await signed_writes.load(store, Replays(), lambda: NOW + 900)
        store.submit(operations.RememberSignature(SIGNED, NOW, JOB))
        assert await verdict(later, NOW + 900) is None
        assert await store.ask(signatures.find, SIGNED.digest) is None

    database.run(scenario)


def test_what_left_the_window_is_forgotten_again_and_again(database: Database) -> None:
    async def scenario(store: Store) -> None:
        replays, now = Replays(), NOW
        writes = await signed_writes.load(store, replays, lambda: now)
        for number in range(3):
            one = Signature(SIGNED.requestor, bytes([number]) * 32, now)
            async with writes.once(one, now):
                pass
            assert len(replays) == 1
            assert len(await store.ask(signatures.since, 0.0)) == 1
            now += 901

    database.run(scenario)


def test_who_repeats_what_was_cancelled_is_not_kept_waiting(database: Database) -> None:
    async def scenario(store: Store) -> None:
        writes = await opened(store)

        async def endless() -> None:
            async with writes.once(SIGNED, NOW):
                await asyncio.Event().wait()

        task = asyncio.create_task(endless())
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(patient(2)):
            assert await verdict(writes, NOW + 5) is None

    database.run(scenario)
