"""What a Chef Infra Server's answers say of nodes, and what is no answer."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.protocol.chef_answers import ChefAway, ChefRefuses
from pushcli_server.chef import node_answers
from pushcli_server.chef.node_answers import NO_ATTRIBUTES, NOTHING, Attributes, Page

RECORDED = Path(__file__).parents[3] / "vectors" / "chef_server.jsonl"
NODE = {"name": "n1", "normal": {}, "default": {}, "override": {}, "automatic": {}}


def recorded(method: str, ending: str) -> list[dict[str, Any]]:
    """What real servers answered, of these requests."""
    lines = map(json.loads, RECORDED.read_text().splitlines())
    return [
        one
        for one in lines
        if (one["method"], one["status"]) == (method, 200) and one["path"].endswith(ending)
    ]


def listed(body: Any, status: int = 200) -> frozenset[str]:
    return node_answers.listed(status, json.dumps(body).encode())


def page(rows: list[Any], total: int = 1) -> Page:
    return node_answers.page(200, json.dumps({"total": total, "start": 0, "rows": rows}).encode())


def attributes(body: Any, status: int = 200) -> Attributes | None:
    return node_answers.attributes(status, json.dumps(body).encode(), "n1")


def row(name: Any, push_jobs: Any = None) -> dict[str, Any]:
    return {"url": "x", "data": {"name": name, "push_jobs": push_jobs}}


def test_recorded_answers_are_read() -> None:
    lists = recorded("GET", "/acme/nodes")
    assert lists
    for one in lists:
        assert listed(one["response_body"]) == one["response_body"].keys()
    [some, *_] = recorded("POST", "/search/node")
    found = node_answers.page(200, json.dumps(some["response_body"]).encode())
    assert found.total == some["response_body"]["total"]
    assert found.shown.keys() == {"web01", "web02"}
    [node, *_] = recorded("GET", "/nodes/web01")
    read = node_answers.attributes(200, json.dumps(node["response_body"]).encode(), "web01")
    assert read is not None
    for level in ("default", "normal", "override"):
        said = node["response_body"][level].get("push_jobs")
        assert json.loads(getattr(read, level)) == ({} if said is None else {"push_jobs": said})


def test_a_list_has_names_and_what_is_none_is_left_out() -> None:
    url = "https://chef/organizations/acme/nodes/x"
    assert listed({"n1": url, "../n2": url, "": url, "n3": None, "n4": 5}) == {"n1"}
    assert listed({}) == frozenset()
    with pytest.raises(ChefRefuses, match="a list of other things"):
        listed({"principals": "x", "users": 5})
    with pytest.raises(ChefRefuses, match="more than 100000 names"):
        listed({f"n{number}": url for number in range(100_001)})


def test_what_search_shows_is_the_same_for_the_same() -> None:
    one = page([row("n1", {"a": 1, "b": [2]}), row("n2"), row("n3", {})])
    other = page([row("n1", {"b": [2], "a": 1}), row("n2"), row("n3", {"c": 1})])
    assert one.shown["n1"] == other.shown["n1"]
    assert one.shown["n2"] == NOTHING
    assert NOTHING != one.shown["n3"] != other.shown["n3"]
    # What is not asked for is not there in each server's answer.
    assert page([{"data": {"name": "n1"}}]).shown == {"n1": NOTHING}


def test_a_row_that_is_none_is_counted_and_the_others_count() -> None:
    deep: Any = {}
    for _ in range(500):
        deep = {"x": deep}
    rows: list[Any] = [
        None,
        "x",
        [],
        5,
        {},
        {"data": None},
        row(None),
        row("../x"),
        row("n2", deep),
    ]
    found = page([*rows, row("n1"), *rows, row("n1", {"a": 1})])
    assert found.strange == 2 * len(rows)
    assert found.shown.keys() == {"n1"}
    # Of what comes twice the later counts.
    assert found.shown["n1"] != NOTHING


def test_of_a_node_its_own_attributes_are_kept_by_level() -> None:
    levels = {
        "default": {"push_jobs": {"whitelist": {"a": "x"}}, "else": 5},
        "normal": {"push_jobs": {"whitelist": {"b": "ü"}}},
        "override": {"else": {"push_jobs": 1}},
        "automatic": {"push_jobs": {"whitelist": {"c": "x"}}},
    }
    assert attributes({**NODE, **levels}) == (
        '{"push_jobs":{"whitelist":{"a":"x"}}}', '{"push_jobs":{"whitelist":{"b":"ü"}}}', "{}",
    )  # fmt: skip
    assert attributes(NODE) == NO_ATTRIBUTES
    assert attributes({"name": "n1"}) == NO_ATTRIBUTES


@pytest.mark.parametrize("odd", [None, "text", [], 5, True])
def test_levels_that_are_no_objects_are_empty(odd: Any) -> None:
    assert attributes({**NODE, "normal": odd, "default": odd}) == NO_ATTRIBUTES
    found = attributes({**NODE, "normal": {"push_jobs": odd}})
    assert found is not None
    assert json.loads(found.normal) == {"push_jobs": odd}


def test_a_node_is_gone_only_where_chef_says_so_of_a_node() -> None:
    assert attributes({"error": ["node 'n1' not found"]}, 404) is None
    for body in ({"error": "organization 'x' does not exist."}, {}, {"not_found": "org"}):
        with pytest.raises(ChefRefuses, match="not about a node"):
            attributes(body, 404)
    with pytest.raises(ChefRefuses, match="not an answer"):
        node_answers.attributes(404, b"<html>404</html>", "n1")


def test_a_node_that_is_another_or_too_large_is_refused() -> None:
    with pytest.raises(ChefRefuses, match="another node"):
        attributes({**NODE, "name": "n2"})
    whitelist = {"push_jobs": {"whitelist": {"a": "x" * 500_001}}}
    with pytest.raises(ChefRefuses, match="more than 1,000,000 characters"):
        attributes({**NODE, "normal": whitelist, "override": whitelist})
    assert attributes({**NODE, "normal": whitelist}) is not None
    deep: Any = {}
    for _ in range(200):
        deep = {"x": deep}
    with pytest.raises(ChefRefuses, match="cannot be read"):
        attributes({**NODE, "normal": {"push_jobs": deep}})
    with pytest.raises(ChefRefuses):
        node_answers.attributes(200, b'{"name":"n1","normal":{"push_jobs":{"a":"\xff"}}}', "n1")


@given(st.integers(100, 599), st.binary(max_size=200) | st.from_type(type(None)))
def test_whatever_comes_is_an_answer_or_says_what_it_is_not(
    status: int, content: bytes | None
) -> None:
    body = content or b"{}"
    for read in (
        node_answers.listed,
        node_answers.page,
        lambda status, content: node_answers.attributes(status, content, "n1"),
    ):
        with suppress(ChefAway, ChefRefuses):
            read(status, body)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(
    st.lists(_JSON | st.fixed_dictionaries({"data": st.fixed_dictionaries({"name": _JSON})})), _JSON
)
def test_whatever_rows_and_nodes_say(rows: list[Any], level: Any) -> None:
    found = page(rows)
    assert found.strange + len(found.shown) <= len(rows)
    read = attributes({**NODE, "normal": level})
    assert read is not None
    assert json.loads(read.normal).keys() <= {"push_jobs"}
