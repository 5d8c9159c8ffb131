"""Files whose names begin with what was typed, for words in which a file is only a part."""

import os
from collections.abc import Iterator
from itertools import islice

_MOST = 10_000
"""Entries of a directory that are looked at: who presses the Tab key waits for it."""


def begun(typed: str) -> list[str]:
    """Paths, sorted; that of a directory ends with a slash. Nothing where nothing can be read.

    What begins with a dot is there for whoever typed one.
    """
    directory, slash, name = typed.rpartition("/")
    try:
        with os.scandir(f"{directory}{slash}" or ".") as entries:
            return sorted(_named(islice(entries, _MOST), f"{directory}{slash}", name))
    except (OSError, ValueError):
        return []


def _named(entries: Iterator["os.DirEntry[str]"], before: str, name: str) -> Iterator[str]:
    for entry in entries:
        if entry.name.startswith(name) and not (entry.name.startswith(".") and not name):
            yield f"{before}{entry.name}{'/' if _is_directory(entry) else ''}"


def _is_directory(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
