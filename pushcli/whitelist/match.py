"""Which entry answers a request, and what it runs."""

from collections.abc import Mapping

import msgspec

from pushcli.whitelist import pattern
from pushcli.whitelist.entry import Entry


class Match(msgspec.Struct, frozen=True):
    """The entry for a request; `command` is for `/bin/sh -c`, or a program and its arguments."""

    entry: Entry
    command: str | tuple[str, ...]


def find(entries: Mapping[str, Entry], request: str) -> Match | None:
    """The entry of this very name, or else the first pattern that matches all of it."""
    return find_name(entries, request) or find_pattern(entries, request)


def find_name(entries: Mapping[str, Entry], request: str) -> Match | None:
    """The entry of this very name, if it is no pattern."""
    entry = entries.get(request)
    if entry is None or entry.is_pattern:
        return None
    return Match(entry, entry.command)


def find_pattern(entries: Mapping[str, Entry], request: str) -> Match | None:
    """The first pattern that matches the whole request."""
    for name, entry in entries.items():
        if not entry.is_pattern:
            continue
        unsafe = entry.unsafe_substitution
        command = pattern.apply(name, entry.command, request, unsafe=unsafe)
        if command is not None:
            return Match(entry, command)
    return None
