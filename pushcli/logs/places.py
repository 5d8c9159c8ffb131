"""Where lines go: standard error, or a file that may be moved away and may not be writable."""

import errno
import os
import select
from contextlib import suppress
from pathlib import Path
from typing import Protocol

_LONGEST = 4000
"""Bytes of a line: a pipe that can be written takes so many at once."""


class Place(Protocol):
    """Takes lines."""

    def write(self, level: int, line: str, fields: dict[str, str]) -> None:
        """Add one.

        Args:
            level: of the standard library's logging.
            line: without its end; printable.
            fields: what the line is about, for a place that keeps such things apart.

        Raises:
            OSError: it was not written; the next one may be.
        """

    def reopen(self) -> None:
        """Go on in a new file if somebody has moved the old one away."""

    def close(self) -> None:
        """No more lines."""


class StandardError:
    """The terminal, or whoever started the program."""

    def __init__(self) -> None:
        self._descriptor = _Descriptor(2)

    def write(self, level: int, line: str, fields: dict[str, str]) -> None:
        """Add one, unless that would keep us waiting for whoever reads."""
        poll = select.poll()
        poll.register(2, select.POLLOUT)
        if not poll.poll(0):
            raise BlockingIOError(errno.EAGAIN, "nobody reads standard error")
        self._descriptor.write(line)

    def reopen(self) -> None:
        """It stays what it is."""

    def close(self) -> None:
        """It is not ours to close."""


class LogFile:
    """A file of the log's own, which others may not read.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: _Descriptor | None = _opened(path)

    def write(self, level: int, line: str, fields: dict[str, str]) -> None:
        """Add one, in a new file if there is none open."""
        if self._descriptor is None:
            self._descriptor = _opened(self._path)
        self._descriptor.write(line)

    def reopen(self) -> None:
        """The next line goes to whatever lies at the path then."""
        self.close()

    def close(self) -> None:
        """Nothing is open until the next line."""
        if self._descriptor is not None:
            self._descriptor.close()
            self._descriptor = None


class _Descriptor:
    """Whole lines: what a full disk cut off is ended before the next one."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._cut = False

    def write(self, line: str) -> None:
        data = line.encode("utf-8", "backslashreplace")[:_LONGEST] + b"\n"
        if self._cut:
            data = b"\n" + data
        written = 0
        try:
            while written < len(data):
                written += os.write(self._number, data[written:])
        finally:
            if written:
                self._cut = written < len(data)

    def close(self) -> None:
        with suppress(OSError):
            os.close(self._number)


def _opened(path: Path) -> _Descriptor:
    # Not blocking: somebody may have put a pipe there that nobody reads.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    return _Descriptor(os.open(path, flags, 0o600))


def occupy_standard_descriptors() -> None:
    """Have something at 0, 1 and 2: what is opened there by chance would be written to."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free: this one.
            os.open(os.devnull, os.O_RDWR)
