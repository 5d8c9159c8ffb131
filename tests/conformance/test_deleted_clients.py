"""A deleted client's node is out at once, whatever its agent goes on to do."""

import threading
import time
from pathlib import Path

import pytest
import zmq

from pushcli import errors
from pushcli.sandbox.sandbox import Sandbox
from pushcli_server.core.fleet_jobs import ENDED_KEPT
from tests.support.fleet import Fleet
from tests.support.identities import operator
from tests.support.old_agent import MakeAgent, OldAgent, availability, keep_alive
from tests.support.waiting import job_is, patient, start, until

pytestmark = pytest.mark.timeout(60)
GONE = ("offline", "unavailable")


def delete(server: Sandbox, agent: OldAgent) -> None:
    answer = operator(server)("DELETE", f"clients/{agent.name}")
    assert (answer.status, answer.json["name"]) == (200, agent.name)


def knock(agent: OldAgent) -> None:
    """A new connection with the old key, and a few heartbeats; nothing may come of it."""
    agent.connect()
    for _ in range(5):
        agent.knock()
        assert agent.receive(0.1) is None


def test_its_live_connection_counts_no_more(server: Sandbox, agent: OldAgent) -> None:
    delete(server, agent)
    assert availability(server, agent) == GONE
    # It goes on, and is not heard; nothing comes to it.
    assert keep_alive(agent, 2.0) == []
    assert availability(server, agent) == GONE
    job = start(server, "x", agent.name)
    assert job_is(server, job, "quorum_failed")["nodes"] == {"unavailable": [agent.name]}
    assert agent.receive(0.5) is None


def test_it_cannot_come_back(server: Sandbox, agent: OldAgent) -> None:
    delete(server, agent)
    with pytest.raises(errors.AuthenticationError, match="Failed to authenticate as"):
        agent.configure()
    # With the key that was admitted before.
    knock(agent)
    assert availability(server, agent) == GONE


def test_what_it_runs_has_crashed(server: Sandbox, agent: OldAgent) -> None:
    job = start(server, "x", agent.name)
    agent.expect("commit")
    agent.send("ack_commit", job)
    agent.expect("run")
    agent.send("ack_run", job)
    until(lambda: "running" in server.api.job(job)["nodes"], "it runs")
    delete(server, agent)
    ended = server.api.job(job)
    assert (ended["status"], ended["nodes"]) == ("complete", {"crashed": [agent.name]})
    agent.send("succeeded", job)
    time.sleep(0.5)
    assert server.api.job(job)["nodes"] == {"crashed": [agent.name]}


def test_its_vote_counts_no_more(server: Sandbox, agent: OldAgent) -> None:
    job = start(server, "x", agent.name)
    agent.expect("commit")
    delete(server, agent)
    ended = server.api.job(job)
    assert (ended["status"], ended["nodes"]) == ("quorum_failed", {"unavailable": [agent.name]})
    agent.send("ack_commit", job)
    assert agent.receive(0.5) is None
    assert server.api.job(job) == ended


def test_the_next_of_its_name_is_another(
    server: Sandbox, agent: OldAgent, make_agent: MakeAgent
) -> None:
    delete(server, agent)
    heir = make_agent(agent.name)
    heir.come_online()
    server.wait_available([heir.name])
    for _ in range(4):
        agent.knock()
        heir.heartbeat()
        time.sleep(0.1)
    assert availability(server, heir) == ("online", "available")
    assert agent.receive(0.1) is None
    with pytest.raises(errors.AuthenticationError, match="Invalid signature"):
        agent.configure()


def is_deaf_to(stolen: bytes, agent: OldAgent) -> bool:
    """Whether what is signed with this session key under the agent's CURVE key is dropped."""
    own, agent.key = agent.key, stolen
    for _ in range(5):
        agent.heartbeat()
        assert agent.socket is not None
        if agent.socket.poll(100):
            return False
    agent.key = own
    return True


def test_the_next_of_its_name_has_another_session_key(
    context: "zmq.Context[zmq.Socket[bytes]]", tmp_path: Path
) -> None:
    with Fleet(tmp_path, [], settings={"heartbeat_interval": 2000}) as fleet:
        agent = OldAgent(fleet, context, "renewed")
        agent.come_online()
        fleet.wait_available([agent.name])
        delete(fleet, agent)
        heir = OldAgent(fleet, context, agent.name)
        assert heir.key != agent.key
        assert is_deaf_to(agent.key, heir)
        heir.come_online()
        fleet.wait_available([heir.name])
        fleet.end_server()
        fleet.start_server()
        heir.connect()
        assert is_deaf_to(agent.key, heir)

        def is_back() -> bool:
            keep_alive(heir, 0.3)
            return availability(fleet, heir) == ("online", "available")

        until(is_back, "the heir is back with the session key that it had")
        before = heir.key
        heir.configure()
        assert heir.key == before
        agent.close()
        heir.close()


def lies(agent: OldAgent, job: str) -> None:
    """Output and a result of a job in which it had no part; both are acknowledged."""
    agent.send("output", job, channel="stdout", offset=0, data="Zm9yZ2Vk")
    agent.expect("ack_output")
    agent.send("succeeded", job, spooled=True, exit_code=0, stdout_size=6, stderr_size=0)
    agent.expect("ack_result")


def test_the_next_of_its_name_writes_nothing_into_its_history(
    server: Sandbox, make_agent: MakeAgent
) -> None:
    offers = "results,output,partial"
    agent = make_agent(offers=offers)
    agent.come_online()
    server.wait_available([agent.name])
    job = start(server, "x", agent.name, capture_output=True)
    agent.expect("commit")
    agent.send("ack_commit", job)
    agent.expect("run")
    agent.send("ack_run", job)
    until(lambda: "running" in server.api.job(job)["nodes"], "it runs")
    delete(server, agent)
    between = start(server, "x", agent.name, capture_output=True)
    before = [server.api.job_nodes(one) for one in (job, between)]
    assert [parts[0]["state"] for parts in before] == ["crashed", "unavailable"]
    heir = make_agent(agent.name, offers=offers)
    heir.come_online()
    server.wait_available([heir.name])
    for repeated in (False, True):
        if repeated:
            # Once more when the server has forgotten the jobs, and asks its database.
            keep_alive(heir, ENDED_KEPT + 1)
        for one, parts in zip((job, between), before, strict=True):
            lies(heir, one)
            assert server.api.job_nodes(one) == parts


def test_a_configuration_that_is_just_being_fetched_admits_nobody(
    server: Sandbox, make_agent: MakeAgent
) -> None:
    for _ in range(8):
        agent = make_agent()
        ends: list[str] = []

        def configure(agent: OldAgent = agent, ends: list[str] = ends) -> None:
            try:
                while True:
                    agent.configure()
            except errors.AuthenticationError as error:
                ends.append(error.message)

        threads = [threading.Thread(target=configure) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        delete(server, agent)
        for thread in threads:
            thread.join(patient(10))
        assert len(ends) == 3
        knock(agent)
        assert availability(server, agent) == GONE
