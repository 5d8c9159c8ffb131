"""Users, clients, groups, principals and organizations, over REST on a real server."""

import re
from typing import Any

import pytest

from pushcli import keys
from pushcli.sandbox.sandbox import ADMIN, Sandbox
from tests.support.identities import (
    KEYS,
    Signer,
    new_client,
    new_name,
    new_user,
    of_directory,
    operator,
    superuser,
)

pytestmark = pytest.mark.timeout(60)
PEMS = [keys.public_pem(key) for key in KEYS]


# --- clients


def test_a_client_is_shown_as_chef_shows_it(server: Sandbox) -> None:
    name = new_client(server).name
    assert operator(server).get(f"clients/{name}") == {
        "name": name, "clientname": name, "orgname": "sandbox", "validator": False,
        "admin": False, "public_key": PEMS[0], "json_class": "Chef::ApiClient",
        "chef_type": "client",
    }  # fmt: skip
    uri = operator(server).get("clients")[name]
    assert uri == f"{server.url}/clients/{name}"


def test_a_client_that_is_sent_back_as_it_was_stays_as_it_was(server: Sandbox) -> None:
    client = new_client(server)
    path = f"clients/{client.name}"
    shown = client.get(path)
    answer = client("PUT", path, shown)
    assert (answer.status, answer.json) == (200, shown)
    other = operator(server)("PUT", path, {"name": "other"})
    assert (other.status, other.error) == (400, ["a client cannot be renamed"])


@pytest.mark.parametrize("asks", [{"create_key": True}, {"private_key": True, "admin": False}])
def test_a_client_gets_a_new_pair_and_the_former_counts_no_more(
    server: Sandbox, asks: dict[str, Any]
) -> None:
    client = new_client(server)
    path = f"clients/{client.name}"
    made = client("PUT", path, asks).json
    fresh = keys.private_key(made["private_key"].encode(), "test")
    assert keys.public_pem(fresh) == made["public_key"] != PEMS[0]
    assert client("GET", path).status == 401
    assert client.signing_with(fresh).get(path)["public_key"] == made["public_key"]


def test_a_client_gives_itself_no_rights(server: Sandbox) -> None:
    client = new_client(server)
    path = f"clients/{client.name}"
    for flag in ("admin", "validator"):
        assert client("PUT", path, {flag: True}).status == 403
    assert client("PUT", path, {"public_key": PEMS[2]}).status == 200
    assert client("GET", path).status == 401
    shown = client.signing_with(KEYS[2]).get(path)
    assert (shown["admin"], shown["validator"], shown["public_key"]) == (False, False, PEMS[2])


def test_an_administrating_client_is_a_member_of_admins(server: Sandbox) -> None:
    robot = new_client(server, admin=True)
    assert robot.name in operator(server).get("groups/admins")["clients"]
    assert robot.get(f"clients/{robot.name}")["admin"] is True
    assert robot("POST", "clients", {"name": new_name("c"), "public_key": PEMS[0]}).status == 201
    assert robot("PUT", f"clients/{robot.name}", {"admin": False}).status == 200
    assert robot("GET", "clients").status == 403


def test_validators_come_and_go(server: Sandbox) -> None:
    validator = new_client(server, validator=True)
    plain = {"name": new_name("node"), "public_key": PEMS[0]}
    assert validator("POST", "clients", plain).status == 201
    assert validator("GET", f"clients/{validator.name}").status == 403
    assert operator(server)("PUT", f"clients/{validator.name}", {"validator": False}).status == 200
    assert validator("POST", "clients", {**plain, "name": new_name("node")}).status == 403
    # Now it is a client like any other.
    assert validator("GET", f"clients/{validator.name}").status == 200


def test_only_who_offers_it_is_told_of_the_editors(server: Sandbox) -> None:
    validator = of_directory(server, "sandbox-validator")

    def registered(by: Signer, **headers: str) -> Any:
        return by("POST", "clients", {"name": new_name("n"), "public_key": PEMS[0]}, **headers).json

    assert "editors" not in registered(validator)
    assert "editors" not in registered(operator(server), X_Pushcli_Editors="1")
    told = registered(validator, X_Pushcli_Editors="1")["editors"]
    own = keys.load_public_key(keys.public_pem(operator(server).raw.key))
    mine = {
        "name": ADMIN, "public_key": keys.public_pem(own), "fingerprint": keys.fingerprint(own),
    }  # fmt: skip
    assert mine in told
    assert {editor["name"] for editor in told} == {ADMIN}


# --- users


def test_a_user_is_made_shown_changed_and_deleted(server: Sandbox) -> None:
    root, name = superuser(server), new_name("user")
    new = {
        "username": name, "public_key": PEMS[1], "display_name": "Bob", "email": "b@example.com",
        "first_name": "B", "last_name": "B", "password": "thrown away",
    }  # fmt: skip
    uri = f"{server.url.partition('/organizations')[0]}/users/{name}"
    assert root.post("/users", new) == {"uri": uri}
    again = root("POST", "/users", new)
    assert (again.status, again.error) == (409, ["User already exists"])
    shown = {
        "username": name, "display_name": "Bob", "email": "b@example.com", "public_key": PEMS[1],
    }  # fmt: skip
    user = Signer(server, name, KEYS[1])
    assert user.get(f"/users/{name}") == shown
    assert root.get("/users")[name] == uri
    changed = user("PUT", f"/users/{name}", {**shown, "display_name": "Robert"})
    assert (changed.status, changed.json) == (200, {**shown, "display_name": "Robert"})
    assert user("GET", f"/users/{ADMIN}").status == 403
    assert user("DELETE", f"/users/{name}").status == 403
    assert root("DELETE", f"/users/{name}").json == changed.json
    gone = user("GET", f"/users/{name}")
    assert (gone.status, "Failed to authenticate as" in gone.error[0]) == (401, True)
    assert root("GET", f"/users/{name}").status == 404


def test_a_server_made_key_comes_as_each_version_of_the_api_wants_it(server: Sandbox) -> None:
    root = superuser(server)
    wanted = {"username": new_name("u"), "create_key": True}
    assert root("POST", "/users", wanted).json.keys() == {"uri", "private_key"}
    wanted = {"username": new_name("u"), "create_key": True}
    new = root.raw(
        "POST", "/users", wanted, user=root.name, version="1.1", X_Ops_Server_API_Version="1"
    )
    made = new.json["chef_key"]
    assert made["private_key"] == new.json["private_key"]
    assert made["uri"] == f"{new.json['uri']}/keys/default"
    name = new.json["uri"].rpartition("/")[2]
    user = Signer(server, name, keys.private_key(new.json["private_key"].encode(), "test"))
    renewed = user("PUT", f"/users/{name}", {"private_key": True}).json
    assert user("GET", f"/users/{name}").status == 401
    fresh = keys.private_key(renewed["private_key"].encode(), "test")
    assert user.signing_with(fresh).get(f"/users/{name}")["public_key"] == renewed["public_key"]


def test_only_superusers_make_superusers_and_one_stays(server: Sandbox) -> None:
    root, user = superuser(server), new_user(server, associated=False)
    path = f"/users/{user.name}"
    assert user("PUT", path, {"superuser": True}).status == 403
    assert user("PUT", path, {"superuser": False}).status == 200
    assert user("GET", "/users").status == 403
    assert user("GET", "pushy/jobs").status == 403
    last = root("PUT", "/users/pivotal", {"superuser": False})
    assert (last.status, last.error) == (403, ["no superuser would be left"])
    assert root("DELETE", "/users/pivotal").status == 403
    assert root("PUT", path, {"superuser": True}).status == 200
    assert user("GET", "/users").status == 200
    # In every organization, though in none of them.
    assert user("GET", "pushy/jobs").status == 200
    assert root("DELETE", path).status == 200
    assert user("GET", "pushy/jobs").status == 401


def test_a_user_joins_an_organization_and_leaves_it_with_its_groups(server: Sandbox) -> None:
    admin, user = operator(server), new_user(server, associated=False)
    path = f"users/{user.name}"
    outside = user("GET", path)
    assert outside.error == [f"'{user.name}' is not associated with organization 'sandbox'"]
    assert admin("GET", path).status == 404
    uri = admin.post("users", {"username": user.name})["uri"]
    assert uri == f"{server.url}/{path}"
    assert admin("POST", "users", {"username": user.name}).status == 409
    assert admin("POST", "users", {"username": "nosuch"}).status == 404
    assert {"user": {"username": user.name}} in admin.get("users")
    assert user.get(path)["username"] == user.name
    assert user("GET", "users").status == 403
    admin.post("groups/pushy_job_readers/members", {"kind": "user", "name": user.name})
    assert user("GET", "pushy/jobs").status == 200
    assert user("DELETE", path).json["username"] == user.name
    assert user("GET", "pushy/jobs").status == 403
    assert user.name not in admin.get("groups/pushy_job_readers")["users"]


def test_the_last_administrator_can_neither_leave_nor_go(server: Sandbox) -> None:
    admin, root = operator(server), superuser(server)
    text = "nobody would be left in the group admins of sandbox"
    refusals = [
        admin("DELETE", f"users/{ADMIN}"),
        root("DELETE", f"/users/{ADMIN}"),
        admin("DELETE", f"groups/admins/members/users/{ADMIN}"),
        admin("PUT", "groups/admins", {"groupname": "admins", "actors": {"users": []}}),
    ]
    assert [(answer.status, answer.error) for answer in refusals] == [(403, [text])] * 4
    gone = root("DELETE", "groups/admins")
    assert (gone.status, gone.error) == (403, ["the group admins cannot be deleted"])
    assert admin("GET", "clients").status == 200


# --- groups


def test_a_group_is_made_filled_shown_and_deleted(server: Sandbox) -> None:
    admin, client, user = operator(server), new_client(server), new_user(server)
    for key in ("groupname", "name", "id"):
        name = new_name("group")
        assert admin.post("groups", {key: name}) == {"uri": f"{server.url}/groups/{name}"}
    assert admin("POST", "groups", {"groupname": name}).status == 409
    assert admin("POST", "groups", {"groupname": "no/slash"}).status == 400
    assert name in user.get("groups")
    actors = {"users": [user.name, ADMIN], "clients": [client.name], "groups": [name, "admins"]}
    put = admin("PUT", f"groups/{name}", {"groupname": name, "actors": actors})
    wanted = {
        "actors": sorted([client.name, user.name, ADMIN]), "users": sorted([user.name, ADMIN]),
        "clients": [client.name], "groups": sorted([name, "admins"]), "orgname": "sandbox",
        "name": name, "groupname": name,
    }  # fmt: skip
    assert (put.status, put.json) == (200, wanted)
    assert client.get(f"groups/{name}") == wanted
    same = admin("PUT", f"groups/{name}", {"groupname": name})
    assert same.json == wanted
    renamed = admin("PUT", f"groups/{name}", {"groupname": "other"})
    assert (renamed.status, renamed.error) == (400, ["a group cannot be renamed"])
    unknown = admin("PUT", f"groups/{name}", {"actors": {"users": ["eve"], "clients": ["c\n"]}})
    assert unknown.status == 400
    assert "user eve, client c" in unknown.error[0]
    assert admin("DELETE", f"groups/{name}").json == wanted
    assert admin("GET", f"groups/{name}").status == 404


def test_members_are_added_and_removed_one_by_one(server: Sandbox) -> None:
    admin, client, user = operator(server), new_client(server), new_user(server)
    name = new_name("group")
    admin.post("groups", {"groupname": name})
    path = f"groups/{name}/members"
    admin.post(path, {"kind": "client", "name": client.name})
    many = admin.post(path, {"users": [user.name], "clients": [client.name], "groups": ["admins"]})
    assert (many["users"], many["clients"]) == ([user.name], [client.name])
    wrong: list[Any] = [{}, {"kind": "node", "name": "x"}, {"kind": "user"}, {"users": [1]}, []]
    for bad in wrong:
        assert admin("POST", path, bad).status == 400
    assert admin("POST", path, {"users": ["eve"]}).error == ["not in the organization: user eve"]
    for kind, who in (("user", user.name), ("clients", client.name), ("group", "admins")):
        assert admin("DELETE", f"{path}/{kind}/{who}").status == 200
        gone = admin("DELETE", f"{path}/{kind}/{who}")
        assert (gone.status, gone.error) == (
            404, [f"no {kind.removesuffix('s')} {who} in the group {name}"],
        )  # fmt: skip
    assert admin("POST", "groups/nosuch/members", {"users": [ADMIN]}).status == 404


def test_what_no_database_holds_is_refused(server: Sandbox) -> None:
    admin, root = operator(server), superuser(server)
    nul = "a\0b"
    for by, method, path, body in (
        (admin, "PUT", "groups/pushy_job_readers", {"actors": {"users": [nul]}}),
        (admin, "POST", "groups/pushy_job_readers/members", {"clients": [nul]}),
        (admin, "POST", "users", {"username": nul}),
        (admin, "POST", "tokens", {"node": nul}),
        (root, "POST", "/users", {"username": "x", "create_key": True, "email": nul}),
        (root, "POST", "/organizations", {"name": nul}),
    ):
        assert by(method, path, body).status == 400, (path, body)
    assert admin("GET", "audit", query="?target=a%00b").status == 400
    assert admin("GET", "users/a%00b").status == 404


# --- principals, organizations


def test_principals_tell_whose_key_a_name_stands_for(server: Sandbox) -> None:
    client, user = new_client(server), new_user(server)
    stranger = new_user(server, associated=False)
    shown = client.get(f"principals/{client.name}")
    assert re.fullmatch("[0-9a-f]{32}", shown.pop("authz_id"))
    assert shown == {
        "name": client.name, "type": "client", "public_key": PEMS[0], "org_member": True,
    }  # fmt: skip
    shown = client.get(f"principals/{user.name}")
    assert (shown["type"], shown["public_key"], shown["org_member"]) == ("user", PEMS[1], True)
    assert shown["authz_id"] == user.get(f"principals/{user.name}")["authz_id"]
    assert client.get(f"principals/{stranger.name}")["org_member"] is False
    assert client("GET", "principals/nosuch").status == 404


def test_names_in_several_organizations_stay_apart(server: Sandbox) -> None:
    root, org = superuser(server), new_name("org")
    made = root.post("/organizations", {"name": org, "full_name": "Whatever"})
    assert made["clientname"] == f"{org}-validator"
    assert made["uri"] in root.get("/organizations").values()
    assert root.get(f"/organizations/{org}")["name"] == org
    there = f"/organizations/{org}"
    groups = {"admins", "billing-admins", "pushy_job_readers", "pushy_job_writers", "users"}
    assert set(root.get(f"{there}/groups")) == groups
    validator = Signer(
        server, made["clientname"], keys.private_key(made["private_key"].encode(), "test")
    )
    here = new_client(server, KEYS[0])
    twin = Signer(server, here.name, KEYS[3])
    new = {"name": here.name, "public_key": PEMS[3]}
    assert validator("POST", f"{there}/clients", new).status == 201
    path = f"clients/{here.name}"
    assert (here.get(path)["public_key"], twin.get(f"{there}/{path}")["public_key"]) == (
        PEMS[0], PEMS[3],
    )  # fmt: skip
    assert here("GET", f"{there}/{path}").status == 401
    assert twin("GET", path).status == 401
    # Groups of one name, and who administrates where.
    root.post(f"{there}/groups/admins/members", {"clients": [here.name]})
    assert twin("GET", f"{there}/clients").status == 200
    assert here("GET", "clients").status == 403
    assert operator(server)("GET", f"{there}/clients").status == 403
    # A token of one is worth nothing in the other, not even to delete it.
    token = root.post(f"{there}/tokens", {})["id"]
    assert operator(server)("DELETE", f"tokens/{token}").status == 404
    assert root("DELETE", f"{there}/tokens/{token}").status == 200
    # What is deleted here stays there.
    assert operator(server)("DELETE", path).status == 200
    assert twin("GET", f"{there}/{path}").status == 200
    assert root("POST", "/organizations", {"name": org}).status == 409
    for bad in ("Upper", "", "x/y", "x" * 250):
        assert root("POST", "/organizations", {"name": bad}).status == 400


def test_a_validator_is_switched_off_by_deleting_it(server: Sandbox) -> None:
    root, org = superuser(server), new_name("org")
    made = root.post("/organizations", {"name": org})
    key = keys.private_key(made["private_key"].encode(), "test")
    validator = Signer(server, made["clientname"], key)
    path = f"/organizations/{org}/clients"
    assert validator("POST", path, {"name": "n1", "public_key": PEMS[0]}).status == 201
    assert root("DELETE", f"{path}/{made['clientname']}").json["validator"] is True
    assert validator("POST", path, {"name": "n2", "public_key": PEMS[0]}).status == 401
    assert set(root.get(path)) == {"n1"}


# --- the audit trail


def test_every_change_is_in_the_audit_trail(server: Sandbox) -> None:
    admin, root = operator(server), superuser(server)
    client, user, group = new_client(server), new_user(server), new_name("group")
    admin.post("groups", {"groupname": group})
    admin("PUT", f"groups/{group}", {"actors": {"users": [user.name]}})
    admin("DELETE", f"groups/{group}/members/user/{user.name}")
    admin("DELETE", f"groups/{group}")
    client("PUT", f"clients/{client.name}", {"public_key": PEMS[2]})
    admin("DELETE", f"clients/{client.name}")
    admin("DELETE", f"users/{user.name}")
    root("DELETE", f"/users/{user.name}")

    def trail(target: str, by: Signer = admin, place: str = "audit") -> list[tuple[str, str]]:
        answer = by.get(place, query=f"?target={target}")
        assert answer["truncated"] is False
        assert [one["at"] for one in answer["records"]] == sorted(
            one["at"] for one in answer["records"]
        )
        assert {one["origin"] for one in answer["records"]} == {"127.0.0.1"}
        kinds = {(one["actor"], one["actor_kind"]) for one in answer["records"]}
        assert kinds <= {(ADMIN, "user"), ("pivotal", "user"), (client.name, "client")}
        return [(one["actor"], one["action"]) for one in answer["records"]]

    assert trail(group) == [
        (ADMIN, "group create"), (ADMIN, "group update"), (ADMIN, "group update"),
        (ADMIN, "group delete"),
    ]  # fmt: skip
    assert trail(client.name) == [
        (ADMIN, "client create"), (client.name, "client update"), (ADMIN, "client delete"),
    ]  # fmt: skip
    assert trail(user.name) == [("pivotal", "user associate"), (ADMIN, "user dissociate")]
    assert trail(user.name, root, "/audit") == [
        ("pivotal", "user create"), ("pivotal", "user delete"),
    ]  # fmt: skip
    details = [one["detail"] for one in admin.get("audit", query=f"?target={group}")["records"]]
    assert details == [
        None, {"added": {"users": [user.name]}}, {"removed": {"users": [user.name]}}, None,
    ]  # fmt: skip


def test_a_refused_change_leaves_no_trace(server: Sandbox) -> None:
    admin = operator(server)
    before = admin.get("audit")["records"]
    assert (
        admin("POST", "clients", {"name": "sandbox-validator", "public_key": PEMS[0]}).status == 409
    )
    assert admin("DELETE", f"users/{ADMIN}").status == 403
    assert admin("POST", "groups/admins/members", {"users": ["eve"]}).status == 404
    assert admin.get("audit")["records"] == before


def test_the_audit_trail_is_read_in_part(server: Sandbox) -> None:
    admin = operator(server)
    for name in (new_name("g"), new_name("g")):
        admin.post("groups", {"groupname": name})
    newest = admin.get("audit", query="?limit=1")
    assert (len(newest["records"]), newest["truncated"]) == (1, True)
    assert newest["records"][0]["target"] == name
    since = newest["records"][0]["at"]
    assert admin.get("audit", query=f"?since={since}")["records"] == newest["records"]
    assert admin.get("audit", query="?user=nobody") == {"records": [], "truncated": False}
    assert admin.get("audit", query="?kind=server") == {"records": [], "truncated": False}
    for bad in ("limit=0", "limit=10001", "limit=x", "since=nan", "since=x", "more=1", "kind=x"):
        assert admin("GET", "audit", query=f"?{bad}").status == 400


def test_a_validator_that_administrates_may_what_members_may(server: Sandbox) -> None:
    both = new_client(server, validator=True, admin=True)
    for path in ("groups", "nodes", "search", "pushy/freeze"):
        assert both("GET", path).status == 200, path
    assert operator(server)("PUT", f"clients/{both.name}", {"admin": False}).status == 200
    assert both("GET", "groups").status == 403
