"""Output: whole, kept once, and gathered from chunks whatever comes in between."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from pushcli_server.store import Store, operations, reads, tails
from pushcli_server.store.records import JobNodeRecord
from tests.integration.store.conftest import Database
from tests.integration.store.writing import (
    JOB,
    kept_output,
    kept_output_of,
    until_healthy,
    with_job,
)

pytestmark = pytest.mark.timeout(60)


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
        assert await kept_output(store, "acme", JOB, "a", "stdout") == content
        assert await kept_output(store, "acme", JOB, "b", "stdout") == content
        assert await kept_output(store, "acme", JOB, "a", "stderr") == b""
        assert await kept_output(store, "acme", JOB, "c", "stdout") is None
        assert [node.stdout_size for node in await store.ask(reads.job_nodes, "acme", JOB)] == [
            size,
            size,
            None,
        ]

    database.run(scenario)
    assert database.large() == (1 if size > 8192 else 0)
    assert all(path.stat().st_mode & 0o077 == 0 for path in database.root.rglob("*"))


def test_what_a_job_of_another_organization_wrote_is_not_there(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        store.submit(operations.StoreOutput(job_id=JOB, node="a", stdout=b"secret", stderr=b""))
        assert await kept_output(store, "acme", JOB, "a", "stdout") == b"secret"
        assert await kept_output(store, "other", JOB, "a", "stdout") is None
        digest = hashlib.sha256(b"secret").hexdigest()
        for place, found in {
            ("acme", JOB): b"secret",
            ("other", JOB): None,
            ("acme", "f" * 32): None,
        }.items():
            assert await kept_output_of(store, *place, digest) == found
        assert await store.ask(reads.job_nodes, "other", JOB) == []
        assert await store.ask(reads.job_node, "other", JOB, "a") is None
        assert await store.ask(reads.job_node, "acme", JOB, "a") is not None

    database.run(scenario)


def test_chunks_may_be_repeated_and_make_one_output(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        path = store.incoming("a.stdout")
        for offset, data in ((0, b"x" * 9000), (9000, b"y" * 9000), (9000, b"y" * 9000)):
            store.submit(operations.AppendOutput(path, offset, data))
        store.submit(operations.StoreOutput(job_id=JOB, node="a", stdout=path, stderr=None))
        assert await kept_output(store, "acme", JOB, "a", "stdout") == b"x" * 9000 + b"y" * 9000
        assert not path.exists()

    database.run(scenario)


def test_what_is_missing_is_kept_with_the_output_and_what_is_unknown_leaves_it(
    database: Database,
) -> None:
    async def parts(store: Store) -> dict[str, JobNodeRecord]:
        return {part.node: part for part in await store.ask(reads.job_nodes, "acme", JOB)}

    async def scenario(store: Store) -> None:
        await with_job(store, "a", "b", "c")
        path, gone = store.incoming("a.stdout"), store.incoming("b.stdout")
        store.submit(operations.AppendOutput(path, 0, b"abc"))
        store.submit(
            operations.StoreOutput(
                job_id=JOB, node="a", stdout=path, stderr=b"", stdout_size=5, stdout_dropped=2
            ),
            operations.StoreOutput(job_id=JOB, node="b", stdout=gone, stderr=None, stdout_size=7),
            operations.LateResult(JOB, "b", "{}", partial=True),
        )
        found = await parts(store)
        assert (found["a"].stdout_size, found["a"].stdout_dropped) == (3, 4)
        assert found["a"].stderr_dropped == 0
        assert (found["b"].stdout_size, found["b"].stdout_dropped) == (None, 7)
        assert (found["b"].partial, found["c"].partial) == (True, None)
        store.submit(operations.StoreOutput(job_id=JOB, node="a", stdout=None, stderr=b"x"))
        store.submit(operations.StoreOutput(job_id=JOB, node="b", stdout=b"whole", stderr=b""))
        found = await parts(store)
        assert (found["a"].stdout_size, found["a"].stdout_dropped) == (3, 4)
        assert (found["b"].stdout_size, found["b"].stdout_dropped) == (5, 0)

    database.run(scenario)


def stored(node: str, stdout: object = None, stderr: object = None) -> operations.StoreOutput:
    return operations.StoreOutput(job_id=JOB, node=node, stdout=stdout, stderr=stderr)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chunks", "whole"),
    [
        ([(0, b"abc"), (3, b"def")], b"abcdef"),
        ([(0, b"abc"), (0, b"abc"), (3, b"def"), (3, b"def")], b"abcdef"),
        ([(0, b"abcd"), (2, b"cdef")], b"abcdef"),
        ([(0, b"abcdef"), (1, b"bc")], b"abcdef"),
        ([(0, b"abc"), (2, b"XYZ")], b"abcYZ"),
        ([(0, b"abc"), (9, b"lost in between"), (3, b"def")], b"abcdef"),
        ([(5, b"the beginning is missing")], b""),
        ([(0, b"")], b""),
    ],
)
def test_chunks_make_a_whole_beginning(
    database: Database, chunks: list[tuple[int, bytes]], whole: bytes
) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        path = store.incoming("a.stdout")
        for offset, data in chunks:
            store.submit(operations.AppendOutput(path, offset, data))
        await store.barrier()
        assert path.read_bytes() == whole
        store.submit(stored("a", path))
        assert await kept_output(store, "acme", JOB, "a", "stdout") == whole
        assert not path.exists()

    database.run(scenario)


def test_a_file_that_lost_its_end_in_a_crash_is_gathered_on(database: Database) -> None:
    content = os.urandom(30_000)

    async def before(store: Store) -> None:
        await with_job(store, "a")
        path = store.incoming("a.stdout")
        store.submit(operations.AppendOutput(path, 0, content[:20_000]))
        await store.barrier()
        os.truncate(path, 15_000)

    async def after(store: Store) -> None:
        path = store.incoming("a.stdout")
        # Sent before it was known what is held, and again from there.
        store.submit(operations.AppendOutput(path, 20_000, content[20_000:]))
        await store.barrier()
        assert path.stat().st_size == 15_000
        store.submit(operations.AppendOutput(path, 15_000, content[15_000:]))
        store.submit(stored("a", path))
        assert await kept_output(store, "acme", JOB, "a", "stdout") == content

    database.run(before)
    database.run(after)


def test_a_result_that_comes_again_takes_nothing_away(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        path = store.incoming("a.stdout")
        store.submit(operations.AppendOutput(path, 0, b"x" * 9000))
        again = stored("a", path, b"err")
        store.submit(again, again)
        await store.barrier()
        store.submit(stored("a", path))
        assert await kept_output(store, "acme", JOB, "a", "stdout") == b"x" * 9000
        assert await kept_output(store, "acme", JOB, "a", "stderr") == b"err"

    database.run(scenario)


def test_a_gathered_file_may_hold_what_is_known_already(database: Database) -> None:
    async def scenario(store: Store) -> None:
        await with_job(store, "a", "b")
        for node in ("a", "b"):
            path = store.incoming(f"{node}.stdout")
            store.submit(operations.AppendOutput(path, 0, b"x" * 9000), stored(node, path))
            assert await kept_output(store, "acme", JOB, node, "stdout") == b"x" * 9000
            assert not path.exists()

    database.run(scenario)
    assert database.large() == 1


def test_a_disk_that_fails_is_waited_for_and_nothing_is_done_twice(database: Database) -> None:
    first, second = b"x" * 10_000, b"y" * 10_000

    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        paths = store.incoming("a.stdout"), store.incoming("a.stderr")
        for path, content in zip(paths, (first, second), strict=True):
            store.submit(operations.AppendOutput(path, 0, content[:4000]))
        await store.barrier()
        in_the_way = database.root / hashlib.sha256(second).hexdigest()[:2]
        in_the_way.write_bytes(b"")
        for path, content in zip(paths, (first, second), strict=True):
            store.submit(operations.AppendOutput(path, 4000, content[4000:]))
        store.submit(stored("a", *paths))
        await until_healthy(store, False)
        in_the_way.unlink()
        await until_healthy(store)
        assert await kept_output(store, "acme", JOB, "a", "stdout") == first
        assert await kept_output(store, "acme", JOB, "a", "stderr") == second

    database.run(scenario)


def test_what_agents_gave_up_is_cleared_when_the_store_opens(database: Database) -> None:
    incoming = database.root / "incoming"
    old, young = incoming / "old", incoming / "young"
    for path, days in ((old, 8), (young, 6)):
        path.write_bytes(b"x")
        moment = time.time() - days * 86400
        os.utime(path, (moment, moment))
    Store.open(database.url, database.root).dispose()
    assert not old.exists()
    assert young.exists()


# --- the end of an output, beside its beginning


def gathered(store: Store, kept: int, data: bytes, end: bytes) -> tuple[Path, Path]:
    """A beginning and an end; of the beginning `kept` bytes are to stay."""
    path = store.incoming(f"{JOB}.a.stdout")
    tail = tails.tail_of(path)
    store.submit(operations.AppendOutput(path, 0, data))
    store.submit(operations.AppendOutput(tail, 0, tails.head(kept), cut=True))
    for at, byte in enumerate(end):
        store.submit(operations.AppendOutput(tail, tails.HEAD + at, bytes([byte])))
    return path, tail


@pytest.mark.parametrize("size", [0, 5, 9000])
def test_the_end_is_joined_to_the_beginning(database: Database, size: int) -> None:
    beginning, mark, end = b"b" * size, b"\n... 7 bytes left out ...\n", b"the end"

    async def scenario(store: Store) -> None:
        await with_job(store, "a")
        path, tail = gathered(store, size, beginning, end)
        store.submit(
            operations.JoinTail(path, size, mark, tail),
            operations.StoreOutput(
                job_id=JOB, node="a", stdout=path, stderr=b"", stdout_dropped=7,
                stdout_cut_at=size, stdout_size=len(beginning + mark + end),
            ),
        )  # fmt: skip
        found = await kept_output(store, "acme", JOB, "a", "stdout")
        assert found == beginning + mark + end
        [part] = await store.ask(reads.job_nodes, "acme", JOB)
        assert (part.stdout_dropped, part.stdout_cut_at, part.stderr_cut_at) == (7, size, None)
        assert list((store.root / "incoming").iterdir()) == []

    database.run(scenario)


@pytest.mark.parametrize("joined", [False, True])
def test_an_end_that_was_not_stored_is_begun_again_after_a_restart(
    database: Database, joined: bool
) -> None:
    async def gather(store: Store) -> None:
        await with_job(store, "a")
        path, tail = gathered(store, 9, b"beginning", b"the end")
        await store.barrier()
        if joined:
            # Killed between the file system and the commit.
            tails.join(path, 9, b"\n... 3 bytes left out ...\n", tail)

    async def look(store: Store) -> None:
        # Whoever opens it beside a server that works leaves all as it is.
        assert tails.tail_of(store.incoming(f"{JOB}.a.stdout")).exists()
        store.recover()
        assert {path.name: path.read_bytes() for path in (store.root / "incoming").iterdir()} == {
            f"{JOB}.a.stdout": b"beginning"
        }

    database.run(gather)
    database.run(look)


def test_an_end_whose_beginning_nobody_knows_the_length_of_begins_with_it(
    database: Database,
) -> None:
    async def gather(store: Store) -> None:
        path = store.incoming(f"{JOB}.a.stdout")
        path.write_bytes(b"beginning and what not")
        tails.tail_of(path).write_bytes(b"0000")
        store.incoming(f"{JOB}.b.stdout.tail").write_bytes(tails.head(3) + b"x")

    async def look(store: Store) -> None:
        store.recover()
        found = {path.name: path.read_bytes() for path in (store.root / "incoming").iterdir()}
        assert found == {f"{JOB}.a.stdout": b""}

    database.run(gather)
    database.run(look)


def test_a_beginning_that_lost_some_does_not_get_zeros_instead(database: Database) -> None:
    async def gather(store: Store) -> None:
        path = store.incoming(f"{JOB}.a.stdout")
        path.write_bytes(b"be")
        tails.tail_of(path).write_bytes(tails.head(9) + b"end")

    async def look(store: Store) -> None:
        store.recover()
        assert store.incoming(f"{JOB}.a.stdout").read_bytes() == b"be"

    database.run(gather)
    database.run(look)


def test_what_is_joined_again_is_as_before(tmp_path: Path) -> None:
    path = tmp_path / "stdout"
    path.write_bytes(b"beginning")
    tails.tail_of(path).write_bytes(tails.head(9) + b"end")
    for _ in range(2):
        tails.join(path, 9, b"|", tails.tail_of(path))
        assert path.read_bytes() == b"beginning|end"
