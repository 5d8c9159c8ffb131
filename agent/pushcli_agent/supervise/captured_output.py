"""The command's output on its way into the spool."""

import os

CHUNK = 65_536
MAX_TAIL = 2**20
"""Bytes of the end that are kept in memory, whatever the limit is."""


def head_of(limit: int) -> int:
    """How much of a limit is for the beginning; the rest is for the end."""
    return limit - min(limit // 2, MAX_TAIL)


class CapturedOutput:
    """One of the command's output channels, on its way into a file of the spool.

    Up to the limit everything is written as it comes. What exceeds it is read all the same, so
    that the command neither blocks nor dies of it, but only its end is kept, in memory: at the
    end the file has the beginning, which never changes once it is written, a mark that says how
    much is left out, and the end. Where the disk is full there is no end: the file is cut with a
    mark; one without any room for it is empty, and whoever reads it supplies the mark
    (`running.spooled_output`).

    Attributes:
        size: bytes in the file, the mark among them.
        dropped: bytes that are missing.
        cut_at: where in the file the mark begins; None: nothing is missing.
    """

    def __init__(self, path: str, limit: int) -> None:
        self.reader, self.writer = os.pipe()
        os.set_blocking(self.reader, False)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        self._limit = limit
        self._head = head_of(limit)
        self._room = limit - self._head
        self._tail = bytearray()
        self._reason = ""
        self.size = 0
        self.dropped = 0
        self.cut_at: int | None = None
        self._mark_size = 0

    def collect(self) -> bool | None:
        """Take what is there; True if there was something, None at the end of all output."""
        try:
            data = os.read(self.reader, CHUNK)
        except BlockingIOError:
            return False
        if not data:
            return None
        self._keep_end(data)
        kept = self._write(data[: self._limit - self.size])
        self.dropped += len(data) - kept
        return True

    def finish(self) -> None:
        """Mark what is missing, put the end behind it, and make all durable."""
        if self.dropped and (self._reason or not self._put_end()):
            self._mark()
        if self.size:
            try:
                os.fsync(self._file)
            except OSError:
                return  # What cannot be read back is marked by its reader.

    def forget(self) -> None:
        """Give up the output: its space is needed for the result."""
        os.ftruncate(self._file, 0)
        self.dropped, self.size = self._whole(), 0
        self.cut_at, self._mark_size = None, 0

    def _keep_end(self, data: bytes) -> None:
        """Keep what may become the end: the last of what lies beyond the beginning."""
        beyond = self.size + self.dropped + len(data) - self._head
        if beyond > 0:
            self._tail += data[-beyond:]
        # Not each time: moving what is kept costs more than the room does.
        if len(self._tail) > 2 * self._room:
            del self._tail[: len(self._tail) - self._room]

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

    def _whole(self) -> int:
        """Bytes that the command wrote."""
        return self.size - self._mark_size + self.dropped

    def _put_end(self) -> bool:
        """Write mark and end over what follows the beginning; it grows by the mark at most."""
        whole = self._whole()
        end = bytes(self._tail[max(len(self._tail) - self._room, 0) :])
        for skip in (0, 4096, len(end)):
            rest = end[skip:]
            dropped = whole - self._head - len(rest)
            mark = f"\n... {dropped:,} bytes left out ...\n".encode()
            try:
                size = self._head + self._fill(self._head, mark + rest)
                os.ftruncate(self._file, size)
            except OSError:
                continue
            self.size, self.dropped = size, dropped
            self.cut_at, self._mark_size = self._head, len(mark)
            return True
        self.size, self.dropped = self._head, whole - self._head
        return False

    def _mark(self) -> None:
        """End the file with the mark; on a full disk the last output gives way to it."""
        whole = self._whole()
        for keep in (self.size, self.size - 4096, self.size - CHUNK, self.size // 2):
            text = f"\n[output cut: {whole - keep} more bytes{self._reason}]\n".encode()
            try:
                if keep > 0:
                    os.ftruncate(self._file, keep)
                    self.size = keep + self._fill(keep, text)
                    self.dropped = whole - keep
                    self.cut_at, self._mark_size = keep, len(text)
                    return
            except OSError:
                continue
        self.dropped = whole - self.size
        self.forget()
