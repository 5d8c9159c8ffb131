"""What search finds a node by."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.protocol.attributes import LEVELS
from pushcli_server.search import flatten

NODE: dict[str, Any] = {
    "name": "web01",
    "chef_environment": "prod",
    "run_list": ["role[web]", "recipe[apache2::default]", "recipe[ntp@1.2]", "users"],
    "default": {"port": 80, "kernel": {"name": "?"}, "gone": 1},
    "normal": {"tags": ["blue", "eu"], "push_jobs": {"whitelist": {"a": "b"}, "x": 1}},
    "override": {"gone": None},
    "automatic": {
        "kernel": {"name": "Linux", "release": "6.1"},
        "roles": ["web", "base"],
        "recipes": ["base::default"],
        "cpu": {"total": 4, "flags": ["sse", "avx"]},
        "virtual": True,
    },
}


def values(field: str, node: Any = NODE) -> set[str]:
    return {value for name, value in flatten.fields(node) if name == field}


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("name", {"web01"}),
        ("node", {"web01"}),
        ("chef_environment", {"prod"}),
        ("run_list", {"role[web]", "recipe[apache2::default]", "recipe[ntp@1.2]", "users"}),
        ("role", {"web", "base"}),
        ("roles", {"web", "base"}),
        ("recipe", {"apache2::default", "ntp", "users", "base::default"}),
        ("recipes", {"apache2::default", "ntp", "users", "base::default"}),
        ("tags", {"blue", "eu"}),
        ("tag", {"blue", "eu"}),
        ("port", {"80"}),
        ("kernel_name", {"Linux"}),
        ("kernel_release", {"6.1"}),
        ("release", {"6.1"}),
        ("cpu_flags", {"sse", "avx"}),
        ("flags", {"sse", "avx"}),
        ("total", {"4"}),
        ("virtual", {"true"}),
        ("gone", set()),
        ("push_jobs_x", {"1"}),
        ("push_jobs_whitelist_a", set()),
    ],
)
def test_the_fields_of_a_node(field: str, expected: set[str]) -> None:
    assert values(field) == expected


def test_numbers_are_numbers_whether_written_so_or_as_text() -> None:
    found = flatten.fields({"automatic": {"a": 1, "b": "2.5", "c": "x", "d": True, "e": "inf"}})
    assert {field: number for (field, _), number in found.items()} == {
        "a": 1.0, "b": 2.5, "c": None, "d": None, "e": None
    }  # fmt: skip


def test_what_is_too_long_too_deep_or_too_much_is_cut() -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = {"a": deep}
    found = flatten.fields({"automatic": {"long": "x" * 999, "deep": deep, "z\0z": "n\0n"}})
    assert ("long", "x" * flatten.MAX_TEXT) in found
    assert ("zz", "nn") in found
    assert len(found) == 2
    many = flatten.fields({"automatic": {str(i): i for i in range(5000)}})
    assert len(many) == flatten.MAX_FIELDS


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["name", "chef_environment", "run_list", *LEVELS]), json_values)
)
def test_whatever_is_in_a_node_becomes_text_that_databases_hold(node: dict[str, Any]) -> None:
    for (field, value), _ in flatten.fields(node).items():
        for text in (field, value):
            assert len(text.encode()) <= 4 * flatten.MAX_TEXT
            assert "\0" not in text
