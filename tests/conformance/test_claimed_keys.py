"""CURVE keys that several nodes claim: each belongs to the first, and goes with it."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
import zmq

from pushcli import errors, keys
from pushcli.sandbox.sandbox import Sandbox
from tests.support.fleet import Fleet
from tests.support.identities import KEYS, Signer, new_client, new_name, operator, superuser
from tests.support.old_agent import OldAgent, availability, keep_alive
from tests.support.raw_http import Answer
from tests.support.waiting import job_is, start

pytestmark = pytest.mark.timeout(60)
CLAIMED = (401, ["Bad ccpk"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A server that bears some silence: on a busy machine a script may be late."""
    settings = {"heartbeat_interval": 2000}
    with Fleet(tmp_path_factory.mktemp("server"), [], settings=settings) as fleet:
        yield fleet


def new_key() -> str:
    return zmq.curve_keypair()[0].decode()


def configure(by: Signer, curve_key: str, org: str = "sandbox") -> Answer:
    path = f"/organizations/{org}/pushy/config/{by.name}"
    return by("GET", path, query=f"?ccpk={quote(curve_key, safe='')}&version=2.0")


def is_out(server: Sandbox, agent: OldAgent) -> None:
    """It goes on, and neither is heard nor receives anything."""
    job = start(server, "secret", agent.name)
    assert job_is(server, job, "quorum_failed")["nodes"] == {"unavailable": [agent.name]}
    assert keep_alive(agent, 1.0) == []
    assert availability(server, agent) == ("offline", "unavailable")


def test_nodes_that_shared_and_swapped_keys_can_be_deleted_and_are_out(
    server: Sandbox, agent: OldAgent
) -> None:
    other = new_client(server, KEYS[0])
    own, shared = agent._public.decode(), new_key()
    assert configure(other, shared).status == 200
    assert (configure(other, own).status, configure(other, own).error) == CLAIMED
    # Signed in one second, all but the first are repeats, and stand beside the node's own.
    assert {configure(other, new_key()).status for _ in range(6)} == {200}
    assert (configure(other, own).status, configure(other, own).error) == CLAIMED
    assert "abort" not in keep_alive(agent, 0.5)
    assert availability(server, agent) == ("online", "available")
    for name in (other.name, agent.name):
        assert operator(server)("DELETE", f"clients/{name}").status == 200
    is_out(server, agent)


def test_a_key_that_is_given_back_and_forth_stays_with_its_first_node(
    server: Sandbox, agent: OldAgent
) -> None:
    other = new_client(server, KEYS[0])
    own, fresh = agent._public.decode(), new_key()
    assert configure(other, fresh).status == 200
    agent._public, kept = fresh.encode(), agent._public
    with pytest.raises(errors.AuthenticationError, match="Bad ccpk"):
        agent.configure()
    agent._public = kept
    for _ in range(3):
        assert (configure(other, own).status, configure(other, own).error) == CLAIMED
    assert operator(server)("DELETE", f"clients/{other.name}").status == 200
    agent.heartbeat()
    assert availability(server, agent) == ("online", "available")


def test_a_node_of_another_organization_claims_nothing_either(
    server: Sandbox, agent: OldAgent
) -> None:
    root, org = superuser(server), new_name("org")
    made = root.post("/organizations", {"name": org})
    assert made["clientname"] == f"{org}-validator"
    name = agent.name
    pem = keys.public_pem(KEYS[0])
    root.post(f"/organizations/{org}/clients", {"name": name, "public_key": pem})
    twin = Signer(server, name, KEYS[0])
    refused = configure(twin, agent._public.decode(), org)
    assert (refused.status, refused.error) == CLAIMED
    assert configure(twin, new_key(), org).status == 200
    assert root("DELETE", f"/organizations/{org}/clients/{name}").status == 200
    assert "abort" not in keep_alive(agent, 0.5)
    assert availability(server, agent) == ("online", "available")
