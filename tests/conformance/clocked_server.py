"""A server whose clock for signatures stands still: for replaying recorded requests.

usage: python -m tests.conformance.clocked_server DIRECTORY SECONDS
"""

import asyncio
import sys
from pathlib import Path

from pushcli_server.rest.auth import Authenticator
from pushcli_server.server import run
from pushcli_server.store import Store


def main(directory: str, now: float) -> None:
    """Serve as `pushcli server start` does, but for the time."""

    class Clocked(Authenticator):
        def __init__(self, store: Store) -> None:
            super().__init__(store, lambda: now)

    asyncio.run(run(Path(directory), Clocked))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
