"""Large content in PostgreSQL: others read it, and nothing is left of what nobody needs."""

import hashlib
import os
import shutil
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select

from pushcli_server.store import (
    Store,
    StoreUnavailable,
    blob_pieces,
    blobs,
    operations,
    output_reads,
    schema,
    snapshot,
)
from pushcli_server.store.blob_pieces import PIECE
from pushcli_server.store.database import make_engine
from pushcli_server.store.errors import CannotApply, DamagedContent
from tests.integration.store.conftest import ON_POSTGRESQL, Database
from tests.integration.store.test_away import behind_a_way, committing, until_done
from tests.integration.store.test_poison import execute
from tests.integration.store.writing import JOB, ORGS, job, kept_output, until_healthy, with_job
from tests.support.postgresql import away

pytestmark = [pytest.mark.timeout(60), ON_POSTGRESQL]
CONTENT = os.urandom(2 * PIECE + 1000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def stored(node: str, stdout: bytes | Path = CONTENT, job_id: str = JOB) -> operations.StoreOutput:
    return operations.StoreOutput(job_id=job_id, node=node, stdout=stdout, stderr=b"")


def ended(job_id: str) -> operations.UpdateJob:
    return operations.UpdateJob(
        job_id=job_id, status="complete", updated_at=1.0, voting_deadline=None, run_deadline=None
    )


def deleted(job_id: str) -> operations.DeleteOutput:
    return operations.DeleteOutput(jobs=[job_id], at=2.0, because="output_retention")


def files(database: Database) -> list[Path]:
    return [path for path in database.root.rglob("*") if path.is_file()]


def rows(database: Database) -> tuple[int, int]:
    """How many contents there are, and pieces."""
    engine = make_engine(database.url)
    try:
        with engine.connect() as connection:
            counts = [
                connection.scalar(select(func.count()).select_from(table)) or 0
                for table in (schema.blobs, schema.blob_pieces)
            ]
            return counts[0], counts[1]
    finally:
        engine.dispose()


def lies_in_a_file(database: Database, content: bytes, digest: str, pieces: int = 0) -> None:
    """As an earlier version kept it; or one that was killed when it had so many pieces."""
    path = blobs.path_of(database.root, digest)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    engine = make_engine(database.url)
    try:
        with engine.begin() as connection:
            connection.execute(insert(schema.blobs), {"digest": digest, "size": len(content)})
            for number in range(pieces):
                data = content[number * PIECE : (number + 1) * PIECE]
                row = {"digest": digest, "number": number, "data": data}
                connection.execute(insert(schema.blob_pieces), row)
    finally:
        engine.dispose()


@pytest.mark.parametrize("size", [8193, PIECE - 1, PIECE, PIECE + 1, 20 * PIECE + 7])
def test_another_machine_reads_it(database: Database, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)

    async def write(store: Store) -> None:
        await with_job(store, "a", "b")
        gathered = store.incoming("b.stdout")
        store.submit(stored("a", content), operations.AppendOutput(gathered, 0, content))
        store.submit(stored("b", gathered))
        await store.barrier()
        assert not gathered.exists()

    async def read(store: Store) -> None:
        for node in ("a", "b"):
            assert await kept_output(store, "acme", JOB, node, "stdout") == content

    database.run(write)
    assert files(database) == []
    Database(database.url, tmp_path / "another").run(read)


def test_any_part_of_it_is_read_as_it_was_written(database: Database) -> None:
    ends = (0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, len(CONTENT) - 1, len(CONTENT))

    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        store.submit(stored("a"))
        key = store.root, "acme", JOB
        content = await store.lists.ask(output_reads.output, *key, "a", "stdout")
        assert content is not None
        assert content.size == len(CONTENT)
        assert not content.is_short
        for start in ends:
            for end in ends:
                limit = end - start
                wanted = CONTENT[start : start + limit] if limit > 0 else b""
                assert await content.piece(start, limit) == wanted
                ask = store.lists.ask_of_files
                part = ("a", "stdout")
                assert await ask(output_reads.output_piece, *key, part, start, limit) == wanted
        # Beyond its end there is nothing.
        assert await content.piece(len(CONTENT) - 3, 10) == CONTENT[-3:]
        assert await content.piece(len(CONTENT) + 3, 10) == b""

    database.run(scenario)


def referred_to(database: Database, node: str) -> None:
    """As the result of a node's part, by an earlier version."""
    engine = make_engine(database.url)
    try:
        with engine.begin() as connection:
            table = schema.job_nodes
            connection.execute(
                table.update().where(table.c.node == node),
                {"stdout_digest": DIGEST, "stdout_size": len(CONTENT)},
            )
    finally:
        engine.dispose()


@pytest.mark.parametrize("pieces", [0, 1])
def test_what_lies_in_a_file_is_read_from_there_until_it_is_stored_again(
    database: Database, pieces: int
) -> None:
    """Also while some of its pieces are in the database."""
    lies_in_a_file(database, CONTENT, DIGEST, pieces)

    async def scenario(store: Store) -> None:
        await with_job(store, "a", "b")
        await store.barrier()
        referred_to(database, "a")
        await store.clear_leftovers()
        assert await kept_output(store, "acme", JOB, "a", "stdout") == CONTENT
        part = ("a", "stdout")
        ask = store.lists.ask_of_files
        assert (
            await ask(output_reads.output_piece, store.root, "acme", JOB, part, PIECE, 9)
            == CONTENT[PIECE : PIECE + 9]
        )
        assert len(files(database)) == 1
        store.submit(stored("b"))
        for node in ("a", "b"):
            assert await kept_output(store, "acme", JOB, node, "stdout") == CONTENT

    database.run(scenario)
    assert files(database) == []
    assert rows(database) == (2, 3)


@pytest.mark.parametrize("pieces", [0, 1, 2, 3])
def test_what_was_begun_before_a_kill_is_gone_on_with(database: Database, pieces: int) -> None:
    lies_in_a_file(database, CONTENT, DIGEST, pieces)

    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        store.submit(stored("a"))
        assert await kept_output(store, "acme", JOB, "a", "stdout") == CONTENT

    database.run(scenario)
    assert files(database) == []
    assert rows(database) == (2, 3)


def test_what_nothing_refers_to_any_more_goes_with_its_pieces(database: Database) -> None:
    other = "2" * 32

    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        store.submit(operations.InsertJob(job(other), [("a", "new")]))
        store.submit(stored("a"), stored("a", job_id=other))
        await store.barrier()
        assert rows(database) == (2, 3)
        for job_id, left in ((JOB, (2, 3)), (other, (1, 0))):
            await store.write(ended(job_id))
            await store.write(deleted(job_id))
            assert rows(database) == left

    database.run(scenario)


def test_nothing_is_left_of_what_was_refused(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a", "b")
        store.submit(stored("b", CONTENT[:20_000]))
        await store.barrier()
        with pytest.raises(CannotApply):
            await store.write(stored("a"), *ORGS)
        # Retention was faster.
        store.submit(stored("a", job_id="3" * 32))
        await store.barrier()
        assert await kept_output(store, "acme", JOB, "a", "stdout") is None
        # What others need stays.
        with pytest.raises(CannotApply):
            await store.write(stored("a", CONTENT[:20_000]), *ORGS)
        assert await kept_output(store, "acme", JOB, "b", "stdout") == CONTENT[:20_000]

    database.run(scenario)
    assert files(database) == []
    assert rows(database) == (2, 1)


@pytest.mark.parametrize("damage", ["", "gone", "cut"])
def test_a_database_that_is_away_is_waited_for(database: Database, damage: str) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        await store.barrier()
        with away(database.url):
            store.submit(stored("a"))
            await until_healthy(store, False)
            # By somebody else, meanwhile.
            file = blobs.path_of(database.root, DIGEST)
            if damage == "gone":
                shutil.rmtree(file.parent)
            elif damage == "cut":
                os.truncate(file, PIECE + 7)
        await until_healthy(store)
        if damage:
            with pytest.raises(DamagedContent, match=r"is missing|are left"):
                await kept_output(store, "acme", JOB, "a", "stdout")
        else:
            assert await kept_output(store, "acme", JOB, "a", "stdout") == CONTENT

    database.run(scenario)
    # Whoever looks into what happened finds what there is.
    assert len(files(database)) == (damage == "cut")
    assert rows(database)[1] == (0 if damage else 3)


def test_who_reads_what_is_deleted_meanwhile_is_told(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        store.submit(stored("a"))
        content = await store.ask(output_reads.output, store.root, "acme", JOB, "a", "stdout")
        assert content is not None
        assert await content.piece(0, 10) == CONTENT[:10]
        await store.write(ended(JOB))
        await store.write(deleted(JOB))
        with pytest.raises(DamagedContent, match=f"{PIECE} of {len(CONTENT)} bytes are left"):
            await content.piece(PIECE, 10)

    database.run(scenario)


def test_a_database_that_is_away_breaks_off_who_reads(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        store.submit(stored("a"))
        content = await store.ask(output_reads.output, store.root, "acme", JOB, "a", "stdout")
        assert content is not None
        with away(database.url), pytest.raises(StoreUnavailable):
            await content.piece(0, 10)
        assert await content.piece(0, 10) == CONTENT[:10]

    database.run(scenario)


@pytest.mark.parametrize(
    ("sizes", "transactions"), [([41 * PIECE], 3), ([9000] * 1000, 3), ([], 0)]
)
def test_a_few_mebibytes_go_in_one_transaction(
    database: Database, sizes: list[int], transactions: int
) -> None:
    """The lease is renewed between two of them, and each takes its time, however small."""
    sizes_of: dict[str, int] = {}
    for number, size in enumerate(sizes):
        content = number.to_bytes(4, "big") * (size // 4)
        digest = hashlib.sha256(content).hexdigest()
        sizes_of[digest] = len(content)
        path = blobs.path_of(database.root, digest)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    begun: list[Connection] = []
    engine = make_engine(database.url)
    try:
        blob_pieces.bring(engine, sizes_of, database.root, begun.append)
        with engine.connect() as connection:
            assert blob_pieces.complete(connection, sizes_of) == sizes_of.keys()
    finally:
        engine.dispose()
    # One to see what is there.
    assert len(begun) == 1 + transactions


@pytest.mark.parametrize("brought_before", [False, True])
@pytest.mark.parametrize("how", ["output", "jobs", "all"])
def test_what_is_dropped_and_stored_again_in_one_transaction_is_there(
    database: Database, how: str, brought_before: bool
) -> None:
    gone: Any = {
        "output": deleted(JOB), "jobs": operations.DeleteJobs([JOB]),
        "all": operations.DropUnusedBlobs(),
    }[how]  # fmt: skip
    other = "2" * 32

    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        store.submit(operations.InsertJob(job(other), [("a", "new")]), stored("a"), ended(JOB))
        await store.barrier()
        if not brought_before:
            execute(database, "DELETE FROM blob_pieces")
        store.submit(gone, stored("a", job_id=other))
        assert await kept_output(store, "acme", other, "a", "stdout") == CONTENT

    database.run(scenario)
    assert files(database) == []
    assert rows(database)[1] == 3


@pytest.mark.parametrize("damage", ["cut", "garbage beyond its end"])
def test_a_file_in_the_way_that_is_not_whole_makes_place(database: Database, damage: str) -> None:
    """Of an earlier run: what comes now is whole."""
    path = blobs.path_of(database.root, DIGEST)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(CONTENT[:-1] if damage == "cut" else CONTENT + b"x")

    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        store.submit(stored("a"))
        assert await kept_output(store, "acme", JOB, "a", "stdout") == CONTENT

    database.run(scenario)
    assert files(database) == []


def test_what_cannot_be_read_stops_nobody(database: Database) -> None:
    path = blobs.path_of(database.root, DIGEST)

    async def scenario(store: Store) -> None:
        await with_job(store, "a", "b")
        await store.barrier()
        with away(database.url):
            store.submit(stored("a"))
            await until_healthy(store, False)
            path.unlink()
            path.mkdir()
        await until_healthy(store)
        store.submit(stored("b", b"y" * 20_000))
        assert await kept_output(store, "acme", JOB, "b", "stdout") == b"y" * 20_000

    database.run(scenario)


def test_a_server_that_begins_clears_what_one_before_it_had_half_done(database: Database) -> None:
    """It was killed when the content was there, and its result was not, or its file still was."""
    other = os.urandom(20_000)
    lies_in_a_file(database, CONTENT, DIGEST, pieces=1)

    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        store.submit(stored("a", other))
        await store.barrier()
        digest = hashlib.sha256(other).hexdigest()
        lies = blobs.path_of(database.root, digest)
        lies.parent.mkdir(exist_ok=True)
        lies.write_bytes(other)
        assert rows(database) == (3, 2)
        await store.clear_leftovers()
        assert not lies.exists()
        assert await kept_output(store, "acme", JOB, "a", "stdout") == other

    database.run(scenario)
    assert rows(database) == (2, 1)
    assert files(database) == []


def test_a_file_that_the_database_does_not_know_stays(database: Database) -> None:
    """It may be what another one refers to."""
    path = blobs.path_of(database.root, DIGEST)
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    database.run(lambda store: store.clear_leftovers())
    assert files(database) == [path]


def test_nothing_is_left_of_what_was_begun_and_given_up(database: Database) -> None:
    """The connection breaks while content is brought; whoever waits for it is told so."""
    with behind_a_way(database) as (way, behind):

        async def scenario(store: Store) -> None:
            await with_job(store, "a")
            await store.barrier()
            commits = count(1)
            way.break_after = lambda data: committing(data) and next(commits) == 2
            with pytest.raises(StoreUnavailable):
                await store.write(stored("a", os.urandom(20 * PIECE)))
            await until_done(store)
            await store.write(operations.CreateGroup("acme", "g"))

        behind.run(scenario)
    assert files(database) == []
    assert rows(database) == (0, 0)


def test_what_is_not_what_it_is_called_is_not_copied(database: Database) -> None:
    good, bad = (hashlib.sha256(data).hexdigest() for data in (CONTENT, b"x"))
    lies_in_a_file(database, CONTENT, good)
    lies_in_a_file(database, CONTENT, bad)
    contents = {good: len(CONTENT), bad: len(CONTENT), "0" * 64: 3}
    engine = make_engine(database.url)
    try:
        with engine.begin() as connection:
            blob_pieces.bring_now(connection, contents, database.root)
            assert blob_pieces.complete(connection, contents) == {good}
    finally:
        engine.dispose()


def test_what_nothing_refers_to_is_missed_by_no_backup(database: Database, tmp_path: Path) -> None:
    lies_in_a_file(database, CONTENT, DIGEST, pieces=1)

    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        store.submit(stored("a", os.urandom(20_000)))
        await store.barrier()

    database.run(scenario)
    snapshot.save(database.url, tmp_path / "snapshot.db")
    assert snapshot.files(tmp_path / "snapshot.db") == {}
    assert snapshot.damaged(tmp_path / "snapshot.db") is None


def test_a_content_that_is_another_in_a_snapshot_is_found(
    database: Database, tmp_path: Path
) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        store.submit(stored("a"))
        await store.barrier()

    database.run(scenario)
    execute(database, "UPDATE blob_pieces SET data = 'x' || substr(data, 2) WHERE number = 1")
    snapshot.save(database.url, tmp_path / "snapshot.db")
    assert snapshot.damaged(tmp_path / "snapshot.db") == DIGEST
