"""What the system takes as a program's arguments and environment.

More would be found out by `exec` only, after this node has agreed to run the job.
"""

import os
from collections.abc import Mapping, Sequence

LONGEST = 128 * 1024 - 1
"""Bytes; what Linux takes as one argument, or one `NAME=VALUE`, of a program."""
_MOST = 6 * 1024 * 1024
"""Bytes that Linux takes in all, however large the stack may be."""
_POINTER = 8
"""Bytes that each of the strings takes beside its own and a NUL."""
_RESERVE = 16 * 1024
"""Bytes for the program's path, `/bin/sh -c`, and the variable that names the job's file."""


class TooLong(Exception):
    """The system would not start this; one line, for the operator."""


def is_argument(text: str) -> bool:
    """Whether a program can have this as an argument."""
    return "\0" not in text and _size(text) <= LONGEST


def total() -> int:
    """Bytes that arguments and environment may take together: a quarter of the stack's limit."""
    most = os.sysconf("SC_ARG_MAX")
    return most if 0 < most < _MOST else _MOST


def require_startable(arguments: Sequence[str], env: Mapping[str, str], most: int) -> None:
    """Make sure that a program can be started with these.

    Args:
        arguments: all that are not known to be short.
        env: the whole environment.
        most: bytes for all together, with what each string takes beside its own.

    Raises:
        TooLong: a variable is, or all together are.
    """
    size = _RESERVE
    for text in arguments:
        size += _size(text) + 1 + _POINTER
    for name, value in env.items():
        length = _size(name) + 1 + _size(value)
        if length > LONGEST:
            raise TooLong(
                f"environment variable {name[:64]} is too long: "
                f"with its name {length:,} bytes, of at most {LONGEST:,}"
            )
        size += length + 1 + _POINTER
    if size > most:
        raise TooLong(
            f"command and environment are too long: {size:,} bytes, of at most {most:,} "
            "(a quarter of the agent's stack limit)"
        )


def _size(text: str) -> int:
    # What the agent inherited may be no UTF-8: either way it is a byte for each that is none.
    return len(text.encode("utf-8", "replace"))
