"""Large content in the database, in pieces: with PostgreSQL every server can read it there."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.dialects import postgresql

from pushcli_server.store import blobs, schema
from pushcli_server.store.bulk import insert_rows

PIECE = 262_144
"""Bytes of each piece but the last; what is stored is read by it."""
AT_ONCE = 4 * 2**20
"""Bytes in one transaction, about: the server's lease is renewed between two of them."""
_DIGESTS = 500
"""In one statement."""
_log = logging.getLogger(__name__)
_Row = dict[str, object]


def bring(
    engine: Engine,
    contents: Mapping[str, int],
    root: Path,
    require: Callable[[Connection], None],
) -> None:
    """Have content of files in the database, in small transactions; may be done again.

    What cannot be read is left where it lies, with a line in the log.

    Args:
        contents: the size of each, by digest.
        root: where the files lie.
        require: raises, within each transaction, if nothing may be written.
    """
    rows = [(digest, size, None) for digest, size in contents.items()]
    with engine.begin() as connection:
        require(connection)
        insert_rows(connection, schema.blobs, blobs.Blob._fields, rows, ignore=True)
        held = held_of(connection, contents)
    for some in _portions(_left(contents, held, root)):
        with engine.begin() as connection:
            require(connection)
            _insert(connection, some)


def bring_now(connection: Connection, contents: Mapping[str, int], root: Path) -> None:
    """The same for content that has its row, within one transaction; what is another is left."""
    held = held_of(connection, contents)
    whole = {
        digest: size
        for digest, size in contents.items()
        if _is_what_it_is_called(blobs.path_of(root, digest), digest)
    }
    for some in _portions(_left(whole, held, root)):
        _insert(connection, some)


def held_of(connection: Connection, digests: Iterable[str]) -> dict[str, tuple[int, int]]:
    """How many pieces of these there are, and bytes in them; they begin with the first."""
    table, wanted = schema.blob_pieces, list(digests)
    found: dict[str, tuple[int, int]] = {}
    for start in range(0, len(wanted), _DIGESTS):
        query = (
            select(table.c.digest, func.count(), func.sum(func.length(table.c.data)))
            .where(table.c.digest.in_(wanted[start : start + _DIGESTS]))
            .group_by(table.c.digest)
        )
        for digest, count, size in connection.execute(query):
            found[digest] = int(count), int(size)
    return found


def complete(connection: Connection, contents: Mapping[str, int]) -> set[str]:
    """Those of these contents which the database has all of, rather than a file."""
    held = held_of(connection, contents)
    return {digest for digest, (_, size) in held.items() if size == contents[digest]}


def is_complete(connection: Connection, digest: str, size: int) -> bool:
    """Whether it has all of this one."""
    return bool(complete(connection, {digest: size}))


def read(connection: Connection, digest: str, number: int) -> bytes:
    """A piece; nothing where there is none."""
    table = schema.blob_pieces
    piece = select(table.c.data).where(table.c.digest == digest, table.c.number == number)
    return bytes(connection.scalar(piece) or b"")


def read_some(connection: Connection, digest: str, offset: int, limit: int) -> bytes:
    """At most `limit` bytes from there on."""
    return across(lambda number: read(connection, digest, number), offset, limit)


def across(piece: Callable[[int], bytes], offset: int, limit: int) -> bytes:
    """Bytes that may lie in several pieces; those before one that is missing.

    Args:
        piece: of this number; nothing where there is none.
    """
    found = b""
    while len(found) < limit:
        number, start = divmod(offset + len(found), PIECE)
        some = piece(number)[start : start + limit - len(found)]
        if not some:
            break
        found += some
    return found


def _is_what_it_is_called(file: Path, digest: str) -> bool:
    try:
        return blobs.digest_of(file)[0] == digest
    except OSError as error:
        _log.warning("an output stays in its file: %s: %s", file, error.strerror)
        return False


def _left(
    contents: Mapping[str, int], held: Mapping[str, tuple[int, int]], root: Path
) -> Iterator[_Row]:
    """The pieces that are missing, of files that are what they should be."""
    for digest, size in contents.items():
        count, there = held.get(digest, (0, 0))
        if there == size:
            continue
        path = blobs.path_of(root, digest)
        try:
            yield from _pieces(path, digest, size, count)
        except OSError as error:
            _log.warning("an output stays in its file: %s: %s", path, error.strerror)


def _pieces(path: Path, digest: str, size: int, first: int) -> Iterator[_Row]:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size != size:
            _log.warning("an output stays in its file: %s is not whole", path)
            return
        file.seek(first * PIECE)
        while data := file.read(PIECE):
            yield {"digest": digest, "number": first, "data": data}
            first += 1


def _portions(rows: Iterator[_Row]) -> Iterator[list[_Row]]:
    some, size = list[_Row](), 0
    for row in rows:
        some.append(row)
        size += len(row["data"])  # type: ignore[arg-type]
        if size >= AT_ONCE:
            yield some
            some, size = [], 0
    if some:
        yield some


def _insert(connection: Connection, rows: list[_Row]) -> None:
    # One by one, pipelined: bytes in an array take ten times as long on their way.
    connection.execute(postgresql.insert(schema.blob_pieces).on_conflict_do_nothing(), rows)
