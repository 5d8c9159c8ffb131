"""The command's output on its way into the spool."""

import os

CHUNK = 65_536


class CapturedOutput:
    """One of the command's output channels, on its way into a file of the spool.

    What exceeds the limit, or finds the disk full, is read all the same, so that the command
    neither blocks nor dies of it, and only counted. Where something is missing the file ends
    with a mark that says how much; one without any room for it is empty, and whoever reads it
    supplies the mark (`running.spooled_output`).
    """

    def __init__(self, path: str, limit: int) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        self._limit = limit
        self._reason = ""
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
            self._mark()
        if self.size:
            try:
                os.fsync(self._file)
            except OSError:
                return  # What cannot be read back is marked by its reader.

    def forget(self) -> None:
        """Give up the output: its space is needed for the result."""
        os.ftruncate(self._file, 0)
        self.dropped, self.size = self.dropped + self.size, 0

    def _write(self, data: bytes) -> int:
        try:
            written = self._fill(self.size, data)
        except OSError as error:
            # The disk is full: the rest is treated like what exceeds the limit.
            written = max(0, os.fstat(self._file).st_size - self.size)
            self._limit = self.size + written
            self._reason = f" ({error.strerror})"
        self.size += written
        return written

    def _fill(self, offset: int, data: bytes) -> int:
        written = 0
        while written < len(data):
            written += os.pwrite(self._file, data[written:], offset + written)
        return written

    def _mark(self) -> None:
        """End the file with the mark; on a full disk the last output gives way to it."""
        whole = self.size + self.dropped
        for keep in (self.size, self.size - 4096, self.size - CHUNK, self.size // 2):
            text = f"\n[output cut: {whole - keep} more bytes{self._reason}]\n".encode()
            try:
                if keep > 0:
                    os.ftruncate(self._file, keep)
                    self.size = keep + self._fill(keep, text)
                    self.dropped = whole - keep
                    return
            except OSError:
                continue
        self.dropped = whole - self.size
        self.forget()
