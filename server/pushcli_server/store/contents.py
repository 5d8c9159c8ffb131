"""Stored content, open: a reader holds a piece of it at a time, however large it is."""

import asyncio
import os
from pathlib import Path
from typing import BinaryIO, Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from pushcli_server.store import blob_pieces
from pushcli_server.store.blobs import path_of
from pushcli_server.store.errors import DamagedContent, StoreUnavailable
from pushcli_server.store.faults import is_away, reason


class Source(Protocol):
    """Where the bytes of a content are."""

    def read(self, offset: int, limit: int) -> bytes:
        """At most `limit` bytes; less than there should be where some were lost.

        Raises:
            StoreUnavailable: it cannot be read.
        """

    def close(self) -> None:
        """Nobody reads on."""


class Content:
    """Bytes that may be read piece by piece.

    Args:
        size: in bytes.
    """

    def __init__(self, size: int, source: Source) -> None:
        self.size = size
        self._source = source

    @property
    def is_short(self) -> bool:
        """Whether it is in memory already."""
        return isinstance(self._source, _Held)

    async def piece(self, offset: int, limit: int) -> bytes:
        """At most `limit` bytes.

        Raises:
            DamagedContent: it lost them meanwhile, or its disk fails.
            StoreUnavailable: the database is away.
        """
        if self.is_short:
            return self.whole(offset, limit)
        return await asyncio.to_thread(self.whole, offset, limit)

    def whole(self, offset: int = 0, limit: int | None = None) -> bytes:
        """All of it, or a piece; in the caller's thread.

        Raises:
            DamagedContent, StoreUnavailable: as `piece`.
        """
        wanted = max(min(self.size if limit is None else limit, self.size - offset), 0)
        found = self._source.read(offset, wanted)
        if len(found) < wanted:
            raise DamagedContent(f"{offset + len(found)} of {self.size} bytes are left of it")
        return found

    def close(self) -> None:
        """Nobody reads on."""
        self._source.close()


def opened(
    connection: Connection, root: Path, digest: str, size: int, data: bytes | None
) -> Content:
    """The content of this row of the table.

    Raises:
        DamagedContent: it lost something since it was stored. Where retention took its file since
            the row was read, another transaction sees that the row is gone.
        OSError: it cannot be opened now.
    """
    if data is not None:
        return in_memory(bytes(data))
    if blob_pieces.is_complete(connection, digest, size):
        return Content(size, _Pieces(connection.engine, digest))
    return in_file(root, digest, size)


def in_memory(data: bytes) -> Content:
    """A short content."""
    return Content(len(data), _Held(data))


def in_file(root: Path, digest: str, size: int) -> Content:
    """One that lies in a file.

    Raises:
        DamagedContent, OSError: as `opened`.
    """
    try:
        descriptor = os.open(path_of(root, digest), os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError as error:
        raise DamagedContent(f"its file {error.filename} is missing") from error
    file = os.fdopen(descriptor, "rb", buffering=0)
    held = os.fstat(descriptor).st_size
    if held != size:
        file.close()
        raise DamagedContent(f"{held} of {size} bytes are left in the file {digest}")
    return Content(size, _File(file))


class _Held:
    """All of them."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self, offset: int, limit: int) -> bytes:
        return self._data[offset : offset + limit]

    def close(self) -> None:
        """There is nothing to close."""


class _File:
    """An open file, which can be read to its end though it is removed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, offset: int, limit: int) -> bytes:
        try:
            return os.pread(self._file.fileno(), limit, offset)
        except OSError as error:
            raise DamagedContent(f"its file cannot be read: {error.strerror}") from error

    def close(self) -> None:
        self._file.close()


class _Pieces:
    """Pieces in the database, of which the last that was read is at hand: readers ask for less."""

    def __init__(self, engine: Engine, digest: str) -> None:
        self._engine = engine
        self._digest = digest
        self._number = -1
        self._last = b""

    def read(self, offset: int, limit: int) -> bytes:
        return blob_pieces.across(self._piece, offset, limit)

    def close(self) -> None:
        self._last = b""

    def _piece(self, number: int) -> bytes:
        if number != self._number:
            try:
                with self._engine.connect() as connection:
                    self._last = blob_pieces.read(connection, self._digest, number)
            except SQLAlchemyError as error:
                if not is_away(error):
                    raise
                raise StoreUnavailable(reason(error)) from error
            self._number = number
        return self._last
