"""Runs the command line and kills it at a chosen change that it makes in a directory.

Run as `python -m tests.support.killed DIRECTORY NUMBER ARGUMENTS`: it is killed before the change
of this number, counted from 0; a file that would have been made is there, but empty.
"""

import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any

_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir"}


def main(directory: str, number: int, arguments: list[str]) -> None:
    """Run the command line so."""
    changes = count()

    def look(event: str, details: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = details
            is_change = bool(flags & os.O_CREAT)
        else:
            path, is_change = details[:1][0] if event in _CHANGES else "", event in _CHANGES
        if not is_change or not str(path).startswith(directory) or next(changes) != number:
            return
        if event == "open":
            Path(path).touch(0o600)
        os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)
    from pushcli.__main__ import main as run  # noqa: PLC0415 - what it imports is looked at, too

    sys.argv[1:] = arguments
    run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
