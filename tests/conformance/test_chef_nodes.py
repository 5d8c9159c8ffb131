"""Node objects and search over REST, as Chef's tools use them."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pushcli.client.api import ApiClient
from pushcli.errors import PermissionDenied
from pushcli.sandbox.sandbox import Sandbox
from tests.support.old_agent import enroll
from tests.support.raw_http import Answer, Raw

pytestmark = pytest.mark.timeout(60)
NODES = "/organizations/sandbox/nodes"
SEARCH = "/organizations/sandbox/search/node"
WEB: dict[str, Any] = {
    "name": "c1",
    "chef_environment": "prod",
    "run_list": ["role[web]", "recipe[ntp]"],
    "json_class": "Chef::Node",
    "chef_type": "node",
    "automatic": {"kernel": {"name": "Linux", "machine": "x86_64"}},
    "normal": {"tags": ["blue"]},
    "default": {"port": 80},
    "override": {},
}


@pytest.fixture(scope="module")
def raw(server: Sandbox) -> Raw:
    return Raw(server)


@pytest.fixture
def node(raw: Raw) -> Any:
    """The node c1, as above."""
    raw(path=f"{NODES}/c1", method="DELETE")
    made = raw(path=NODES, method="POST", body=json.dumps(WEB).encode())
    assert made.status == 201, made.body
    return made


def put(raw: Raw, value: Any, name: str = "c1", **headers: Any) -> Answer:
    return raw(path=f"{NODES}/{name}", method="PUT", body=json.dumps(value).encode(), **headers)


def test_a_node_is_made_read_listed_changed_and_deleted(raw: Raw, node: Answer) -> None:
    uri = json.loads(node.body)["uri"]
    assert uri.endswith("/organizations/sandbox/nodes/c1")
    shown = raw(path=f"{NODES}/c1")
    assert json.loads(shown.body) == WEB
    assert json.loads(raw(path=NODES).body)["c1"] == uri
    changed = put(raw, {**WEB, "chef_environment": "dev"})
    assert changed.status == 200
    assert json.loads(changed.body)["chef_environment"] == "dev"
    assert raw(path=NODES, method="POST", body=json.dumps(WEB).encode()).status == 409
    gone = raw(path=f"{NODES}/c1", method="DELETE")
    assert (gone.status, json.loads(gone.body)["name"]) == (200, "c1")
    missing = raw(path=f"{NODES}/c1")
    assert (missing.status, json.loads(missing.body)) == (404, {"error": ["node 'c1' not found"]})
    assert put(raw, WEB).status == 404


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"}, {"chef_environment": "a b"}, {"chef_environment": ""}, {"run_list": "x"},
        {"run_list": [1]}, {"normal": []}, {"automatic": None}, {"default": "x"},
    ],
)  # fmt: skip
def test_what_is_no_node_is_refused(raw: Raw, node: Answer, change: dict[str, Any]) -> None:
    answer = put(raw, {**WEB, **change})
    assert answer.status == 400, answer.body
    assert json.loads(raw(path=f"{NODES}/c1").body) == WEB


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"name": 1}', b'{"name": "a/b"}'])
def test_what_is_no_object_is_refused(raw: Raw, body: bytes) -> None:
    assert raw(path=NODES, method="POST", body=body, content_type="application/json").status == 400


def test_a_tag_guards_a_change(raw: Raw, node: Answer) -> None:
    tag = raw(path=f"{NODES}/c1").headers["etag"]
    assert raw(path=f"{NODES}/c1", If_None_Match=tag).status == 304
    assert put(raw, WEB, If_Match=tag).status == 200
    stale = put(raw, WEB, If_Match=tag)
    assert stale.status == 412
    assert "changed meanwhile (revision 2)" in stale.body.decode()
    assert put(raw, WEB, If_Match=f'"99", {stale.headers.get("etag", "")} "2"').status == 200
    assert put(raw, WEB, If_Match="*").status == 200
    assert raw(path=f"{NODES}/c1").headers["etag"] == '"4"'
    head = raw(path=f"{NODES}/c1", method="HEAD")
    assert (head.status, head.body, head.headers["etag"]) == (200, b"", '"4"')


def test_of_changes_at_once_with_the_same_tag_one_is_made(server: Sandbox, node: Answer) -> None:
    def change(number: int) -> int:
        raw = Raw(server)
        while True:
            shown = raw(path=f"{NODES}/c1")
            value = json.loads(shown.body)
            value["normal"][f"n{number}"] = number
            status = put(raw, value, If_Match=shown.headers["etag"]).status
            if status != 412:
                return status

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(change, range(20))) == [200] * 20
    normal = json.loads(Raw(server)(path=f"{NODES}/c1").body)["normal"]
    assert {f"n{number}" for number in range(20)} <= normal.keys()


def test_a_clients_own_put_leaves_the_whitelist_alone(server: Sandbox) -> None:
    profile = enroll(server, "c2")
    value = {**WEB, "name": "c2", "normal": {"push_jobs": {"whitelist": {"a": "b"}}, "x": 1}}
    assert put(Raw(server), value, "c2").status == 200
    client = ApiClient(profile)
    stale = {**value, "normal": {"push_jobs": {"whitelist": {"evil": "sh"}}, "x": 2}}
    saved = client.put("nodes/c2", stale)
    assert saved["normal"] == {"push_jobs": {"whitelist": {"a": "b"}}, "x": 2}
    assert client.put("nodes/c2", {**value, "normal": {}})["normal"] == {
        "push_jobs": {"whitelist": {"a": "b"}}
    }
    # Who says what he read may mean it.
    tag = Raw(server)(path=f"{NODES}/c2").headers["etag"]
    assert client.put("nodes/c2", stale, {"If-Match": tag})["normal"] == stale["normal"]
    client.close()


def test_a_client_writes_its_own_node_and_no_other(server: Sandbox, node: Answer) -> None:
    client = ApiClient(enroll(server, "c3"))
    calls: tuple[Callable[[], object], ...] = (
        lambda: client.put("nodes/c1", WEB),
        lambda: client.post("nodes", {"name": "c4"}),
        lambda: client.delete("nodes/c3"),
    )
    for call in calls:
        with pytest.raises(PermissionDenied, match=r"group admins|does not have access"):
            call()
    assert client.get("nodes/c1") == WEB
    assert client.put("nodes/c3", {"name": "c3", "run_list": ["a"]})["run_list"] == ["a"]
    client.close()


def test_search_gives_whole_nodes_or_parts(raw: Raw, node: Answer) -> None:
    found = json.loads(raw(path=f"{SEARCH}?q=role:web+AND+name:c1&start=0&rows=1000").body)
    assert found == {"total": 1, "start": 0, "rows": [WEB]}
    wanted = {"name": ["name"], "arch": ["kernel", "machine"], "no": ["a", "b"], "port": ["port"]}
    parts = raw(path=f"{SEARCH}?q=name:c1", method="POST", body=json.dumps(wanted).encode())
    [row] = json.loads(parts.body)["rows"]
    assert row["data"] == {"name": "c1", "arch": "x86_64", "no": None, "port": 80}
    assert row["url"].endswith("/nodes/c1")
    [row] = json.loads(
        raw(path=f"{SEARCH}?q=name:c1", method="POST", body=b'{"name": ["name"]}').body
    )["rows"]
    assert row["data"] == {"name": "c1"}
    assert json.loads(raw(path=SEARCH.rpartition("/")[0]).body)["node"].endswith("/search/node")


def test_search_is_paged(raw: Raw, server: Sandbox) -> None:
    for number in range(5):
        enroll(server, f"page{number}")
    seen: list[str] = []
    for start in range(0, 6, 2):
        page = json.loads(raw(path=f"{SEARCH}?q=page*&start={start}&rows=2").body)
        assert (page["total"], page["start"]) == (5, start)
        seen += [row["name"] for row in page["rows"]]
    assert seen == [f"page{number}" for number in range(5)]


@pytest.mark.parametrize("query", ["role:", "(", "a AND", "(" * 3000, "x" * 5000])
def test_a_bad_query_is_named(raw: Raw, query: str) -> None:
    answer = raw(path=f"{SEARCH}?q={query.replace(' ', '+')}")
    assert answer.status == 400
    assert json.loads(answer.body) == {"error": [f"invalid search query: '{query}'"]}


@pytest.mark.parametrize("page", ["start=-1", "rows=x", "start=1.5", "rows=99999999999999"])
def test_a_bad_page_is_refused(raw: Raw, page: str) -> None:
    assert raw(path=f"{SEARCH}?q=*:*&{page}").status == 400


def test_a_query_that_is_left_out_means_all(raw: Raw, node: Answer) -> None:
    found = json.loads(raw(path=SEARCH).body)
    assert "c1" in {row["name"] for row in found["rows"]}
