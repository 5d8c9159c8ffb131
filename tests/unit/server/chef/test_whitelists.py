"""Whitelists of our own node objects beside those of a Chef Infra Server's."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.protocol.chef_answers import ChefAway, ChefRefuses
from pushcli_server.chef import whitelists
from pushcli_server.chef.node_answers import Attributes
from pushcli_server.chef.whitelists import Difference
from pushcli_server.core import whitelist as core

RECORD = {"signer": "ann", "key": "k", "version": 7, "signature": "s"}
NEWER = {**RECORD, "version": 8}
REMOVAL = {**RECORD, "removed": True}


def level(entries: Any = None, records: Any = None) -> dict[str, Any]:
    return {
        "push_jobs": {"whitelist": entries or {}, "whitelist_signatures": records or {}}
    }  # fmt: skip


def own(normal: Any = None, default: Any = None, override: Any = None) -> Attributes:
    found = whitelists.own_attributes(
        *(json.dumps(one or {}) for one in (default, normal, override))
    )
    assert found is not None
    return found


def node(**levels: Any) -> bytes:
    return json.dumps({"name": "n1", "automatic": {"a": 1}, **levels}).encode()


def compare(ours: Attributes, content: bytes, status: int = 200) -> whitelists.Compared:
    return whitelists.compare(ours, status, content, "n1")


SIGNED = level({"greet": "echo"}, {"greet": RECORD})


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (SIGNED, SIGNED, {}),
        (SIGNED, {}, {"missing": ["greet"]}),
        (SIGNED, level({"greet": "echo"}), {"missing": ["greet"]}),
        (SIGNED, level({"greet": "other"}), {"differs": ["greet"]}),
        (SIGNED, level({"greet": "echo"}, {"greet": NEWER}), {"differs": ["greet"]}),
        # It was removed there, by our command line or by knife.
        (SIGNED, level({}, {"greet": REMOVAL}), {"differs": ["greet"]}),
        (level({"greet": "echo"}), level({}, {"greet": REMOVAL}), {"differs": ["greet"]}),
        (level({"greet": "echo"}), level({}), {"missing": ["greet"]}),
        (level({"greet": "echo"}), SIGNED, {}),
        (level({"greet": True}), level({"greet": 1}), {"differs": ["greet"]}),
        (level({}, {"greet": REMOVAL}), {}, {"removals": ["greet"]}),
        (level({}, {"greet": REMOVAL}), level({}, {"greet": NEWER}), {}),
        (level({}, {"greet": REMOVAL}), SIGNED, {"differs": ["greet"]}),
        # What knife took out here.
        (level({}, {"greet": RECORD}), {}, {}),
    ],
)  # fmt: skip
def test_what_is_not_there(ours: Any, theirs: Any, expected: dict[str, Any]) -> None:
    found = compare(own(ours), node(normal=theirs))
    assert found.difference == Difference(**expected)
    assert (found.body is None) == (not {"missing", "removals"} & {*expected})


def test_a_node_that_is_not_there() -> None:
    ours = own(level({"greet": "echo"}, {"gone": REMOVAL}))
    found = compare(ours, b'{"error":["node not found"]}', 404)
    assert found.body is None
    assert found.difference == Difference(there=False, missing=["greet"], removals=["gone"])


def test_a_node_without_a_whitelist_is_left_alone() -> None:
    for text in ("{}", '{"push_jobs": null}', '{"push_jobs": {"whitelist": []}}', "[" * 9_999, ""):
        assert whitelists.own_attributes("{}", text, "{}") is None


def test_all_else_stays_to_the_byte() -> None:
    content = (
        b'{"name":"n1","automatic":{"n":123456789012345678901234,"f":1.10},"normal":{"x":1e2,'
        b'"push_jobs":{"y":1.0,"whitelist":{"z":1.00}}},"run_list":[ "a" ]}'
    )
    body = compare(own(SIGNED), content).body
    assert body is not None
    for part in (b"123456789012345678901234", b"1.10", b"1e2", b"1.0,", b"1.00", b'[ "a" ]'):
        assert part in body
    assert json.loads(body)["normal"]["push_jobs"] == {
        "y": 1.0, "whitelist": {"z": 1.0, "greet": "echo"},
        "whitelist_signatures": {"greet": RECORD},
    }  # fmt: skip


def test_each_entry_is_put_at_its_level() -> None:
    ours = own(SIGNED, default=level({"low": "true"}), override=level({"high": "true"}))
    body = compare(ours, node(normal=None or {}, default={"push_jobs": {}})).body
    assert body is not None
    stored = json.loads(body)
    assert stored["default"]["push_jobs"]["whitelist"] == {"low": "true"}
    assert stored["override"]["push_jobs"]["whitelist"] == {"high": "true"}
    assert compare(ours, body).difference.is_none


@pytest.mark.parametrize(
    ("normal", "where"),
    [
        (None, "normal"), ([], "normal"), ({"push_jobs": None}, "normal.push_jobs"),
        ({"push_jobs": {"whitelist": "text"}}, "normal.push_jobs.whitelist"),
        ({"push_jobs": {"whitelist_signatures": []}}, "normal.push_jobs.whitelist_signatures"),
    ],
)  # fmt: skip
def test_what_is_in_the_way_is_not_overwritten(normal: Any, where: str) -> None:
    with pytest.raises(ChefRefuses, match=f"its {where} is not an object"):
        compare(own(SIGNED), node(normal=normal))


def test_no_more_is_put_than_travels_to_agents() -> None:
    theirs = level({"long": "x" * (core.MAX_BYTES - 60)})
    with pytest.raises(ChefRefuses, match="more than 200,000 bytes"):
        compare(own(SIGNED), node(normal=theirs))


@pytest.mark.parametrize(
    ("status", "content", "error", "words"),
    [
        (403, b"{}", ChefRefuses, "it refuses"), (404, b"{}", ChefRefuses, "deleted there"),
        (409, b"{}", ChefRefuses, "being changed"), (413, b"", ChefRefuses, "too large"),
        (500, b"", ChefAway, "it failed"), (200, b"<html>", ChefRefuses, "not an answer"),
        (200, node(), ChefAway, "does not say"),
        (200, node(normal=level({"greet": "echo"})), ChefAway, "does not say"),
    ],
)  # fmt: skip
def test_what_was_put_is_shown_by_the_answer(
    status: int, content: bytes, error: type[Exception], words: str
) -> None:
    ours = own(SIGNED)
    with pytest.raises(error, match=words):
        whitelists.require_put(status, content, "n1", ours, Difference(missing=["greet"]))
    whitelists.require_put(200, node(normal=SIGNED), "n1", ours, Difference(missing=["greet"]))


def test_what_stays_need_not_be_as_it_is_here_after_putting() -> None:
    ours = own(level({"greet": "echo", "other": "a"}, {"greet": RECORD}))
    found = compare(ours, node(normal=level({"other": "b"})))
    assert found.body is not None
    assert found.difference == Difference(missing=["greet"], differs=["other"])
    whitelists.require_put(200, found.body, "n1", ours, found.difference)


VALUES = st.sampled_from(["a", "b", {"command_line": "a"}, {"lock": True}])
RECORDS = st.sampled_from([RECORD, NEWER, REMOVAL])
NAMES = st.sampled_from(["x", "y", "z"])
LEVEL = st.builds(level, st.dictionaries(NAMES, VALUES), st.dictionaries(NAMES, RECORDS))


@given(LEVEL, LEVEL, LEVEL, LEVEL, LEVEL, LEVEL)
def test_nothing_that_is_there_changes_and_again_there_is_nothing_to_put(
    low: Any, mid: Any, high: Any, low_there: Any, mid_there: Any, high_there: Any
) -> None:
    ours = whitelists.own_attributes(*map(json.dumps, (low, mid, high)))
    if ours is None:
        return
    there = {"default": low_there, "normal": mid_there, "override": high_there}
    found = compare(ours, node(**there))
    if found.body is None:
        assert not found.difference.missing
        return
    stored = json.loads(found.body)
    for name, before in there.items():
        for kind, values in before["push_jobs"].items():
            assert values.items() <= stored[name]["push_jobs"][kind].items()
    again = compare(ours, found.body)
    assert again.body is None
    assert again.difference == found.difference.stays
    # What stays is in force there as it was.
    after, was = (
        {e.name: e for e in core.of_attributes(*map(json.dumps, some.values())).entries}
        for some in ({key: stored[key] for key in there}, there)
    )
    assert {name: after.get(name) for name in found.difference.differs} == {
        name: was.get(name) for name in found.difference.differs
    }
