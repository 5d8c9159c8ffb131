"""A server on a machine whose clock is set while it runs.

usage: python -m tests.conformance.stepped_server DIRECTORY FILE

FILE holds by how many seconds the clock is off now.
"""

import asyncio
import sys
import time
from pathlib import Path


def main(directory: str, file: str) -> None:
    """Serve as `pushcli server start` does, but for the date."""
    real, offset = time.time, Path(file)
    time.time = lambda: real() + float(offset.read_text())
    # Only now: nothing may have kept the clock as it was.
    from pushcli_server.server import run  # noqa: PLC0415

    asyncio.run(run(Path(directory)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
