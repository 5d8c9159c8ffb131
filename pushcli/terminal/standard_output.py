"""Standard output whose failures are known for what they are.

Whoever writes to it, the command itself, click's help or a display: an error of the file below
is an `OutputLost`, and cannot be mistaken for one of another file.
"""

import io
import os
import sys

from pushcli.errors import OutputLost


class _Descriptor(io.FileIO):
    """The file below the buffers."""

    def write(self, data: "bytes | bytearray | memoryview", /) -> int:  # type: ignore[override]
        """Write some of it.

        Raises:
            BrokenPipeError: its reader has left.
            OutputLost: it cannot be written.
        """
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputLost(
                f"cannot write to standard output: {error.strerror}",
                "what was asked for may be done all the same",
            ) from error


def guard() -> None:
    """Put it in the place of `sys.stdout`, unless that is closed or not the process's own."""
    stream = sys.stdout
    if stream is None or stream is not sys.__stdout__ or not isinstance(stream, io.TextIOWrapper):
        return
    stream.flush()
    raw = _Descriptor(stream.fileno(), "w", closefd=False)
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=raw.isatty(),
    )


def drop() -> None:
    """What is left unwritten goes nowhere, or the interpreter's last flush would complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            os.dup2(nowhere, stream.fileno())
