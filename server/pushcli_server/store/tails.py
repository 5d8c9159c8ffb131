"""The end of an output, gathered in a file of its own beside that of the beginning.

Its first bytes say how much the beginning has. So a server that was killed while it joined them
finds out how long the beginning was: both are as before, and the end is asked for again.
"""

import contextlib
import os
from pathlib import Path

HEAD = 20
"""Bytes before the first of the end."""
_SUFFIX = ".tail"
_PIECE = 65_536


def tail_of(path: Path) -> Path:
    """The file for the end of what is gathered in this one."""
    return path.with_name(path.name + _SUFFIX)


def head(kept: int) -> bytes:
    """What such a file begins with, if the beginning has so many bytes."""
    return b"%020d" % kept


def join(path: Path, kept: int, mark: bytes, tail: Path) -> None:
    """Put the mark and the end behind the first `kept` bytes; may be done again.

    Raises:
        OSError: the disk is full or failed.
    """
    with open(path, "ab", opener=_private) as file:
        file.truncate(kept)
        file.write(mark)
        # Without it the output is shorter than it should be, which its reader is told.
        with contextlib.suppress(FileNotFoundError), tail.open("rb") as end:
            end.seek(HEAD)
            while piece := end.read(_PIECE):
                file.write(piece)


def begin_again(incoming: Path) -> None:
    """After a start: ends that were not stored go, and with them what was joined already."""
    for tail in incoming.glob(f"*{_SUFFIX}"):
        with tail.open("rb") as file:
            begun = file.read(HEAD)
        kept = int(begun) if len(begun) == HEAD and begun.isdigit() else 0
        path = tail.with_name(tail.name.removesuffix(_SUFFIX))
        if path.exists() and path.stat().st_size > kept:
            os.truncate(path, kept)
        tail.unlink()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
