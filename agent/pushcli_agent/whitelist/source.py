"""One local file of the whitelist: read with care, and complaints that name its line."""

import os
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pushcli.whitelist.entry import Entry, InvalidEntry, parse

Signature = tuple[int, ...]
"""Of a file's status: another one means that it has to be read again."""
MAX_SIZE = 4 * 1024 * 1024
"""Bytes of a file."""
_SETTLED = 50_000_000
"""Nanoseconds: what was changed later than this ago may change again at the same time."""


class Unusable(Exception):
    """A file that cannot be used; the text is one line and names it."""


def signature(status: os.stat_result) -> Signature:
    """What distinguishes one state of a file from another."""
    return (
        status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev,
        status.st_mode, status.st_uid, status.st_gid,
    )  # fmt: skip


def is_settled(status: os.stat_result) -> bool:
    """Whether a change made after this status shows in its times."""
    newest = max(status.st_mtime_ns, status.st_ctime_ns)
    return newest < time.time_ns() - _SETTLED


def check_owner(path: Path, status: os.stat_result) -> None:
    """Only root and the agent's user may say what this node runs.

    Raises:
        Unusable: somebody else may write there.
    """
    if status.st_uid not in (0, os.geteuid()):
        raise Unusable(
            f"{path} belongs to user {status.st_uid}: it must belong to root or the agent's user"
        )
    others = status.st_mode & stat.S_IWOTH
    group = status.st_mode & stat.S_IWGRP and status.st_gid not in (0, os.getegid())
    if others or group:
        raise Unusable(f"{path} is writable by others: chmod go-w {path}")


def read(path: Path, table: Sequence[str]) -> dict[str, Entry]:
    """The entries in a table of a file, by name.

    Args:
        table: where they lie; nothing if they are the whole file.

    Raises:
        Unusable: the file, or an entry.
    """
    text = _text(path)
    content: Any = _content(path, text)
    for key in table:
        content = content.get(key, {})
        if not isinstance(content, dict):
            raise Unusable(f"{path}{_line(text, table)}: {key} must be a table")
    entries = {}
    for name, value in content.items():
        try:
            entries[name] = parse(name, value, local=True)
        except InvalidEntry as error:
            place = _line(text, [*table, name])
            raise Unusable(f"{path}{place}: {_shown(name)}: {error.reason}") from error
    return entries


def _text(path: Path) -> str:
    # A pipe must not hold the agent up.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    try:
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Unusable(f"{path} is not a regular file")
            check_owner(path, status)
            data = file.read(MAX_SIZE + 1)
    except OSError as error:
        raise Unusable(f"cannot read {path}: {error.strerror}") from error
    if len(data) > MAX_SIZE:
        raise Unusable(f"{path} is larger than {MAX_SIZE} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unusable(f"{path}, line {line}: not UTF-8") from error


def _content(path: Path, text: str) -> dict[str, object]:
    import tomli  # noqa: PLC0415

    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise Unusable(f"{path}, line {error.lineno}: {_one_line(error.msg)}") from error
    except (ValueError, RecursionError) as error:
        raise Unusable(f"{path}: {_one_line(str(error))}") from error


def _line(text: str, path: Sequence[str]) -> str:
    """`, line 7`: where in a valid document this is defined."""
    # Needed for complaints only, and so kept out of the agent's memory.
    from pushcli.whitelist.toml_statements import statements  # noqa: PLC0415

    try:
        for statement in statements(text):
            if statement.path[: len(path)] == tuple(path):
                return f", line {text.count(chr(10), 0, statement.start) + 1}"
    except ValueError:
        # Inside a table that was written on one line, say.
        pass
    return f"{_line(text, path[:-1])}" if len(path) > 1 else ""


def _shown(name: str) -> str:
    return repr(name[:128])


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]
