"""Stored content, open: a reader holds a piece of it at a time, however large it is."""

import asyncio
import os
from pathlib import Path
from typing import BinaryIO

from pushcli_server.store.blobs import path_of
from pushcli_server.store.errors import DamagedContent


class Content:
    """Bytes of the table, or an open file, which can be read to its end though it is removed.

    Args:
        size: in bytes.
        data: all of it, or nothing if there is a file.
    """

    def __init__(self, size: int, data: bytes = b"", file: BinaryIO | None = None) -> None:
        self.size = size
        self._data = data
        self._file = file

    @property
    def is_short(self) -> bool:
        """Whether it is in memory already."""
        return self._file is None

    async def piece(self, offset: int, limit: int) -> bytes:
        """At most `limit` bytes.

        Raises:
            DamagedContent: its file lost them meanwhile, or its disk fails.
        """
        if self._file is None:
            return self.whole(offset, limit)
        return await asyncio.to_thread(self.whole, offset, limit)

    def whole(self, offset: int = 0, limit: int | None = None) -> bytes:
        """All of it, or a piece; in the caller's thread.

        Raises:
            DamagedContent: as `piece`.
        """
        limit = self.size if limit is None else limit
        if self._file is None:
            return self._data[offset : offset + limit]
        try:
            found = os.pread(self._file.fileno(), limit, offset)
        except OSError as error:
            raise DamagedContent(f"its file cannot be read: {error.strerror}") from error
        if len(found) < min(limit, self.size - offset):
            raise DamagedContent(f"{offset + len(found)} of {self.size} bytes are left in its file")
        return found

    def close(self) -> None:
        """Nobody reads on."""
        if self._file is not None:
            self._file.close()


def opened(root: Path, digest: str, size: int, data: bytes | None) -> Content:
    """The content of this row of the table.

    Raises:
        DamagedContent: it lost something since it was stored. Where retention took its file since
            the row was read, another transaction sees that the row is gone.
        OSError: it cannot be opened now.
    """
    if data is not None:
        return Content(len(data), bytes(data))
    try:
        descriptor = os.open(path_of(root, digest), os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError as error:
        raise DamagedContent(f"its file {error.filename} is missing") from error
    file = os.fdopen(descriptor, "rb", buffering=0)
    held = os.fstat(descriptor).st_size
    if held != size:
        file.close()
        raise DamagedContent(f"{held} of {size} bytes are left in the file {digest}")
    return Content(size, file=file)
