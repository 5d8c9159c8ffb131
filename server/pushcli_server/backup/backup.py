"""`pushcli server backup`: a running server as one file, consistent and with its output.

The files of output are linked before the database is read and after it: whatever the database of
that moment refers to is held, also if the server deletes it meanwhile.
"""

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import msgspec

from pushcli import __version__
from pushcli.errors import ConfigError, StoreError
from pushcli.protocol.timestamps import format_iso8601
from pushcli_server import settings
from pushcli_server.backup import contents
from pushcli_server.scratch import scratch
from pushcli_server.store import blobs, snapshot

_TRIES = 3


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds."""

    size: int
    files: int
    outputs: int
    made_at: str


def backup(directory: Path, target: Path) -> Made:
    """Write a backup into a new file, which is its owner's alone.

    Raises:
        ConfigError: no server, or the file exists or cannot be made.
        StoreError: the database cannot be read, or the disk is full.
    """
    if target.exists():
        raise ConfigError(f"{target} exists", "give the name of a new file")
    if directory.resolve() in target.resolve().parents:
        # The next one would have this one in it.
        raise ConfigError(f"{target} is in the server's directory", "give another place")
    try:
        # Under a name of its own: two at once do not write into each other's, and nobody has
        # made the file beforehand to read what comes into it.
        descriptor, name = tempfile.mkstemp(
            prefix=f"{target.name}.", suffix=".part", dir=target.parent
        )
    except OSError as error:
        raise _cannot_write(target, error) from error
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            made = write(directory, file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(target)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        with suppress(FileNotFoundError):
            part.unlink()
    return made


def _cannot_write(target: Path, error: OSError) -> ConfigError:
    return ConfigError(f"cannot write {target}: {error.strerror}", "give another place")


def write(directory: Path, stream: BinaryIO) -> Made:
    """Write a backup.

    Raises:
        ConfigError: no server there.
        StoreError: its database, or a file of its directory, cannot be read; or what is held
            meanwhile cannot be made there.
        OSError: the stream cannot be written.
    """
    config = settings.load(directory)
    counted = _Counted(stream)
    try:
        return _write(config, directory, counted)
    except OSError as error:
        if error is counted.failure:
            raise
        raise StoreError(
            f"cannot back up {directory}: {error.filename or 'its disk'}: {error.strerror}",
            "run this as the server's user, with some room in that directory",
        ) from error


def _write(config: settings.Settings, directory: Path, counted: "_Counted") -> Made:
    with scratch(directory, ".backup-") as place:
        database = place / contents.DATABASE
        held = _held(config.database(directory), directory / "blobs", place, database)
        now = datetime.now(UTC).replace(microsecond=0)
        header = contents.Header(format=contents.FORMAT, version=__version__, made_at=now)
        # It writes, and that is all that a stream is asked for.
        with tarfile.open(  # type: ignore[call-overload]
            fileobj=counted, mode="w|", format=contents.TAR_FORMAT
        ) as tar:
            data = msgspec.json.encode(header)
            info = tarfile.TarInfo(contents.HEADER)
            info.size, info.mode = len(data), 0o600
            tar.addfile(info, io.BytesIO(data))
            copied = 0
            for path in _copied(directory):
                _add(tar, path, f"{contents.DIRECTORY}/{_relative(directory, path)}")
                copied += 1
            _add(tar, database, contents.DATABASE)
            for digest in held:
                _add(tar, place / digest, f"{contents.BLOBS}/{digest}")
                # It would remember each, of a million outputs.
                tar.members.clear()
        made_at = format_iso8601(now.timestamp())
        return Made(size=counted.size, files=copied, outputs=len(held), made_at=made_at)


def _held(url: str, root: Path, place: Path, database: Path) -> list[str]:
    """Take the snapshot, and hold every file that it refers to; returns their digests."""
    for _ in range(_TRIES):
        database.unlink(missing_ok=True)
        for path in root.glob("??/*"):
            _hold(path, place / f"{path.parent.name}{path.name}")
        snapshot.save(url, database)
        digests = sorted(snapshot.files(database))
        for digest in digests:
            _hold(blobs.path_of(root, digest), place / digest)
        missing = [digest for digest in digests if not (place / digest).exists()]
        if not missing:
            return digests
    raise StoreError(
        f"{len(missing)} outputs that the database refers to are missing, such as {missing[0]}",
        "the disk of the server's directory lost files",
    )


def _hold(path: Path, place: Path) -> None:
    if place.exists():
        return
    with suppress(FileNotFoundError):
        try:
            os.link(path, place)
        except FileNotFoundError:
            raise
        except OSError:
            # A file system without links, or with too many of them.
            shutil.copyfile(path, place)


def _copied(directory: Path) -> Iterator[Path]:
    for first in sorted(directory.iterdir()):
        for path in [first] if first.is_file() else _below(directory, first):
            if contents.is_copied(_relative(directory, path)):
                yield path


def _below(directory: Path, first: Path) -> list[Path]:
    if not contents.is_copied(_relative(directory, first)):
        return []
    return sorted(path for path in first.rglob("*") if path.is_file())


def _relative(directory: Path, path: Path) -> PurePosixPath:
    return PurePosixPath(path.relative_to(directory).as_posix())


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """A file's content as it is now, whatever becomes of the file meanwhile."""
    with path.open("rb") as file:
        info = tarfile.TarInfo(name)
        stat = os.fstat(file.fileno())
        info.size, info.mtime, info.mode = stat.st_size, int(stat.st_mtime), 0o600
        tar.addfile(info, file)


class _Counted:
    """Counts what goes through; knows why it could not."""

    def __init__(self, stream: BinaryIO) -> None:
        self.size = 0
        self.failure: OSError | None = None
        self._stream = stream

    def write(self, data: bytes) -> int:
        """Pass it on."""
        try:
            self._stream.write(data)
        except OSError as error:
            self.failure = error
            raise
        self.size += len(data)
        return len(data)
