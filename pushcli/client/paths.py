"""Paths of requests."""

from urllib.parse import quote


def quoted(name: str) -> str:
    """A name as a part of a path."""
    return quote(name, safe="")
