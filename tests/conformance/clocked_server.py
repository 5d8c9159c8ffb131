"""A server whose clock for signatures stands still: for replaying recorded requests.

usage: python -m tests.conformance.clocked_server DIRECTORY SECONDS
"""

import asyncio
import sys
from pathlib import Path

from pushcli_server.identities import Identities
from pushcli_server.rest.auth import Authenticator
from pushcli_server.rest.rights import Rights
from pushcli_server.server import run


def main(directory: str, now: float) -> None:
    """Serve as `pushcli server start` does, but for the time."""

    class Clocked(Authenticator):
        def __init__(self, identities: Identities, rights: Rights) -> None:
            super().__init__(identities, rights, lambda: now)

    asyncio.run(run(Path(directory), Clocked))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
