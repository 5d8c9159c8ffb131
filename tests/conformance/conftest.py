"""A real server for the conformance suite, and scripted agents that speak to it."""

import itertools
from collections.abc import Iterator

import pytest
import zmq

from pushcli.sandbox.sandbox import Sandbox
from tests.support.fleet import Fleet
from tests.support.old_agent import MakeAgent, OldAgent

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A server without agents; a heartbeat of 250 ms keeps waiting short."""
    settings = {"heartbeat_interval": 250, "voting_timeout": 3}
    fleet = Fleet(tmp_path_factory.mktemp("server"), [], settings=settings)
    with fleet:
        yield fleet


@pytest.fixture(scope="module")
def context() -> Iterator["zmq.Context[zmq.Socket[bytes]]"]:
    """For scripted peers."""
    with zmq.Context() as context:
        yield context


@pytest.fixture
def make_agent(server: Sandbox, context: "zmq.Context[zmq.Socket[bytes]]") -> Iterator[MakeAgent]:
    """Makes scripted agents, each a node of its own unless it is named."""
    made: list[OldAgent] = []

    def make(name: str | None = None, offers: str | None = None) -> OldAgent:
        made.append(OldAgent(server, context, name or f"old{next(_numbers)}", offers=offers))
        return made[-1]

    yield make
    for agent in made:
        agent.close()


@pytest.fixture
def agent(server: Sandbox, make_agent: MakeAgent) -> OldAgent:
    """One that is online and idle."""
    agent = make_agent()
    agent.come_online()
    server.wait_available([agent.name])
    return agent
