"""Output, kept once however often it occurs: small in a table, large in files by digest."""

import hashlib
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import Connection, select

from pushcli_server.store import schema

INLINE = 8192
"""Bytes up to which the table holds it: a file would cost an fsync of its own."""
ABANDONED = 7 * 86400.0
"""Seconds after which a gathered file that nobody adds to is forgotten."""


_NAME = re.compile(r"[0-9a-f]{64}")
_CHUNK = 500
"""Digests in one statement."""


class Blob(NamedTuple):
    """Kept content: SHA-256 (hex), size in bytes, and the bytes where they are few."""

    digest: str
    size: int
    data: bytes | None


def prepare(root: Path) -> None:
    """Make the directories, and clear what agents gave up to deliver.

    An agent that does come back with it is told that nothing is held, and sends it again.
    """
    incoming = root / "incoming"
    for directory in (root, incoming):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    oldest = time.time() - ABANDONED
    for path in incoming.iterdir():
        if path.stat().st_mtime < oldest:
            path.unlink()


def digest_of(content: bytes | Path) -> tuple[str, int]:
    """SHA-256 (hex) and size in bytes."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest(), len(content)
    with content.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()


def path_of(root: Path, digest: str) -> Path:
    """Where the file of this digest lies."""
    return root / digest[:2] / digest[2:]


def keep(root: Path, content: bytes | Path) -> Blob:
    """Have the content; a file is taken away. Large content then lies under its digest.

    The content is on the disk when this returns, its name after `sync_directories` only.
    """
    digest, size = digest_of(content)
    if size > INLINE:
        _place(path_of(root, digest), size, content, root)
        return Blob(digest, size, None)
    if isinstance(content, bytes):
        return Blob(digest, size, content)
    data = content.read_bytes()
    content.unlink()
    return Blob(digest, size, data)


def known(connection: Connection, digests: Iterable[str]) -> set[str]:
    """Those of these digests that the table has."""
    return set(sizes(connection, digests))


def sizes(connection: Connection, digests: Iterable[str]) -> dict[str, int]:
    """The same, with their sizes in bytes."""
    table, wanted = schema.blobs, list(digests)
    found: dict[str, int] = {}
    for start in range(0, len(wanted), _CHUNK):
        some = table.c.digest.in_(wanted[start : start + _CHUNK])
        rows = connection.execute(select(table.c.digest, table.c.size).where(some))
        found |= {row.digest: row.size for row in rows}
    return found


def lying(root: Path) -> list[str]:
    """The digests of all files."""
    found = (f"{path.parent.name}{path.name}" for path in root.glob("??/*"))
    return sorted(filter(_NAME.fullmatch, found))


def sync_directories(root: Path, blobs: set[str]) -> None:
    """Have the names of these digests' files on the disk."""
    parents = {path_of(root, digest).parent for digest in blobs}
    for directory in parents | ({root} if parents else set()):
        _sync(directory)


def read_piece(path: Path, offset: int, limit: int) -> bytes:
    """At most `limit` bytes of a file.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        return os.pread(descriptor, limit, offset)
    finally:
        os.close(descriptor)


def append(path: Path, offset: int, data: bytes, *, cut: bool = False) -> None:
    """Add what is new of a chunk. One that starts beyond the end is ignored.

    So chunks may come twice, overlap, or go on after some were lost, and the file is always
    a whole beginning of the output.

    Args:
        cut: what is there from `offset` on goes first.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        held = os.fstat(descriptor).st_size
        if cut and offset < held:
            os.ftruncate(descriptor, offset)
            held = offset
        while offset <= held < offset + len(data):
            # A disk that fills up takes a part: the next try says so, or goes on from there.
            held += os.pwrite(descriptor, data[held - offset :], held)
    finally:
        os.close(descriptor)


def _place(target: Path, size: int, content: bytes | Path, root: Path) -> None:
    # One that is there may be another user's, or have lost its end.
    is_there = target.exists() and target.stat().st_size == size and os.access(target, os.R_OK)
    if not is_there:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        whole = content if isinstance(content, Path) else _written(root / "incoming/.new", content)
        _sync(whole)
        whole.replace(target)
    elif isinstance(content, Path):
        content.unlink()


def _written(path: Path, content: bytes) -> Path:
    # One writer, so one name: what a crash leaves is overwritten by the next.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return path


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
