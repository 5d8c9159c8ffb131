"""One fleet for all attacks, and the seed they are made up from.

`HOSTILE_SEED` repeats a run, `HOSTILE_SECONDS` says how long each attack goes on. Without them
each is short and always the same, so that the usual suite has them too.
"""

import os
import zlib
from collections.abc import Iterator

import pytest

from pushcli.sandbox.sandbox import Sandbox
from tests.hostile.chaos import Chaos
from tests.hostile.endurance import OTHER, WORKING, whitelist

SEED = int(os.environ.get("HOSTILE_SEED", "1"))
SECONDS = float(os.environ.get("HOSTILE_SECONDS", "2"))


@pytest.fixture
def chaos(request: pytest.FixtureRequest) -> Chaos:
    """Of this seed and this test."""
    print(f"HOSTILE_SEED={SEED}")
    return Chaos(SEED ^ zlib.crc32(request.node.name.encode()))


@pytest.fixture(scope="session")
def seconds() -> float:
    """How long an attack goes on."""
    return SECONDS


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A server and three real agents."""
    directory = tmp_path_factory.mktemp("fleet")
    settings = {"heartbeat_interval": 250, "voting_timeout": 10}
    nodes = [*WORKING, OTHER]
    with Sandbox(directory, nodes, whitelist=whitelist(directory), settings=settings) as fleet:
        yield fleet
