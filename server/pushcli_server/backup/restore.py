"""`pushcli server restore`: a server's directory from a backup, whole or not at all."""

import hashlib
import os
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO

from pushcli.errors import ConfigError, StoreError
from pushcli_server import settings
from pushcli_server.backup import contents
from pushcli_server.scratch import scratch
from pushcli_server.store import blobs, snapshot
from pushcli_server.store.database import sqlite_file
from pushcli_server.undisturbed import undisturbed

_PREFIX = ".restore-"
_PIECE = 1024 * 1024
_SIDES = ("", "-wal", "-shm", "-journal", ".part")
"""What is in the way of a database, behind its name: SQLite would go on with the log of another."""
_NOT_WHOLE = "the backup is not whole"


def restore(stream: BinaryIO, directory: Path, values: Sequence[str] = ()) -> contents.Header:
    """Make the server again that a backup is of.

    Args:
        directory: is made; it may be there if it is empty.
        values: settings to change, `NAME=VALUE`.

    Raises:
        ConfigError: the directory is in use, or cannot be made; a setting that cannot be.
        StoreError: the backup is damaged or of a later version; the database is not empty.
    """
    with _new(directory) as place:
        try:
            header = _unpack(stream, place)
            _configure(place, values)
            config = settings.load(place)
            database = place / contents.DATABASE
            snapshot.bring_up_to_date(database, place / "blobs")
            _require_outputs(place)
            with ExitStack() as to_its_end:
                if (file := sqlite_file(config.database(place))) is None:
                    root = place / "blobs"
                    with snapshot.putting_back(database, root, config.database(place)):
                        to_its_end.enter_context(undisturbed())
                    database.unlink()
                    shutil.rmtree(root, ignore_errors=True)
                elif file != database:
                    to_its_end.enter_context(_moved(database, file))
                # It is a server as soon as it has settings.
                for path in sorted(place.iterdir(), key=lambda path: path.name == settings.FILE):
                    path.rename(directory / path.name)
        except (tarfile.TarError, EOFError) as error:
            raise StoreError(f"{_NOT_WHOLE}: {error}", "use another one") from error
        except OSError as error:
            raise StoreError(
                f"cannot write {directory}: {error.strerror}", "make room, or give another --dir"
            ) from error
    return header


@contextmanager
def _new(directory: Path) -> Iterator[Path]:
    """A place in the directory, which may be a disk of its own; both go if the block fails."""
    made = [path for path in (directory, *directory.parents) if not path.exists()]
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_empty(path for path in directory.iterdir() if not path.name.startswith(_PREFIX))
        with scratch(directory, _PREFIX) as place:
            # Nor is somebody else at it.
            _require_empty(path for path in directory.iterdir() if path != place)
            yield place
    except OSError as error:
        _remove(made)
        raise ConfigError(
            f"cannot make {directory}: {error.strerror}", "give another --dir"
        ) from error
    except BaseException:
        _remove(made)
        raise


def _require_empty(paths: Iterator[Path]) -> None:
    for path in paths:
        raise ConfigError(f"{path.parent} is not empty", "restore into a new directory")


def _remove(made: list[Path]) -> None:
    for path in made:
        with suppress(OSError):
            path.rmdir()


def _unpack(stream: BinaryIO, place: Path) -> contents.Header:
    try:
        opened = tarfile.open(fileobj=stream, mode="r|*", tarinfo=contents.Member)  # noqa: SIM115 - entered below
    except tarfile.ReadError as error:
        raise StoreError(
            f"this is not a pushcli backup ({error})", "give what `server backup` made"
        ) from error
    with opened as tar:
        first = tar.next()
        file = None if first is None else tar.extractfile(first)
        if first is None or file is None or first.name != contents.HEADER:
            raise StoreError("this is not a pushcli backup", "give what `server backup` made")
        header = contents.header(file.read(contents.MAX_HEADER))
        while (member := tar.next()) is not None:
            content = tar.extractfile(member) if member.isreg() else None
            if content is not None:
                _place(content, member, place)
            # It would remember each, of a million outputs.
            tar.members.clear()  # type: ignore[attr-defined]
    for needed in (settings.FILE, contents.DATABASE):
        if not (place / needed).exists():
            raise StoreError(f"{_NOT_WHOLE}: {needed} is missing", "use another one")
    return header


def _place(content: IO[bytes], member: tarfile.TarInfo, place: Path) -> None:
    """Write one member to where it belongs; what we do not know is left out."""
    if (digest := contents.blob(member.name)) is not None:
        target = blobs.path_of(place / "blobs", digest)
    elif member.name == contents.DATABASE:
        digest, target = None, place / contents.DATABASE
    elif (below := contents.directory_file(member.name)) is not None:
        target = place / below
    else:
        return
    for parent in reversed(target.relative_to(place).parents):
        (place / parent).mkdir(mode=0o700, exist_ok=True)
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError as error:
        raise tarfile.ReadError(f"{member.name!a} is in it twice") from error
    found = hashlib.sha256()
    with os.fdopen(descriptor, "wb") as file:
        while piece := content.read(_PIECE):
            file.write(piece)
            found.update(piece)
        file.flush()
        os.fsync(file.fileno())
    if digest is not None and found.hexdigest() != digest:
        raise StoreError(f"the backup's output {digest} is damaged", "use another one")


@contextmanager
def _moved(database: Path, file: Path) -> Iterator[None]:
    """Have the database where the settings say that it is, if the block does not fail."""
    for side in _SIDES:
        if os.path.lexists(there := file.with_name(f"{file.name}{side}")):
            raise ConfigError(f"{there} exists", "give a new file, or an empty database")
    part = file.with_name(f"{file.name}.part")
    try:
        try:
            descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as target, database.open("rb") as source:
                shutil.copyfileobj(source, target, _PIECE)
                target.flush()
                os.fsync(target.fileno())
            part.rename(file)
        except OSError as error:
            raise ConfigError(
                f"cannot write {file}: {error.strerror}", "give another file"
            ) from error
        try:
            database.unlink()
            yield
        except BaseException:
            file.unlink()
            raise
    finally:
        part.unlink(missing_ok=True)


def _configure(place: Path, values: Sequence[str]) -> None:
    if values:
        changed = settings.with_values(settings.load(place), list(values), "--set")
        checked = settings.check(changed, "--set")
        (place / settings.FILE).write_text(settings.render(checked), encoding="utf-8")


def _require_outputs(place: Path) -> None:
    for digest in snapshot.files(place / contents.DATABASE):
        if not blobs.path_of(place / "blobs", digest).exists():
            raise StoreError(f"{_NOT_WHOLE}: the output {digest} is missing", "use another one")
    if (found := snapshot.damaged(place / contents.DATABASE)) is not None:
        raise StoreError(f"the backup's output {found} is damaged", "use another one")
