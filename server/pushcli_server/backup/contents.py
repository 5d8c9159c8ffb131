"""What a backup consists of, and what its parts are called in it. No I/O.

A backup is a tar file: first `backup.json`, then the files of the server's directory, the database
as a SQLite file, and the large outputs by their digests.
"""

import re
import tarfile
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated

import msgspec

from pushcli.errors import StoreError

FORMAT = 1
HEADER, DATABASE = "backup.json", "pushcli.db"
DIRECTORY, BLOBS = "directory", "blobs"
MAX_HEADER = 65_536
TAR_FORMAT = tarfile.GNU_FORMAT
"""Large sizes stand in a member's own header: a member before it would be needed otherwise."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself.

    Args:
        version: of the pushcli that made it.
        made_at: with its zone.
    """

    format: int
    version: str
    made_at: Annotated[datetime, msgspec.Meta(tz=True)]


class Member(tarfile.TarInfo):
    """A member of a backup: a name and a size, without what `tarfile` would read into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "Member":
        """The member of this header.

        Raises:
            tarfile.ReadError: no backup has one like it.
        """
        found = super().frombuf(buf, encoding, errors)
        is_long_name = found.type == tarfile.GNUTYPE_LONGNAME and found.size <= MAX_HEADER
        if found.size < 0 or not (is_long_name or found.type in _PLAIN):
            raise tarfile.ReadError("a part that no backup has")
        return found


_PLAIN = frozenset({
    tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE,
    tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE,
})  # fmt: skip
"""What has no more to it than its header; only the first two are taken."""


def header(data: bytes) -> Header:
    """The header of a backup.

    Raises:
        StoreError: it is no backup, or one that only a later pushcli can read.
    """
    try:
        found = msgspec.json.decode(data, type=Header)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise StoreError(
            "this is not a pushcli backup", "give what `server backup` made"
        ) from error
    if found.format != FORMAT:
        raise StoreError(
            f"the backup is of a later pushcli ({found.version[:40]})", "upgrade pushcli"
        )
    return found


def is_copied(path: PurePosixPath) -> bool:
    """Whether a file of the server's directory is copied as it is.

    Args:
        path: below the directory. The database is copied by itself, and so is output; logs and
            what is only for the moment stay.
    """
    first, name = path.parts[0], path.name
    return not (
        first == BLOBS
        or first.startswith(".")
        or name.startswith(DATABASE)
        or name.endswith((".log", ".part", ".tmp"))
    )


def blob(name: str) -> str | None:
    """The digest that a member of the tar file has the content of; None: it is something else."""
    parts = PurePosixPath(name).parts
    if len(parts) == 2 and parts[0] == BLOBS and _DIGEST.fullmatch(parts[1]):
        return parts[1]
    return None


def directory_file(name: str) -> PurePosixPath | None:
    """Where a member goes below the server's directory; None: nowhere, or out of it."""
    parts = PurePosixPath(name).parts
    if len(parts) < 2 or parts[0] != DIRECTORY or ".." in parts:
        return None
    path = PurePosixPath(*parts[1:])
    return path if is_copied(path) else None
