"""Simulated nodes that stay, and bring their connections to the size that these keep.

libzmq's queues have pieces of 256 messages of 64 bytes, and keep a second one once they needed it:
a peer costs a server 29 KiB when it has connected, 86 KiB after 500 messages each way, and the
same after 700. Nodes that have little to do would get there in an hour, and look like a leak until
then. These say so many times that they are there, and the server answers each time.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec

from tests.support import simulated
from tests.support.simulated import Plan

MESSAGES = 520
AT_ONCE = 65
"""With each heartbeat, until it is enough."""


@dataclass(slots=True)
class Node(simulated.Agent):
    """One of them."""

    left: int = MESSAGES

    def heartbeat(self) -> None:
        """As often as is left, a few at a time."""
        simulated.Agent.heartbeat(self)
        for _ in range(min(self.left, AT_ONCE)):
            self.left -= 1
            simulated.Agent.heartbeat(self)


@contextmanager
def staying(plan: Plan) -> Iterator[None]:
    """The process of the nodes of a plan, for this time."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.soak.nodes"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdin is not None
        process.stdin.write(msgspec.json.encode(plan).decode() + "\n")
        process.stdin.flush()
        yield
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    simulated.run(msgspec.convert(json.loads(sys.stdin.readline()), Plan), Node)
