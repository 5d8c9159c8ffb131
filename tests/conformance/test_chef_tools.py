"""What Chef's own tools ask of a server, as it was recorded: users, clients, groups, nodes."""

from typing import Any

import pytest

from pushcli import keys
from pushcli.sandbox.sandbox import Sandbox
from tests.support.identities import (
    KEYS,
    Signer,
    new_client,
    new_name,
    new_user,
    operator,
    superuser,
)

pytestmark = pytest.mark.timeout(60)
PEM = keys.public_pem(KEYS[2])
VERSION = "X_Ops_Server_API_Version"


def make(server: Sandbox, kind: str, version: str, **body: Any) -> tuple[str, Any]:
    """A new user or client; its name and the answer."""
    name = new_name(kind)
    if kind == "user":
        root = superuser(server)
        # 1.1 does not sign the version, so that each can be sent.
        answer = root(
            "POST", "/users", {"username": name, **body}, version="1.1", **{VERSION: version}
        )
    else:
        answer = operator(server)(
            "POST", "clients", {"name": name, **body}, version="1.1", **{VERSION: version}
        )
    assert answer.status == 201, answer
    return name, answer.json


def stored_key(server: Sandbox, kind: str, name: str) -> Any:
    shown = superuser(server).get(f"/users/{name}" if kind == "user" else f"clients/{name}")
    return shown["public_key"]


KINDS = pytest.mark.parametrize("kind", ["user", "client"])


@KINDS
def test_under_api_version_0_a_key_is_made_without_being_asked_for(
    server: Sandbox, kind: str
) -> None:
    name, made = make(server, kind, "0")
    expected = {"uri", "private_key"} | ({"public_key"} if kind == "client" else set())
    assert made.keys() == expected
    fresh = keys.private_key(made["private_key"].encode(), "test")
    assert keys.public_pem(fresh) == stored_key(server, kind, name)


@KINDS
def test_under_api_version_0_a_key_that_is_given_is_kept(server: Sandbox, kind: str) -> None:
    name, made = make(server, kind, "0", public_key=PEM)
    assert made.keys() == {"uri"} | ({"public_key"} if kind == "client" else set())
    assert stored_key(server, kind, name) == PEM


@KINDS
@pytest.mark.parametrize("version", ["1", "2"])
def test_from_version_1_on_the_answer_has_the_key_as_an_object(
    server: Sandbox, kind: str, version: str
) -> None:
    name, made = make(server, kind, version, public_key=PEM)
    assert made == {
        "uri": made["uri"],
        "chef_key": {
            "name": "default", "uri": f"{made['uri']}/keys/default", "public_key": PEM,
            "expiration_date": "infinity",
        },
    }  # fmt: skip
    assert made["uri"].endswith(f"s/{name}")
    asked, made = make(server, kind, version, create_key=True)
    fresh = keys.private_key(made["chef_key"]["private_key"].encode(), "test")
    assert made["chef_key"]["public_key"] == keys.public_pem(fresh)
    assert stored_key(server, kind, asked) == keys.public_pem(fresh)


@KINDS
@pytest.mark.parametrize("version", ["1", "2"])
def test_from_version_1_on_there_is_no_key_unless_it_is_asked_for(
    server: Sandbox, kind: str, version: str
) -> None:
    name, made = make(server, kind, version)
    assert made.keys() == {"uri"}
    assert stored_key(server, kind, name) is None
    stranger = Signer(server, name, KEYS[3])
    assert stranger("GET", f"clients/{name}").status == 401
    root, folder = superuser(server), f"/users/{name}" if kind == "user" else f"clients/{name}"
    made = root("POST", f"{folder}/keys", {
        "name": "first", "public_key": keys.public_pem(KEYS[3]), "expiration_date": "infinity",
    })  # fmt: skip
    assert made.status == 201
    assert stranger("GET", folder).status == 200


# --- groups


def test_a_group_takes_users_who_do_not_belong_yet_and_they_count_once_they_do(
    server: Sandbox,
) -> None:
    admin, outsider = operator(server), new_user(server, associated=False)
    group = new_name("group")
    admin.post("groups", {"groupname": group})
    actors = {"users": [outsider.name], "clients": [], "groups": []}
    put = admin("PUT", f"groups/{group}", {"groupname": group, "actors": actors})
    assert (put.status, put.json["users"]) == (200, [outsider.name])
    admin.post("groups/pushy_job_readers/members", {"kind": "group", "name": group})
    refused = outsider("GET", "pushy/node_states")
    assert refused.status == 403
    assert "is not associated with organization" in refused.error[0]
    superuser(server).post("users", {"username": outsider.name})
    assert outsider("GET", "pushy/node_states").status == 200
    # And no longer than they belong.
    superuser(server)("DELETE", f"users/{outsider.name}")
    assert admin.get(f"groups/{group}")["users"] == []


def test_a_deleted_users_place_in_a_group_is_nobodys(server: Sandbox) -> None:
    admin, root = operator(server), superuser(server)
    outsider = new_user(server, associated=False)
    group = new_name("group")
    admin.post("groups", {"groupname": group})
    admin("PUT", f"groups/{group}", {"actors": {"users": [outsider.name]}})
    assert root("DELETE", f"/users/{outsider.name}").status == 200
    assert admin.get(f"groups/{group}")["users"] == []


def test_who_is_nobody_is_named(server: Sandbox) -> None:
    admin, group = operator(server), new_name("group")
    admin.post("groups", {"groupname": group})
    refused = admin("PUT", f"groups/{group}", {"actors": {"users": ["eve"], "clients": ["c"]}})
    assert (refused.status, refused.error) == (400, ["not known here: user eve, client c"])


def test_outsiders_in_admins_administrate_nothing(server: Sandbox) -> None:
    admin, outsider = operator(server), new_user(server, associated=False)
    before = admin.get("groups/admins")
    actors = {"users": [*before["users"], outsider.name], "clients": before["clients"],
              "groups": before["groups"]}  # fmt: skip
    assert admin("PUT", "groups/admins", {"actors": actors}).status == 200
    assert outsider("GET", "clients").status == 403
    alone = admin("PUT", "groups/admins", {"actors": {"users": [outsider.name]}})
    assert alone.status == 403, "nobody who belongs would be left"
    actors["users"] = before["users"]
    assert admin("PUT", "groups/admins", {"actors": actors}).status == 200


def test_an_organization_has_the_groups_that_tools_look_for(server: Sandbox) -> None:
    admin = operator(server)
    assert {"admins", "billing-admins", "users"} <= admin.get("groups").keys()
    member = new_user(server)
    assert member.name in admin.get("groups/users")["users"]
    superuser(server)("DELETE", f"users/{member.name}")
    assert member.name not in admin.get("groups/users")["users"]


# --- nodes


def test_a_node_keeps_its_policies(server: Sandbox) -> None:
    admin, name = operator(server), new_name("node")
    policies = {"policy_name": "base", "policy_group": "prod-1.2"}
    admin.post("nodes", {"name": name, **policies})
    shown = admin.get(f"nodes/{name}")
    assert {key: shown[key] for key in policies} == policies
    for query in ("policy_name:base", "policy_group:prod*"):
        rows = admin.get("search/node", query=f"?q={query}")["rows"]
        assert shown in rows
    part = admin("POST", "search/node", {"p": ["policy_name"]}, query=f"?q=name:{name}")
    assert part.json["rows"][0]["data"] == {"p": "base"}
    put = admin("PUT", f"nodes/{name}", {**shown, "policy_name": "next"})
    assert (put.status, put.json["policy_name"], put.json["policy_group"]) == (
        200, "next", "prod-1.2",
    )  # fmt: skip
    del shown["policy_name"], shown["policy_group"]
    bare = admin("PUT", f"nodes/{name}", shown)
    assert (bare.status, bare.json) == (200, shown)
    assert admin.get("search/node", query=f"?q=policy_name:next%20AND%20name:{name}")["total"] == 0


@pytest.mark.parametrize("value", ["", "a b", "x" * 256, 1, ["base"]])
def test_what_is_no_policy_is_refused(server: Sandbox, value: Any) -> None:
    for key in ("policy_name", "policy_group"):
        answer = operator(server)("POST", "nodes", {"name": new_name("node"), key: value})
        assert answer.status == 400


# --- what is not here


@pytest.mark.parametrize(
    "path",
    [
        "roles", "roles/web", "environments", "environments/_default", "data", "data/bag/item",
        "cookbooks", "cookbooks/ntp/_latest", "policies/base", "policy_groups", "nosuch",
        "search/role", "pushy/nosuch",
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_what_is_not_here_is_one_404(server: Sandbox, path: str, method: str) -> None:
    answer = operator(server)(method, path, None if method == "GET" else {})
    assert answer.status == 404
    assert answer.error == [
        "not found: roles, environments, data bags, cookbooks and policies are a Chef Infra "
        "Server's"
    ]


def test_a_node_that_is_deleted_over_rest_stays_enrolled(server: Sandbox) -> None:
    client = new_client(server)
    admin = operator(server)
    admin.post("nodes", {"name": client.name, "normal": {"tags": ["x"]}})
    assert admin("DELETE", f"nodes/{client.name}").status == 200
    assert admin("GET", f"nodes/{client.name}").status == 404
    assert client.name not in admin.get("nodes")
    assert admin.get("search/node", query=f"?q=name:{client.name}")["total"] == 0
    assert admin("DELETE", f"nodes/{client.name}").status == 404
    assert client("GET", f"clients/{client.name}").status == 200
    states = [state["node_name"] for state in admin.get("pushy/node_states")]
    assert client.name in states
    made = admin("POST", "nodes", {"name": client.name, "chef_environment": "dev"})
    assert made.status == 201
    assert admin.get(f"nodes/{client.name}")["chef_environment"] == "dev"
