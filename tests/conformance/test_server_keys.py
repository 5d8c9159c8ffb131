"""Old agents while the server's keys are replaced: either key serves, and then only one."""

from collections.abc import Iterator

import pytest
import zmq
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from pushcli import keys
from pushcli.protocol import wire
from pushcli.sandbox.sandbox import Sandbox
from tests.support.old_agent import OldAgent
from tests.support.waiting import patient, until

Context = zmq.Context[zmq.Socket[bytes]]
pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def fleet(server: Sandbox) -> Iterator[Sandbox]:
    """The server without any former keys, before and after."""
    yield server
    rotate(server, "--now")


def rotate(fleet: Sandbox, *options: str) -> None:
    log = fleet.log("server")
    seen = len(log.read_text())
    done = fleet.cli("server", "rotate-keys", "--dir", str(fleet.server_directory), *options)
    assert done.returncode == 0, done.stderr
    until(lambda: "the previous secrets" in log.read_text()[seen:], "the server took them up")


def settle(agent: OldAgent) -> None:
    """From a first message to idle: the server aborts what it does not know."""
    agent.heartbeat()
    agent.expect("abort")
    agent.send("aborted")


def works(fleet: Sandbox, agent: OldAgent) -> bool:
    """Whether a job of this agent's comes to its end."""
    fleet.wait_available([agent.name])
    job_id = fleet.api.start_job({"command": "true", "nodes": [agent.name]})
    while (message := agent.receive()) is not None:
        answer = {"commit": "ack_commit", "run": "ack_run"}.get(message["type"])
        if answer is None:
            continue
        agent.send(answer, job_id)
        if answer == "ack_run":
            agent.send("succeeded", job_id)
            break
    ended = until(lambda: (job := fleet.api.job(job_id))["status"] == "complete" and job, "its end")
    return bool(ended["nodes"] == {"succeeded": [agent.name]})


def comes_back(fleet: Sandbox, agent: OldAgent) -> bool:
    """Over new connections; the kernel may lead one to the other key first, a few times."""
    for _ in range(5):
        agent.connect()
        agent.heartbeat()
        agent.expect("ack", 10)
    return works(fleet, agent)


def test_an_agent_with_the_former_keys_stays_and_comes_back(
    fleet: Sandbox, context: Context
) -> None:
    agent = OldAgent(fleet, context, "former")
    settle(agent)
    assert works(fleet, agent)
    former = agent.config
    rotate(fleet)
    # The connection that there was is as good as before.
    agent.heartbeat()
    assert works(fleet, agent)
    # And so is a new one.
    assert comes_back(fleet, agent)
    agent.configure()
    for key in ("curve_public_key", "public_key"):
        assert agent.config[key] != former[key]
    assert comes_back(fleet, agent)
    agent.close()


def test_heartbeats_are_signed_with_both_keys_while_both_are_valid(
    fleet: Sandbox, context: Context
) -> None:
    agent = OldAgent(fleet, context, "listener")
    former = keys.load_public_key(agent.config["public_key"])
    rotate(fleet)
    agent.configure()
    current = keys.load_public_key(agent.config["public_key"])
    agent.close()
    with context.socket(zmq.SUB) as beats:
        beats.linger = 0
        beats.subscribe(b"")
        beats.connect(agent.config["push_jobs"]["heartbeat"]["out_addr"])
        pairs = []
        for _ in range(6):
            assert beats.poll(int(patient(5000)))
            frames = beats.recv_multipart()
            pairs.append((frames[1], [verifies(frames, key) for key in (current, former)]))
        if pairs[0][1] == [False, True]:
            # Ours began between the two of a pair.
            pairs = pairs[1:-1]
        for first, second in zip(pairs[::2], pairs[1::2], strict=True):
            assert first[0] == second[0]
            assert (first[1], second[1]) == ([True, False], [False, True])
        rotate(fleet, "--now")
        while beats.poll(0):
            beats.recv_multipart()
        for _ in range(3):
            assert beats.poll(int(patient(5000)))
            frames = beats.recv_multipart()
            assert [verifies(frames, key) for key in (current, former)] == [False, False]


def verifies(frames: list[bytes], key: RSAPublicKey) -> bool:
    try:
        wire.unseal_broadcast(frames, key, wire.MAX_BODY_FROM_SERVER)
    except wire.WireError:
        return False
    return True


def test_stolen_keys_prove_no_server_and_no_node_any_more(fleet: Sandbox, context: Context) -> None:
    agent = OldAgent(fleet, context, "stolen")
    settle(agent)
    rotate(fleet, "--now")
    assert agent.receive(1) is None
    agent.heartbeat()
    agent.connect()
    agent.heartbeat()
    assert agent.receive(2) is None
    # What was signed with the former session key counts no more either, on any connection.
    former = agent.key
    agent.configure()
    agent.connect()
    new, agent.key = agent.key, former
    agent.heartbeat()
    assert agent.receive(1) is None
    agent.key = new
    agent.heartbeat()
    agent.expect("ack")
    agent.close()
