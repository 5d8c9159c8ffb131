"""Values that make an entry, and those that do not."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.whitelist.entry import Entry, InvalidEntry, parse, to_value

FULL = {
    "command_line": ["service", r"\1"],
    "lock": "/run/lock/x",
    "description": "Restarts it",
    "operators": ["ann", "bob"],
    "timeout": 2.5,
    "env": ["BRANCH", "TAG"],
    "dir": "/srv/app",
    "dirs": ["/srv/web"],
    "stdin": True,
    "capture": False,
    "reboots": True,
    "user": "deploy",
}


def reason(value: object, name: str = "x", *, local: bool = True) -> str:
    with pytest.raises(InvalidEntry) as refused:
        parse(name, value, local=local)
    assert refused.value.reason == str(refused.value)
    assert refused.value.reason.isprintable()
    return refused.value.reason


def test_a_string_is_for_a_shell_and_a_list_for_none() -> None:
    assert parse("x", "echo hi", local=False) == Entry(name="x", command="echo hi")
    assert parse("x", ["echo", "hi", ""], local=False).command == ("echo", "hi", "")


def test_a_table_says_more() -> None:
    assert parse("/a (b)/", FULL, local=True) == Entry(
        name="/a (b)/", command=("service", r"\1"), lock="/run/lock/x",
        description="Restarts it", operators=("ann", "bob"), timeout=2.5,
        env=("BRANCH", "TAG"), dir="/srv/app", dirs=("/srv/web",), user="deploy", stdin=True,
        capture=False, reboots=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "is_pattern"),
    [("/a/", True), ("/", False), ("//", False), ("///", True), ("/bin/ls", False), ("a/", False)],
)
def test_a_name_between_slashes_is_a_pattern(name: str, is_pattern: bool) -> None:
    assert parse(name, "true", local=False).is_pattern is is_pattern


@pytest.mark.parametrize(
    ("value", "canonical"),
    [
        ({"command_line": "a"}, "a"),
        ({"command_line": "a", "lock": False, "description": "", "timeout": 5.0},
         {"command_line": "a", "timeout": 5}),
        ({"command_line": ["a"]}, ["a"]),
        ({"user": "www", "dirs": ["/b", "/a", "/b"], "command_line": "a", "env": ["A", "A"],
          "dir": "/"},
         {"command_line": "a", "env": ["A"], "dirs": ["/b", "/a"], "dir": "/", "user": "www"}),
        ({"command_line": "a", "env": [], "dirs": [], "dir": None, "user": None}, "a"),
        ({"command_line": "a", "operators": []}, {"command_line": "a", "operators": []}),
        ({"timeout": 0.5, "lock": True, "command_line": "a"},
         {"command_line": "a", "lock": True, "timeout": 0.5}),
    ],
)  # fmt: skip
def test_the_shortest_value_comes_back(value: object, canonical: object) -> None:
    assert to_value(parse("x", value, local=False)) == canonical


@given(
    command=st.text(min_size=1, max_size=20) | st.lists(st.text(max_size=9), max_size=4),
    more=st.fixed_dictionaries(
        {},
        optional={
            "lock": st.booleans() | st.just("/a"),
            "timeout": st.floats() | st.integers(),
            "description": st.text(max_size=9),
            "operators": st.lists(st.sampled_from(["ann", "b b"]), max_size=3),
            "env": st.lists(st.sampled_from(["A", "B", "1"]), max_size=3),
            "dir": st.sampled_from(["/", "srv", "/srv/ä"]),
            "dirs": st.lists(st.sampled_from(["/", "/srv"]), max_size=3),
            "user": st.sampled_from(["www", "DOMAIN\\www", "ann@example.com", "host$", "x y"]),
        },
    ),
)
def test_what_is_accepted_comes_back_the_same(command: object, more: dict[str, object]) -> None:
    try:
        entry = parse("x", {"command_line": command, **more}, local=True)
    except InvalidEntry:
        return
    value = msgspec.json.decode(msgspec.json.encode(to_value(entry)))
    assert value == to_value(entry)
    assert parse("x", value, local=True) == entry


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("", "an empty command"),
        (" \n", "an empty command"),
        ([], "an empty command"),
        (["", "x"], "an empty command"),
        (["x", 1], "neither a string nor a list of strings"),
        (1, "neither a string nor a list of strings"),
        (None, "neither a string nor a list of strings"),
        ({}, "no command_line"),
        ({"command_line": "x", "comand": 1}, "unknown key 'comand': did you mean 'command_line'?"),
        ({"command_line": "x", "zzz\n": 1}, r"unknown key 'zzz\n': known are command_line"),
        ({"command_line": {"command_line": "x"}}, "neither a string nor a list of strings"),
        ("a\0b", "a NUL character"),
        ("\ud800", "a command that is not text"),
        ("x" * 16385, "more than 16384 bytes"),
        (["é" * 4096, "é" * 4097], "more than 16384 bytes"),
        ({"command_line": "x", "lock": "locks/x"}, "not an absolute path"),
        ({"command_line": "x", "lock": "/a\nb"}, "not an absolute path"),
        ({"command_line": "x", "lock": 1}, "neither true nor a path"),
        ({"command_line": "x", "description": "a\nb"}, "not one line"),
        ({"command_line": "x", "description": "x" * 1001}, "more than 1000"),
        ({"command_line": "x", "operators": "ann"}, "not a list"),
        ({"command_line": "x", "operators": ["a b"]}, "invalid name 'a b'"),
        ({"command_line": "x", "operators": ["a"] * 101}, "at most 100"),
        ({"command_line": "x", "timeout": 0}, "not above 0"),
        ({"command_line": "x", "timeout": float("nan")}, "not above 0"),
        ({"command_line": "x", "timeout": float("inf")}, "not above 0"),
        ({"command_line": "x", "timeout": 10**400}, "not above 0"),
        ({"command_line": "x", "timeout": True}, "not a number"),
        ({"command_line": "x", "timeout": "5"}, "not a number"),
        ({"command_line": "x", "unsafe_substitution": "yes"}, "neither true nor false"),
        ({"command_line": "x", "unsafe_substitution": True}, "for patterns"),
        ("\x01" * 5000, "more than 20000 bytes in all"),
    ],
)
def test_a_value_that_is_wrong_is_refused_with_the_reason(value: object, said: str) -> None:
    assert said in reason(value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "an empty name"),
        ("x" * 1001, "more than 1000 characters"),
        ("a\nb", "control characters"),
        ("a\u2028b", "control characters"),
        ("a\x85b", "control characters"),
        ("\ud800", "control characters"),
    ],
)
def test_a_name_that_is_wrong_is_refused_with_the_reason(name: str, said: str) -> None:
    assert said in reason("true", name)


def test_the_server_names_no_files_and_pastes_no_text() -> None:
    raw = {"command_line": r"echo \1", "unsafe_substitution": True}
    assert parse("/(.)/", raw, local=True).unsafe_substitution
    assert "the node's own files" in reason(raw, "/(.)/", local=False)
    locked = {"command_line": "x", "lock": "/run/lock/x"}
    assert "use lock = true" in reason(locked, local=False)
    assert parse("x", {"command_line": "x", "lock": True}, local=False).lock is True
