"""Attributes of a node, merged and found by their paths."""

from typing import Any

import pytest

from pushcli.nodes.node_objects import value
from pushcli.protocol.names import is_query

NODE: dict[str, Any] = {
    "name": "web01", "run_list": ["role[web]"], "chef_environment": "prod",
    "default": {"a": {"x": 1, "y": 1}, "b": 1, "list": [1, 2]},
    "normal": {"a": {"y": 2}, "tags": ["t"]},
    "override": {"a": {"z": {"deep": 3}}, "list": [3]},
    "automatic": {"b": {"c": 4}, "kernel": {"release": "6.1"}},
}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a", {"x": 1, "y": 2, "z": {"deep": 3}}), ("a.z.deep", 3), ("b.c", 4), ("list", [3]),
        ("list.0", 3), ("list.1", None), ("list.x", None), ("kernel.release", "6.1"),
        ("name", "web01"), ("run_list.0", "role[web]"), ("automatic.kernel.release", "6.1"),
        ("nothing", None), ("a.x.deeper", None), ("", None), ("a..x", None),
    ],
)  # fmt: skip
def test_a_path_leads_into_the_merged_attributes(path: str, found: Any) -> None:
    assert value(NODE, path) == found


def test_levels_that_are_missing_or_empty_are_none() -> None:
    assert value({"name": "a", "default": None}, "fqdn") is None


@pytest.mark.parametrize(
    ("text", "query"),
    [("name:web*", True), ("web*", False), ("a b", True), ("web01", False), ("web-01.x_y", False)],
)
def test_what_is_a_query(text: str, query: bool) -> None:
    assert is_query(text) is query
