"""Whatever is sent about identities: no 500, and nobody gets in by it."""

import json
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pushcli import keys
from pushcli.sandbox.sandbox import Sandbox
from tests.conformance.json_values import values
from tests.support.identities import KEYS, Signer, new_client, new_user, operator, superuser

pytestmark = pytest.mark.timeout(120)
PEM = keys.public_pem(KEYS[0])
WORDS = st.sampled_from(
    ["name", "username", "clientname", "groupname", "id", "public_key", "private_key",
     "admin", "validator", "superuser", "actors", "users", "clients", "groups", "kind",
     "expiration_date", "uses", "expires_in", "node", "token", "proof", "email", "full_name"]
)  # fmt: skip
LIKELY = values | st.sampled_from(
    ["operator", "pivotal", "admins", "user", "infinity", PEM, {"users": ["operator"]}, 1, True]
)
BODIES = st.dictionaries(WORDS, LIKELY, max_size=6) | values


class Place(NamedTuple):
    """What is sent where; what goes through is undone by nobody."""

    method: str
    path: str
    outside: bool = False


PLACES = [
    Place("POST", "clients"),
    Place("PUT", "clients/CLIENT"),
    Place("POST", "clients/CLIENT/keys"),
    Place("PUT", "clients/CLIENT/keys/default"),
    Place("POST", "users"),
    Place("POST", "groups"),
    Place("PUT", "groups/pushy_job_writers"),
    Place("POST", "groups/pushy_job_writers/members"),
    Place("POST", "tokens"),
    Place("POST", "enroll"),
    Place("POST", "/users", outside=True),
    Place("PUT", "/users/USER", outside=True),
    Place("POST", "/users/USER/keys", outside=True),
    Place("PUT", "/users/USER/keys/default", outside=True),
    Place("POST", "/organizations", outside=True),
]


@pytest.fixture(scope="module")
def somebody(server: Sandbox) -> tuple[Signer, Signer]:
    """A client and a user that requests are about."""
    return new_client(server), new_user(server)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.sampled_from(PLACES), body=BODIES)
def test_bodies(server: Sandbox, somebody: tuple[Signer, Signer], place: Place, body: Any) -> None:
    client, user = somebody
    path = place.path.replace("CLIENT", client.name).replace("USER", user.name)
    by = superuser(server) if place.outside else operator(server)
    content = json.dumps(body).encode()
    answer = by.raw(place.method, path, content, user=by.name)
    assert answer.status < 500, (place, body, answer)
    if place.path == "enroll":
        assert answer.status in {400, 403}
    if answer.status >= 400:
        assert isinstance(answer.error, list)


def test_the_server_lives_and_has_logged_no_failure(server: Sandbox) -> None:
    assert operator(server)("GET", "clients").status == 200
    assert "Traceback" not in server.log("server").read_text()
