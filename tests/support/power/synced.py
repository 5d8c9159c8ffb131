"""What a disk still has after its machine lost power: what was synced, and nothing else.

It is a strict one: of a file it has the content at its last fsync, of a directory the names at its
last fsync. A file of which only the name was synced is empty. Each is kept under what tells it
from every other: its number on the disk and the moment at which it was made.

Only the standard library is imported: a supervisor has nothing else.
"""

import ctypes
import json
import os
import shutil
import stat
import struct
from pathlib import Path

_EMPTY_PATH, _NO_FOLLOW = 0x1000, 0x100
_INODE_AND_BIRTH = 0x100 | 0x800
_LIBC = ctypes.CDLL(None, use_errno=True)


def identity(directory: int, name: str = "") -> str:
    """Of an open file or directory, or of what has this name in an open directory."""
    found = ctypes.create_string_buffer(256)
    flags = _NO_FOLLOW if name else _EMPTY_PATH
    if _LIBC.statx(directory, os.fsencode(name), flags, _INODE_AND_BIRTH, found):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    (inode,) = struct.unpack_from("Q", found, 32)
    seconds, nanoseconds = struct.unpack_from("qI", found, 80)
    return f"{inode}-{seconds}-{nanoseconds}"


def remember(disk: Path, descriptor: int) -> None:
    """An open file or directory is on the disk as it is now."""
    # Where it is a file it may be open for writing alone.
    itself = Path(f"/proc/self/fd/{descriptor}")
    if stat.S_ISDIR(os.fstat(descriptor).st_mode):
        content = json.dumps(_names(itself, descriptor)).encode()
    else:
        content = itself.read_bytes()
    place = disk / identity(descriptor)
    fresh = place.with_suffix(f".{os.getpid()}")
    fresh.write_bytes(content)
    fresh.replace(place)


def _names(itself: Path, directory: int) -> dict[str, tuple[str, int]]:
    """Each name with what it stands for, and its mode."""
    found = {}
    for entry in itself.iterdir():
        try:
            found[entry.name] = identity(directory, entry.name), entry.lstat().st_mode
        except FileNotFoundError:
            continue
    return found


def restore(disk: Path, directory: Path) -> None:
    """Make of a directory what the disk has of it; it is there, whatever was synced."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for entry in directory.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        _fill(disk, directory, identity(descriptor))
        # It is what the next loss of power begins with.
        remember(disk, descriptor)
    finally:
        os.close(descriptor)


def _fill(disk: Path, directory: Path, kept: str) -> None:
    names = json.loads((disk / kept).read_bytes()) if (disk / kept).exists() else {}
    for name, (inner, mode) in names.items():
        path = directory / name
        if stat.S_ISDIR(mode):
            path.mkdir()
            _fill(disk, path, inner)
        else:
            path.write_bytes((disk / inner).read_bytes() if (disk / inner).exists() else b"")
        path.chmod(stat.S_IMODE(mode))
        descriptor = os.open(path, os.O_RDONLY)
        try:
            remember(disk, descriptor)
        finally:
            os.close(descriptor)


def watch(disk: Path) -> None:
    """Whatever this process syncs from now on is remembered."""
    really = os.fsync

    def fsync(descriptor: int) -> None:
        really(descriptor)
        remember(disk, descriptor)

    os.fsync = fsync  # type: ignore[assignment]
