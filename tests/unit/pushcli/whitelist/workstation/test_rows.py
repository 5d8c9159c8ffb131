"""Which rows the table of whitelists has, and what each says of its entry."""

from typing import Any

import msgspec
import pytest

from pushcli import durations
from pushcli.whitelist.workstation import words
from pushcli.whitelist.workstation.rows import notes, rows, state
from pushcli.whitelist.workstation.views import NodeWhitelist


def whitelist(node: str, entries: list[dict[str, Any]], /, **in_force: Any) -> NodeWhitelist:
    raw: dict[str, Any] = {"node": node, "entries": entries, "in_force": None}
    if in_force:
        raw["in_force"] = {"at": 1.0, "entries": [], "refused": [], "left_out": 0} | in_force
    return msgspec.convert(raw, NodeWhitelist)


def on_server(name: str, value: Any = "true", **more: Any) -> dict[str, Any]:
    return {"name": name, "value": value, "level": "normal", "signer": "ann", "version": 5} | more


def in_force(name: str, value: Any = "true", **more: Any) -> dict[str, Any]:
    signed = {"name": name, "value": value, "source": "server", "signer": "ann", "version": 5}
    return {**signed, "since": 1.0, **more}


@pytest.mark.parametrize(
    ("entry", "report", "said"),
    [
        (on_server("x"), {"entries": [in_force("x")]}, "in force"),
        (on_server("x"), {}, "not reported"),
        (on_server("x"), {"entries": []}, "not yet in force"),
        (on_server("x"), {"entries": [in_force("x", "old")]}, "not yet in force"),
        (on_server("x"), {"entries": [in_force("x", version=4)]}, "not yet in force"),
        (on_server("x"), {"entries": [], "left_out": 2}, "not in the report"),
        (on_server("x"), {"refused": [{"name": "x", "reason": "bob is no editor"}]},
         "refused: bob is no editor"),
        (on_server("x", signer=None, version=None),
         {"entries": [in_force("x", signer=None, version=None)]}, "in force, unsigned"),
        (on_server("x", level="override"), {"entries": [in_force("x")]},
         "in force, set at override"),
        (on_server("x"), {"entries": [in_force("x", "mine", source="local")]},
         "hidden by the local entry; local"),
    ],
)  # fmt: skip
def test_what_is_said_of_an_entry(entry: Any, report: Any, said: str) -> None:
    assert state(whitelist("web01", [entry], **report), "x") == said


def test_a_removed_entry_that_still_holds_is_shown() -> None:
    (row,) = rows([whitelist("web01", [], entries=[in_force("x")])])
    assert row.state == "removed, still in force"


def test_equal_entries_are_one_row_and_differences_stand_beside_each_other() -> None:
    nodes = [
        whitelist(f"web0{n}", [on_server("x", "old" if n == 2 else "new"), on_server("a")],
                  entries=[in_force("x", "old" if n == 2 else "new"), in_force("a")])
        for n in (1, 2, 3)
    ]  # fmt: skip
    assert [(row.name, row.value, row.nodes, row.differs) for row in rows(nodes)] == [
        ("a", "true", ["web01", "web02", "web03"], False),
        ("x", "new", ["web01", "web03"], True),
        ("x", "old", ["web02"], True),
    ]


def test_a_broken_local_file_is_noted_for_the_nodes_that_have_it() -> None:
    broken = [whitelist(n, [], error="agent.toml: line 3", left_out=1) for n in ("a", "b")]
    assert notes([*broken, whitelist("c", [])]) == {
        "what was in force before stays: agent.toml: line 3": ["a", "b"],
        "1 more entries did not fit into the report": ["a", "b"],
    }


def test_entries_in_words() -> None:
    value = {"command_line": ["a", "b c"], "lock": True, "timeout": 5.0, "operators": ["x", "y"],
             "description": "why", "unsafe_substitution": True}  # fmt: skip
    assert words.command(value) == '["a", "b c"]'
    assert words.options(value) == (
        "lock, timeout 5 s, operators x y, description why, unsafe substitution"
    )
    assert (words.command("a b"), words.options("a b")) == ("a b", "")
    assert words.runs(["a", "b c"]) == "a 'b c'"
    shown = f"({durations.local(1_700_000_000)})"
    assert words.version(1_700_000_000_000_000) == f"1700000000000000 {shown}"
    assert words.version(2**62) == str(2**62)
