"""What is in the spool of a command's output, read back: with a mark where bytes are missing.

The supervisor puts a mark where it could not keep everything. Where it had no room even
for that, or where the file has lost something since, the mark is supplied here: whoever gets
the output sees that there was more, and how much.
"""

import logging
import os
from pathlib import Path

import msgspec

_log = logging.getLogger(__name__)


class SpooledOutput(msgspec.Struct, frozen=True):
    """One channel of a job that has ended: a file's first `kept` bytes, then a mark.

    Args:
        dropped: bytes that are missing.
        cut_at: where the first mark begins; None: nothing is missing.
    """

    path: Path
    kept: int
    dropped: int
    mark: bytes = b""
    cut_at: int | None = None

    @property
    def size(self) -> int:
        """Bytes that can be read, the mark among them."""
        return self.kept + len(self.mark)

    def read(self, offset: int, limit: int) -> bytes:
        """At most `limit` bytes; nothing beyond the end. What cannot be read is filled in."""
        wanted = min(limit, max(self.kept - offset, 0))
        data = _read(self.path, offset, wanted) if wanted else b""
        if len(data) < wanted:
            data += _filler(wanted - len(data))
        rest = max(offset - self.kept, 0)
        return data + self.mark[rest : rest + limit - len(data)]


def spooled(path: Path, size: int, dropped: int, cut_at: int | None = None) -> SpooledOutput:
    """What is there of `size` bytes that should be, and of `dropped` that are not.

    Args:
        cut_at: where in the file there is a mark already.
    """
    kept = min(size, size_of(path))
    missing = dropped + size - kept
    # A file that is whole has its own mark.
    whole = missing == 0 or (kept == size and size > 0)
    mark = b"" if whole else b"\n[output cut: %d more bytes]\n" % missing
    if mark and (cut_at is None or cut_at >= kept):
        cut_at = kept
    return SpooledOutput(path, kept, missing, mark, cut_at)


def size_of(path: Path) -> int:
    """Bytes in a file; none where there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _read(path: Path, offset: int, wanted: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, wanted, offset)
        finally:
            os.close(descriptor)
    except OSError as error:
        _log.warning("cannot read %s back: %s", path, error.strerror)
        return b""


def _filler(size: int) -> bytes:
    """As long as what it stands for: how much there is was said already."""
    text = b"\n[output lost: %d bytes cannot be read back]\n" % size
    return text[:size] + b"." * (size - len(text))
