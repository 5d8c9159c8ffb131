"""A process that brings a store up to date, and prints by how many bytes its memory grew."""

import resource
import sys
from pathlib import Path

import pushcli_server.store.migrate  # so that its import does not count
from pushcli_server.store import Store

__all__ = ["pushcli_server"]


def peak() -> int:
    """The most bytes that this process ever had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    before = peak()
    Store.create(sys.argv[1], Path(sys.argv[2]))
    print(peak() - before)
