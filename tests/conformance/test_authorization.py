"""Who may do what: every endpoint, every kind of principal, with and without the groups.

The expectation is written anew from section 2; it shares nothing with the server's code.
"""

import asyncio
import http.client
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pushcli import keys
from pushcli.protocol import signing
from pushcli.protocol.timestamps import format_iso8601
from pushcli.sandbox.sandbox import Sandbox
from pushcli_server import settings
from pushcli_server.rest.routes import routes
from pushcli_server.store import Store, operations
from tests.support.beside_chef import BesideChef
from tests.support.chef_server import ChefServer, chef_server
from tests.support.fleet import Fleet
from tests.support.waiting import patient

pytestmark = pytest.mark.timeout(120)
JOB = "0" * 32
KEY = keys.generate()
WRONG_KEY = keys.generate()
READERS, WRITERS, ADMINS = "pushy_job_readers", "pushy_job_writers", "admins"

ORGANIZATIONS = {
    "all-groups": {READERS, WRITERS, ADMINS},
    "no-readers": {WRITERS, ADMINS},
    "no-writers": {READERS, ADMINS},
    "only-admins": {ADMINS},
    "no-groups": set[str](),
    "neither-writers-nor-admins": {READERS},
}
MEMBERS = {
    READERS: {"reader", "nested"},
    WRITERS: {"writer", "nested"},
    # A client too: robots administrate.
    ADMINS: {"admin", "robot"},
}
USERS = ("admin", "reader", "writer", "nested", "plain")
CLIENTS = ("node1", "other-node", "validator", "robot")
SUPERUSER = "root"
PRINCIPALS = (*USERS, *CLIENTS, SUPERUSER, "stranger", "unknown", "wrong key")


class Endpoint(NamedTuple):
    method: str
    path: str
    access: str


ENDPOINTS = [
    Endpoint("GET", "pushy/jobs", "read"),
    Endpoint("POST", "pushy/jobs", "write"),
    Endpoint("GET", f"pushy/jobs/{JOB}", "read"),
    # Nobody's own: `test_own_jobs` has those.
    Endpoint("GET", f"pushy/jobs/{JOB}/nodes", "read"),
    Endpoint("GET", f"pushy/jobs/{JOB}/output/{'0' * 64}", "read"),
    Endpoint("GET", f"pushy/jobs/{JOB}/output_feed", "read"),
    Endpoint("GET", "pushy/own_jobs", "write"),
    Endpoint("GET", f"pushy/own_jobs/{JOB}", "read"),
    Endpoint("GET", f"pushy/own_jobs/{JOB}/output/node1/stdout", "read"),
    Endpoint("GET", f"pushy/own_jobs/{JOB}/feed", "read"),
    Endpoint("POST", f"pushy/jobs/{JOB}/abort", "write"),
    Endpoint("GET", f"pushy/jobs/{JOB}/output/node1/stdout", "read"),
    Endpoint("GET", f"pushy/jobs/{JOB}/output/node1/stderr", "read"),
    Endpoint("GET", f"pushy/job_status_feed/{JOB}", "read"),
    Endpoint("GET", f"pushy/jobs_status_feed/{JOB}", "read"),
    Endpoint("GET", "pushy/freeze", "member"),
    Endpoint("GET", "pushy/administrators", "member"),
    Endpoint("PUT", "pushy/freeze", "admin"),
    Endpoint("DELETE", "pushy/freeze", "admin"),
    Endpoint("POST", "pushy/pauses", "write"),
    Endpoint("POST", "pushy/resumes", "write"),
    Endpoint("GET", "pushy/node_states", "read"),
    Endpoint("GET", "pushy/node_states/node1", "read"),
    Endpoint("GET", "pushy/config/node1", "config"),
    Endpoint("GET", "pushy/connect/node1", "config"),
    Endpoint("POST", "clients", "clients"),
    Endpoint("GET", "pushy/node_status", "read"),
    Endpoint("GET", "pushy/node_status/node1", "read"),
    Endpoint("POST", "pushy/checks", "read"),
    Endpoint("GET", "pushy/whitelist", "read"),
    Endpoint("POST", "pushy/whitelist", "admin"),
    Endpoint("POST", "pushy/node_changes", "admin"),
    Endpoint("GET", "pushy/whitelist/node1", "read"),
    Endpoint("GET", "pushy/whitelist_editors", "read"),
    Endpoint("POST", "pushy/whitelist_editors", "admin"),
    Endpoint("GET", "pushy/editors", "read"),
    Endpoint("POST", "pushy/editors", "admin"),
    Endpoint("GET", "pushy/editors/entries", "admin"),
    Endpoint("GET", "nodes", "member"),
    Endpoint("POST", "nodes", "admin"),
    Endpoint("GET", "nodes/node1", "member"),
    Endpoint("HEAD", "nodes/node1", "member"),
    Endpoint("PUT", "nodes/node1", "own client"),
    Endpoint("DELETE", "nodes/nosuch", "admin"),
    Endpoint("GET", "search", "member"),
    Endpoint("GET", "search/node", "member"),
    Endpoint("POST", "search/node", "member"),
    Endpoint("GET", "clients", "admin"),
    Endpoint("GET", "clients/node1", "own client"),
    Endpoint("PUT", "clients/node1", "own client"),
    Endpoint("DELETE", "clients/nosuch", "admin"),
    Endpoint("GET", "clients/node1/keys", "own client"),
    Endpoint("POST", "clients/node1/keys", "own client"),
    Endpoint("GET", "clients/node1/keys/nosuch", "own client"),
    Endpoint("PUT", "clients/node1/keys/nosuch", "own client"),
    Endpoint("DELETE", "clients/node1/keys/nosuch", "own client"),
    Endpoint("GET", "users", "admin"),
    Endpoint("POST", "users", "admin"),
    Endpoint("GET", "users/plain", "own user"),
    Endpoint("DELETE", "users/nosuch", "admin"),
    Endpoint("GET", "groups", "member"),
    Endpoint("POST", "groups", "admin"),
    Endpoint("GET", "groups/team", "member"),
    Endpoint("PUT", "groups/nosuch", "admin"),
    Endpoint("DELETE", "groups/nosuch", "admin"),
    Endpoint("POST", "groups/nosuch/members", "admin"),
    Endpoint("DELETE", "groups/nosuch/members/user/plain", "admin"),
    Endpoint("GET", "principals/node1", "member"),
    Endpoint("GET", "tokens", "admin"),
    Endpoint("POST", "tokens", "admin"),
    Endpoint("DELETE", "tokens/nosuch", "admin"),
    Endpoint("GET", "audit", "admin"),
    Endpoint("GET", "pushy/audit", "admin"),
    Endpoint("GET", "/users", "superuser"),
    Endpoint("POST", "/users", "superuser"),
    Endpoint("GET", "/users/plain", "this user"),
    Endpoint("PUT", "/users/plain", "this user"),
    Endpoint("DELETE", "/users/nosuch", "superuser"),
    Endpoint("GET", "/users/plain/keys", "this user"),
    Endpoint("POST", "/users/plain/keys", "this user"),
    Endpoint("GET", "/users/plain/keys/nosuch", "this user"),
    Endpoint("PUT", "/users/plain/keys/nosuch", "this user"),
    Endpoint("DELETE", "/users/plain/keys/nosuch", "this user"),
    Endpoint("GET", "/organizations", "superuser"),
    Endpoint("POST", "/organizations", "superuser"),
    Endpoint("GET", "/organizations/all-groups", "superuser"),
    # Of one that is not there: the others are still needed.
    Endpoint("DELETE", "/organizations/nosuch", "superuser"),
    Endpoint("GET", "/audit", "superuser"),
    Endpoint("POST", "/pushy/servers", "superuser"),
]
UNSIGNED = {"enroll"}


def expected_beside_chef(organization: str, principal: str, endpoint: Endpoint) -> int | None:
    """The same where users, clients and groups are on a Chef Infra Server.

    It alone has them, and says nothing of superusers and validators.
    """
    path = endpoint.path
    if not path.lstrip("/").startswith("pushy/") and path not in {"audit", "/audit"}:
        return 404
    if path.startswith("/"):
        return 401
    if principal == SUPERUSER:
        return 403
    is_member = principal in {*USERS, *CLIENTS}
    if is_member and endpoint.access == "member":
        return None
    return expected(organization, principal, endpoint.access)


def expected(organization: str, principal: str, access: str) -> int | None:
    """401 or 403; None: it passes, and something else is said."""
    groups = ORGANIZATIONS[organization]

    def in_group(group: str) -> bool:
        return group in groups and principal in MEMBERS[group]

    if principal in {"unknown", "wrong key"}:
        return 401
    if principal == SUPERUSER:
        # Everything, everywhere; only a node's own client may act as the node.
        return None
    if access in {"superuser", "this user"}:
        # Outside of the organizations there are no clients.
        if principal in CLIENTS:
            return 401
        return None if access == "this user" and principal == "plain" else 403
    if principal == "stranger":
        return 403
    may_read = in_group(READERS) or READERS not in groups
    match access:
        case "read":
            allowed = may_read
        case "write":
            allowed = in_group(WRITERS) if WRITERS in groups else in_group(ADMINS)
        case "config" if principal in CLIENTS:
            allowed = principal == "node1"
        case "member":
            allowed = principal != "validator"
        case "own user":
            allowed = principal == "plain" or in_group(ADMINS)
        case "admin":
            allowed = in_group(ADMINS)
        case "own client":
            allowed = principal == "node1" or in_group(ADMINS)
        case "config":
            allowed = may_read
        case _:
            allowed = principal == "validator" or in_group(ADMINS)
    return None if allowed else 403


async def fill(store: Store) -> None:
    pem = keys.public_pem(KEY)
    store.start(asyncio.get_running_loop(), lambda _: None)
    users = [operations.CreateUser(name=name, public_key=pem) for name in (*USERS, "stranger")]
    root = operations.CreateUser(name=SUPERUSER, public_key=pem, superuser=True)
    await store.write(*users, root, operations.CreateOrganization("elsewhere"))
    await store.write(operations.AssociateUser("elsewhere", "stranger"))
    for organization, groups in ORGANIZATIONS.items():
        await store.write(
            operations.CreateOrganization(organization),
            *(operations.AssociateUser(organization, name) for name in USERS),
            *(
                operations.CreateClient(
                    org=organization, name=name, public_key=pem, validator=name == "validator"
                )
                for name in CLIENTS
            ),
            operations.CreateGroup(organization, "team"),
            operations.AddMember(organization, "team", "user", "nested"),
            # A client of this name is no member: kinds do not mix.
            operations.AddMember(organization, "team", "client", "plain"),
            *(operations.CreateGroup(organization, group) for group in groups),
            *(
                operations.AddMember(organization, group, *member)
                for group in groups
                for member in direct_members(group)
            ),
        )
    await store.close()


def direct_members(group: str) -> Iterator[tuple[str, str]]:
    """Kinds and names of those who are in it themselves."""
    for name in MEMBERS[group] - {"nested"}:
        yield "client" if name in CLIENTS else "user", name
    if "nested" in MEMBERS[group]:
        yield "group", "team"
    # A member that left the organization does not come back by its group.
    yield "user", "stranger"


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A server with an organization for each set of groups."""
    fleet = Fleet(
        tmp_path_factory.mktemp("crowded"), [], settings={"trusted_proxies": ["127.0.0.0/8"]}
    )
    fleet.make_server()
    place = fleet.server_directory
    database = settings.load(place).database(place)
    asyncio.run(_filled(database, place / "blobs"))
    fleet.start_server()
    yield fleet
    fleet.stop()


async def _filled(database: str, blobs: Path) -> None:
    await fill(Store.open(database, blobs))


@pytest.fixture(scope="module")
def beside_chef(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """The same on a Chef Infra Server; the server's own store has all of them otherwise."""
    directory = tmp_path_factory.mktemp("beside")
    superuser_key = keys.generate()
    with chef_server(superuser_key.public_key()) as chef:
        fill_chef(chef)
        fleet = BesideChef(directory, chef, superuser_key)
        fleet.make_server()
        place = fleet.server_directory
        database = settings.load(place).database(place)
        asyncio.run(fill_contrary(Store.open(database, place / "blobs")))
        fleet.start_server()
        yield fleet
        fleet.stop()


def fill_chef(chef: ChefServer) -> None:
    pem = keys.public_pem(KEY)
    chef.organizations |= {*ORGANIZATIONS, "elsewhere"}
    # Users of the server that do not belong to the organization.
    for name in (SUPERUSER, "stranger"):
        chef.keys["", "user", name] = [pem]
    for organization, groups in ORGANIZATIONS.items():
        for name in USERS:
            chef.keys[organization, "user", name] = [pem]
        for name in CLIENTS:
            chef.keys[organization, "client", name] = [pem]
        # Two deep, and round in a circle.
        chef.groups[organization, "team"] = {
            "users": ["nested"], "clients": ["plain"], "groups": ["teams"],
        }  # fmt: skip
        # One elsewhere of the same name is another one.
        chef.groups[organization, "teams"] = {"groups": ["team", "elsewhere::others", "gone"]}
        chef.groups[organization, "others"] = {"users": [*USERS], "clients": [*CLIENTS]}
        for group in groups:
            members = MEMBERS[group]
            chef.groups[organization, group] = {
                "users": ["stranger", SUPERUSER, *(members & {*USERS} - {"nested"})],
                "clients": [*(members & {*CLIENTS})],
                "groups": [f"{organization}::teams"] if "nested" in members else [],
            }


async def fill_contrary(store: Store) -> None:
    """Everybody may everything here, by other keys; and who is unknown there has the right one."""
    store.start(asyncio.get_running_loop(), lambda _: None)
    right, wrong = keys.public_pem(KEY), keys.public_pem(WRONG_KEY)
    users = (*USERS, "stranger")
    await store.write(
        operations.AllowChef(url="x", at=0.0),
        operations.CreateOrganization("nowhere"),
        *(operations.CreateUser(name=name, public_key=wrong) for name in users),
        *(operations.CreateUser(name=n, public_key=right, superuser=True)
          for n in (SUPERUSER, "unknown")),
    )  # fmt: skip
    members = [("user", name) for name in (*users, "unknown", SUPERUSER)]
    members += [("client", name) for name in CLIENTS]
    for organization in (*ORGANIZATIONS, "nowhere"):
        if organization != "nowhere":
            await store.write(operations.CreateOrganization(organization))
        await store.write(
            *(operations.AssociateUser(organization, n) for n in (*users, "unknown", SUPERUSER)),
            *(
                operations.CreateClient(org=organization, name=name, public_key=wrong)
                for name in CLIENTS
            ),
            *(operations.CreateGroup(organization, group) for group in (READERS, WRITERS, ADMINS)),
            *(
                operations.AddMember(organization, group, kind, name)
                for group in (READERS, WRITERS, ADMINS)
                for kind, name in members
            ),
        )
    await store.close()


def ask(
    connection: http.client.HTTPConnection, path: str, method: str, user: str, key: RSAPrivateKey,
    headers_of_answer: dict[str, str] | None = None, value: object = None,
) -> tuple[int, str]:  # fmt: skip
    body = json.dumps(value or {}).encode() if method in {"POST", "PUT"} else b""
    headers = signing.sign(
        key, method=method, path=path, body=body, user=user,
        timestamp=format_iso8601(time.time()),
    )  # fmt: skip
    headers |= {"Accept": "*/*"}
    if body:
        headers["Content-Type"] = "application/json"
    connection.request(method, path, body or None, headers)
    response = connection.getresponse()
    if headers_of_answer is not None:
        headers_of_answer |= {name.lower(): value for name, value in response.headers.items()}
    return response.status, response.read().decode()


@pytest.mark.parametrize("identity", ["own", "chef"])
@pytest.mark.parametrize("principal", PRINCIPALS)
@pytest.mark.parametrize("organization", ORGANIZATIONS)
def test_every_endpoint(
    request: pytest.FixtureRequest, organization: str, principal: str, identity: str
) -> None:
    fleet = request.getfixturevalue({"own": "crowded", "chef": "beside_chef"}[identity])
    name = {"wrong key": "admin"}.get(principal, principal)
    key = WRONG_KEY if principal == "wrong key" else KEY
    connection = http.client.HTTPConnection("127.0.0.1", fleet.ports[0], timeout=patient(10))
    wrong = []
    for endpoint in ENDPOINTS:
        path = endpoint.path
        if not path.startswith("/"):
            path = f"/organizations/{organization}/{path}"
        status, text = ask(connection, path, endpoint.method, name, key)
        wanted = (
            expected(organization, principal, endpoint.access)
            if identity == "own"
            else expected_beside_chef(organization, principal, endpoint)
        )
        passed = status not in {401, 403} if wanted is None else status == wanted
        if not passed or status >= 500:
            wrong.append(f"{endpoint.method} {endpoint.path}: {status} instead of {wanted} {text}")
    connection.close()
    assert wrong == []


def test_an_organization_that_only_the_own_store_has_is_not_there(beside_chef: Sandbox) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", beside_chef.ports[0], timeout=patient(10))
    status, _ = ask(connection, "/organizations/nowhere/pushy/jobs", "GET", SUPERUSER, KEY)
    connection.close()
    assert status == 404


@pytest.mark.parametrize("principal", ["plain", "reader", "other-node", "validator"])
# Administrators there are everywhere: their group cannot be deleted.
@pytest.mark.parametrize("organization", [o for o, g in ORGANIZATIONS.items() if ADMINS in g])
def test_whoever_joins_the_group_that_a_refusal_names_may(
    crowded: Sandbox, organization: str, principal: str
) -> None:
    base = f"/organizations/{organization}"
    kind = "client" if principal in CLIENTS else "user"
    connection = http.client.HTTPConnection("127.0.0.1", crowded.ports[0], timeout=patient(10))
    lacking: dict[str, list[Endpoint]] = {}
    for endpoint in ENDPOINTS:
        if endpoint.path.startswith("/") and kind == "client":
            # Not even known there.
            continue
        path = endpoint.path if endpoint.path.startswith("/") else f"{base}/{endpoint.path}"
        status, text = ask(connection, path, endpoint.method, principal, KEY)
        if status != 403 or "Client and node name must match" in text:
            continue
        group, named, action = told(connection, path, endpoint.method, principal)
        assert named == kind
        assert action != "do this", endpoint
        lacking.setdefault(group, []).append(endpoint)
    # No group makes a superuser.
    assert all(one.path.startswith("/") for one in lacking.pop("", []))
    for group, endpoints in lacking.items():
        made = group not in ORGANIZATIONS[organization]
        if made:
            send(connection, f"{base}/groups", "POST", {"groupname": group})
        send(connection, f"{base}/groups/{group}/members", "POST", {f"{kind}s": [principal]})
        for endpoint in endpoints:
            path = f"{base}/{endpoint.path}"
            status, text = ask(connection, path, endpoint.method, principal, KEY)
            assert status != 403, (group, endpoint, text)
        gone = f"/groups/{group}" + ("" if made else f"/members/{kind}s/{principal}")
        send(connection, base + gone, "DELETE")
    connection.close()


def told(
    connection: http.client.HTTPConnection, path: str, method: str, user: str
) -> tuple[str, str, str]:
    """The group that a refusal names, of which kind who is refused is, and the action."""
    needs: dict[str, str] = {}
    ask(connection, path, method, user, KEY, needs)
    group, kind, action = needs["x-pushcli-needs"].split("; ", 2)
    return group, kind, action


def send(
    connection: http.client.HTTPConnection, path: str, method: str, value: object = None
) -> None:
    """As the superuser; it must be done."""
    status, text = ask(connection, path, method, SUPERUSER, KEY, value=value)
    assert status < 300, (path, text)


def test_the_matrix_has_every_endpoint_of_the_server() -> None:
    class Nothing:
        """Handlers only keep what they are given, until they are called."""

        def __getattr__(self, name: str) -> None:
            return None

    for route in routes(Nothing(), None):  # type: ignore[arg-type]
        if re.fullmatch(route.pattern, "/organizations/a/pushy/job_status_feed"):
            continue
        for method in route.methods:
            if route.pattern.pattern.rpartition("/")[2] in UNSIGNED:
                continue
            assert any(
                endpoint.method == method and route.pattern.fullmatch(whole(endpoint.path))
                for endpoint in ENDPOINTS
            ), (method, route.pattern.pattern)


def whole(path: str) -> str:
    return path if path.startswith("/") else f"/organizations/a/{path}"


@pytest.mark.parametrize(
    ("principal", "path", "text"),
    [
        ("unknown", "pushy/jobs", "Failed to authenticate as 'unknown'. Ensure that your "
         "node_name and client key are correct."),
        ("wrong key", "pushy/jobs", "Invalid signature for user or client 'admin'"),
        ("stranger", "pushy/jobs", "'stranger' is not associated with organization 'all-groups'"),
        ("plain", "pushy/jobs", "User or client 'plain' does not have access to that action on "
         "this server."),
        ("other-node", "pushy/config/node1", "Client and node name must match"),
    ],
)  # fmt: skip
def test_a_refusal_says_why_in_the_old_servers_words(
    crowded: Sandbox, principal: str, path: str, text: str
) -> None:
    name = {"wrong key": "admin"}.get(principal, principal)
    key = WRONG_KEY if principal == "wrong key" else KEY
    connection = http.client.HTTPConnection("127.0.0.1", crowded.ports[0], timeout=patient(10))
    _, body = ask(connection, f"/organizations/all-groups/{path}", "GET", name, key)
    connection.close()
    assert json.loads(body) == {"error": [text]}


def test_a_trusted_proxy_says_how_its_client_came(crowded: Sandbox) -> None:
    path = "/organizations/all-groups/pushy/jobs"
    body = b'{"command": "x", "nodes": ["a"]}'
    headers = signing.sign(
        KEY, method="POST", path=path, body=body, user="writer",
        timestamp=format_iso8601(time.time()),
    )  # fmt: skip
    headers |= {"Content-Type": "application/json", "X-Forwarded-Proto": "https"}
    connection = http.client.HTTPConnection("127.0.0.1", crowded.ports[0], timeout=patient(10))
    connection.request("POST", path, body, {**headers, "Host": "push.example.com:443"})
    uri = json.loads(connection.getresponse().read())["uri"]
    connection.close()
    assert uri.startswith("https://push.example.com/organizations/all-groups/pushy/jobs/")
