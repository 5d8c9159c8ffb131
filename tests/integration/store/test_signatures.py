"""Signatures of what was carried out, in the database."""

import pytest

from pushcli_server.core.identity import Requestor
from pushcli_server.core.replays import Signature
from pushcli_server.store import CannotApply, Store, identity_reads, operations, signatures
from tests.integration.store.conftest import Database
from tests.integration.store.writing import ORGS

ANN = Requestor("user", "", "ann")
JOB = "1" * 32


def signature(number: int, signed_at: float = 100.0, by: Requestor = ANN) -> Signature:
    return Signature(by, number.to_bytes(32, "big"), signed_at)


def remember(
    number: int, signed_at: float = 100.0, job_id: str | None = None
) -> operations.Operation:
    return operations.RememberSignature(signature(number, signed_at), 99.5, job_id)


def test_a_signature_is_kept_with_what_belongs_to_it(database: Database) -> None:
    by = Requestor("client", "acme", "n" * 255)

    async def scenario(store: Store) -> None:
        store.submit(operations.RememberSignature(signature(1, 100.25, by), 99.5, JOB), remember(2))
        found = await store.ask(signatures.find, signature(1).digest)
        assert found == signatures.Remembered(signature(1, 100.25, by), 99.5, JOB)
        assert await store.ask(signatures.find, signature(3).digest) is None
        assert [one.signature for one in await store.ask(signatures.since, 0.0)] == [
            signature(2), signature(1, 100.25, by),
        ]  # fmt: skip

    database.run(scenario)


def test_of_equal_requests_the_first_is_kept(database: Database) -> None:
    async def scenario(store: Store) -> None:
        store.submit(remember(1, job_id=JOB), remember(1, job_id="2" * 32))
        await store.write(remember(1, job_id="3" * 32))
        found = await store.ask(signatures.find, signature(1).digest)
        assert found is not None
        assert found.job_id == JOB

    database.run(scenario)


def test_a_write_that_is_refused_leaves_no_signature(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await store.write(*ORGS)
        with pytest.raises(CannotApply):
            await store.write(operations.CreateOrganization("acme"), remember(1))
        await store.write(operations.CreateOrganization("third"), remember(2))
        assert await store.ask(signatures.find, signature(1).digest) is None
        assert await store.ask(signatures.find, signature(2).digest) is not None
        assert "third" in await store.ask(identity_reads.organizations)

    database.run(scenario)


def test_what_is_too_old_goes(database: Database) -> None:
    async def scenario(store: Store) -> None:
        store.submit(*(remember(number, 100.0 + number) for number in range(5)))
        store.submit(operations.ForgetSignatures(signed_before=101.0), remember(9, 50.0))
        store.submit(operations.ForgetSignatures(signed_before=102.0))
        left = await store.ask(signatures.since, 0.0)
        assert [one.signature.signed_at for one in left] == [103.0, 104.0]
        assert await store.ask(signatures.since, 103.0) == left[1:]

    database.run(scenario)
