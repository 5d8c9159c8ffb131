"""Whose signature it is: names shared by a user and a client, and keys that were renewed."""

import asyncio
import base64
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
import zmq
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from pushcli.protocol import session_keys
from pushcli.sandbox.sandbox import Sandbox
from pushcli_server import secrets, settings
from pushcli_server.store import Store, identity_reads, operations
from tests.support.fleet import Fleet
from tests.support.raw_http import Answer, Raw

pytestmark = pytest.mark.timeout(60)
USERS, CLIENTS, OLD, NEW, EXPIRED = (keys.generate() for _ in range(5))
READERS = "pushy_job_readers"
SALTS: dict[tuple[str, str], str] = {}


async def fill(fleet: Sandbox) -> None:
    place = fleet.server_directory
    store = Store.open(settings.load(place).database(place), place / "blobs")
    store.start(asyncio.get_running_loop(), lambda _: None)
    for name in ("twin", "outside-twin"):
        await store.write(
            operations.CreateUser(name=name, public_key=keys.public_pem(USERS)),
            operations.CreateClient(org="sandbox", name=name, public_key=keys.public_pem(CLIENTS)),
        )
    await store.write(operations.AssociateUser("sandbox", "twin"))
    # The user may read, the client of the same name may not.
    await store.write(operations.AddMember("sandbox", READERS, "user", "twin"))
    await store.write(
        operations.CreateClient(org="sandbox", name="renewed", public_key=keys.public_pem(OLD)),
        operations.AddKey(
            kind="client", org="sandbox", name="renewed", key_name="new",
            public_key=keys.public_pem(NEW),
        ),
        operations.AddKey(
            kind="client", org="sandbox", name="renewed", key_name="expired",
            public_key=keys.public_pem(EXPIRED), expires_at=1.0,
        ),
    )  # fmt: skip
    SALTS.update(await store.ask(identity_reads.session_salts))
    await store.close()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    fleet = Fleet(tmp_path_factory.mktemp("fleet"), [])
    fleet.make_server()
    asyncio.run(fill(fleet))
    fleet.start_server()
    yield fleet
    fleet.stop()


def signed_by(fleet: Sandbox, key: RSAPrivateKey) -> Raw:
    raw = Raw(fleet)
    raw.key = key
    return raw


def configure(raw: Raw, node: str) -> Answer:
    public, _ = zmq.curve_keypair()
    query = f"?ccpk={quote(public.decode(), safe='')}&version=2.0"
    return raw(path=f"pushy/config/{node}", query=query, user=node)


def session_key(answer: Answer, key: RSAPrivateKey) -> bytes:
    told = base64.b64decode(answer.json["encoded_session_key"]["key"])
    return key.decrypt(told, padding.PKCS1v15())


def node_key(fleet: Sandbox, node: str) -> bytes:
    """What the server's command channel expects of this node."""
    own = secrets.load(fleet.server_directory).current
    return session_keys.derive(own.session, "sandbox", node, SALTS["sandbox", node])


def test_the_key_that_fits_decides_between_a_user_and_a_client_of_one_name(fleet: Sandbox) -> None:
    assert signed_by(fleet, USERS)(user="twin").status == 200
    refused = signed_by(fleet, CLIENTS)(user="twin")
    assert (refused.status, refused.error) == (
        403,
        ["User or client 'twin' does not have access to that action on this server."],
    )
    assert signed_by(fleet, NEW)(user="twin").status == 401


def test_a_user_who_is_not_in_the_organization_is_not_its_client(fleet: Sandbox) -> None:
    refused = signed_by(fleet, USERS)(user="outside-twin")
    assert refused.error == ["'outside-twin' is not associated with organization 'sandbox'"]
    assert refused.status == 403
    assert configure(signed_by(fleet, CLIENTS), "outside-twin").status == 200


def test_only_the_client_of_a_name_is_the_node(fleet: Sandbox) -> None:
    as_client = configure(signed_by(fleet, CLIENTS), "twin")
    assert session_key(as_client, CLIENTS) == node_key(fleet, "twin")
    as_user = configure(signed_by(fleet, USERS), "twin")
    assert session_key(as_user, USERS) != node_key(fleet, "twin")


@pytest.mark.parametrize("key", [NEW, OLD], ids=["new", "old"])
def test_the_session_key_is_for_the_key_that_signed(fleet: Sandbox, key: RSAPrivateKey) -> None:
    raw = signed_by(fleet, key)
    answer = configure(raw, "renewed")
    assert session_key(answer, key) == node_key(fleet, "renewed")


def test_an_expired_key_signs_nothing(fleet: Sandbox) -> None:
    refused = configure(signed_by(fleet, EXPIRED), "renewed")
    assert refused.error == ["Invalid signature for user or client 'renewed'"]


def test_repeats_that_come_at_once_start_one_job(fleet: Sandbox) -> None:
    raw = Raw(fleet)
    job = {"command": "x", "nodes": ["nosuch"]}
    request_id = os.urandom(8).hex()

    def start(_: int) -> Answer:
        return raw("POST", body=job, X_Pushcli_Request_Id=request_id)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(start, range(16)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.json["uri"] for answer in answers}) == 1
    # Of one requestor: another's is another job.
    other = signed_by(fleet, USERS)
    assert other("POST", body=job, X_Pushcli_Request_Id=request_id, user="twin").status == 403
    assert raw().status == 200


@pytest.mark.parametrize("path", ["pushy/jobs/%00", "pushy/node_states/a%00b", "pushy/config/%00"])
def test_a_name_that_no_database_can_hold_names_nothing(fleet: Sandbox, path: str) -> None:
    assert Raw(fleet)(path=path).status == 404
    assert Raw(fleet)(path="/organizations/%00/pushy/jobs").status == 404
