"""Config requests that somebody read on their way, and what he can do with them: nothing.

Neither the query, with the CURVE key, nor the moment within its second is signed.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import zmq

from pushcli.protocol import session_keys, wire
from pushcli.protocol.timestamps import format_iso8601
from pushcli.sandbox.sandbox import Sandbox
from tests.support import key_files
from tests.support.captured import Captured, captured
from tests.support.fleet import Fleet
from tests.support.identities import Signer
from tests.support.old_agent import OldAgent, availability, keep_alive
from tests.support.waiting import job_is, start, until

pytestmark = pytest.mark.timeout(60)
_numbers = itertools.count(1)


class TimedAgent(OldAgent):
    """An agent whose requests can be read, and whose clock can be set."""

    timestamp: str | None = None
    last: Captured

    def request(self, curve_key: str, **more: str) -> Captured:
        """For its configuration, as its client signs it now."""
        private = key_files.read(Path(self._profile.client_key))
        signer = Signer(self._fleet, self.name, private)
        return captured(
            signer, "GET", f"pushy/config/{self.name}", version="1.1", timestamp=self.timestamp,
            query=asking(curve_key, **more),
        )  # fmt: skip

    def configure(self) -> None:
        self.last = self.request(self._public.decode())
        answer = self.last.send()
        assert answer.status == 200, answer
        self.config = answer.json
        private = key_files.read(Path(self._profile.client_key))
        self.key = session_keys.decrypt(self.config["encoded_session_key"], private)

    def __init__(self, fleet: Sandbox, *more: Any) -> None:
        self._fleet = fleet
        super().__init__(fleet, *more)


def asking(curve_key: str, **more: str) -> str:
    said = {"ccpk": curve_key, "version": "2.0", **more}
    return "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in said.items())


def with_key(one: Captured, curve_key: str, **more: str) -> Captured:
    """The same signature, asking for another key."""
    return one._replace(target=one.target.partition("?")[0] + asking(curve_key, **more))


MakeAgent = Callable[[], TimedAgent]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A server that bears some silence: on a busy machine a script may be late."""
    settings = {"heartbeat_interval": 2000}
    with Fleet(tmp_path_factory.mktemp("server"), [], settings=settings) as fleet:
        yield fleet


@pytest.fixture
def make_agent(server: Sandbox, context: "zmq.Context[zmq.Socket[bytes]]") -> Iterator[MakeAgent]:
    made: list[TimedAgent] = []

    def make() -> TimedAgent:
        made.append(TimedAgent(server, context, f"captured{next(_numbers)}"))
        return made[-1]

    yield make
    for agent in made:
        agent.close()


@pytest.fixture
def agent(server: Sandbox, make_agent: MakeAgent) -> TimedAgent:
    """One that is online and idle."""
    agent = make_agent()
    agent.come_online()
    server.wait_available([agent.name])
    return agent


def connection(
    context: "zmq.Context[zmq.Socket[bytes]]", agent: TimedAgent, public: bytes, secret: bytes
) -> "zmq.Socket[bytes]":
    socket = context.socket(zmq.DEALER)
    socket.linger = 0
    socket.curve_serverkey = agent.config["curve_public_key"].encode()
    socket.curve_publickey, socket.curve_secretkey = public, secret
    socket.connect(agent.config["push_jobs"]["heartbeat"]["command_addr"])
    return socket


def test_who_replays_a_request_with_his_own_key_is_heard_by_nobody(
    server: Sandbox, agent: TimedAgent, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    job = start(server, "x", agent.name)
    agent.expect("commit")
    agent.send("ack_commit", job)
    agent.expect("run")
    agent.send("ack_run", job)
    until(lambda: "running" in server.api.job(job)["nodes"], "it runs")
    public, secret = zmq.curve_keypair()
    stolen = with_key(agent.last, public.decode(), extensions="results,adopt", adopts="0" * 32)
    answers = [stolen.send() for _ in range(8)]
    assert {answer.status for answer in answers} == {200}
    thief = connection(context, agent, public, secret)
    try:
        body = (
            b'{"node":"%s","org":"sandbox","type":"heartbeat","sequence":1,"job_state":"idle",'
            b'"incarnation_id":"thief","timestamp":"Mon, 23 Nov 2026 20:43:16 GMT"}'
        ) % agent.name.encode()
        for _ in range(5):
            thief.send_multipart(wire.seal(body, b"k" * 32))
        assert "abort" not in keep_running(agent, job, 1.5)
        assert thief.poll(100) == 0
    finally:
        thief.close()
    assert availability(server, agent) == ("online", "available")
    agent.send("succeeded", job)
    assert job_is(server, job, "complete")["nodes"] == {"succeeded": [agent.name]}


def keep_running(agent: TimedAgent, job: str, seconds: float) -> list[str]:
    came, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        agent.heartbeat("running", job)
        if (message := agent.receive(0.2)) is not None:
            came.append(message["type"])
    return came


def test_the_nodes_own_key_stays_whatever_is_asked_for_in_its_name(
    server: Sandbox, agent: TimedAgent
) -> None:
    for _ in range(20):
        public, _ = zmq.curve_keypair()
        assert with_key(agent.last, public.decode()).send().status == 200
    agent.connect()
    agent.heartbeat()
    agent.expect("ack")
    assert availability(server, agent) == ("online", "available")


def test_another_nodes_key_cannot_be_claimed(
    server: Sandbox, agent: TimedAgent, make_agent: MakeAgent
) -> None:
    other = make_agent()
    other.come_online()
    refused = with_key(agent.last, other._public.decode()).send()
    assert (refused.status, refused.error) == (401, ["Bad ccpk"])
    own = agent.request(other._public.decode()).send()
    assert (own.status, own.error) == (401, ["Bad ccpk"]), "not by an enrolled node either"
    assert "abort" not in keep_alive(other, 0.5)
    assert availability(server, other) == ("online", "available")


def test_a_key_that_nobody_has_yet_is_kept_from_no_node(
    server: Sandbox, agent: TimedAgent, make_agent: MakeAgent
) -> None:
    other = make_agent()
    public, secret = zmq.curve_keypair()
    assert with_key(agent.last, public.decode()).send().status == 200
    other._public, other._secret = public, secret
    other.timestamp = format_iso8601(time.time() + 2)
    other.configure()
    other.connect()
    other.come_online()
    server.wait_available([other.name])


def test_an_agent_that_restarts_twice_within_a_second_is_served(
    server: Sandbox, agent: TimedAgent
) -> None:
    """Both its requests have one signature; the real agent gives up at a 401."""
    agent.timestamp = format_iso8601(time.time() + 2)
    agent.restart()
    agent.restart()
    agent.come_online()
    server.wait_available([agent.name])
    job = start(server, "x", agent.name)
    agent.expect("commit")
    agent.send("nack_commit", job)
    job_is(server, job, "quorum_failed")


def test_the_same_request_with_the_same_key_again_is_answered_again(agent: TimedAgent) -> None:
    assert [agent.last.send().status for _ in range(10)] == [200] * 10
    assert "abort" not in keep_alive(agent, 0.5)


@pytest.mark.parametrize("ahead", [240, 890])
def test_an_agent_whose_clock_was_ahead_and_is_set_right_is_served(
    server: Sandbox, agent: TimedAgent, ahead: int
) -> None:
    agent.timestamp = format_iso8601(time.time() + ahead)
    agent.restart()
    agent.timestamp = None
    agent.restart()
    agent.come_online()
    server.wait_available([agent.name])


def test_a_request_that_was_refused_is_no_use_to_others(server: Sandbox, agent: TimedAgent) -> None:
    """Its signature was seen: a key that comes with it proves nothing."""
    refused = agent.request("no key")
    assert refused.send().status == 401
    public, _ = zmq.curve_keypair()
    assert with_key(refused, public.decode()).send().status == 200
    assert "abort" not in keep_alive(agent, 1.0)
    assert availability(server, agent) == ("online", "available")


def test_a_request_from_before_a_restart_of_the_server_is_known(
    tmp_path: Path, context: "zmq.Context[zmq.Socket[bytes]]"
) -> None:
    settings = {"heartbeat_interval": 2000}
    with Fleet(tmp_path, [], settings=settings) as fleet:
        agent = TimedAgent(fleet, context, "restarted")
        agent.come_online()
        fleet.wait_available(["restarted"])
        fleet.end_server()
        fleet.start_server()

        def is_back() -> bool:
            keep_alive(agent, 0.3)
            return availability(fleet, agent) == ("online", "available")

        until(is_back, "the agent is back")
        public, _ = zmq.curve_keypair()
        assert with_key(agent.last, public.decode()).send().status == 200
        assert "abort" not in keep_alive(agent, 1.0)
        assert availability(fleet, agent) == ("online", "available")
        agent.close()
