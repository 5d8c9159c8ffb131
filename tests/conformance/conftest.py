"""A real server for the conformance suite, and a ZeroMQ context for scripted peers."""

from collections.abc import Iterator

import pytest
import zmq

from pushcli.sandbox.sandbox import Sandbox


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A server without agents; a heartbeat of 250 ms keeps waiting short."""
    settings = {"heartbeat_interval": 250, "voting_timeout": 3}
    fleet = Sandbox(tmp_path_factory.mktemp("server"), [], settings=settings)
    with fleet:
        yield fleet


@pytest.fixture(scope="module")
def context() -> Iterator["zmq.Context[zmq.Socket[bytes]]"]:
    """For scripted peers."""
    with zmq.Context() as context:
        yield context
