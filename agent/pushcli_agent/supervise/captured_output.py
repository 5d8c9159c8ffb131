"""The command's output on its way into the spool."""

import os
import sys

CHUNK = 65_536


class CapturedOutput:
    """One of the command's output channels, on its way into a file of the spool.

    What exceeds the limit is read all the same, so that the command neither blocks nor
    dies of it, and only counted.
    """

    def __init__(self, path: str, limit: int) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._file = os.open(path, flags, 0o600)
        self._limit = limit
        self.size = 0
        self.dropped = 0

    def collect(self) -> bool | None:
        """Take what is there; True if there was something, None at the end of all output."""
        try:
            data = os.read(self.reader, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            return None
        kept = self._write(data[: self._limit - self.size])
        self.dropped += len(data) - kept
        return True

    def finish(self) -> None:
        """Mark what is missing, and make all durable."""
        if self.dropped:
            self._limit = sys.maxsize
            self._write(b"\n[output cut: %d more bytes]\n" % self.dropped)
        if self.size:
            os.fsync(self._file)

    def forget(self) -> None:
        """Give up the output: its space is needed for the result."""
        os.ftruncate(self._file, 0)
        self.dropped, self.size = self.dropped + self.size, 0

    def _write(self, data: bytes) -> int:
        written = 0
        try:
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError:
            # The disk is full: the rest is treated like what exceeds the limit.
            self._limit = self.size + written
        self.size += written
        return written
