"""Edits of a whitelist in TOML: what changes, and that nothing else does."""

import math
from typing import Any

import pytest
import tomli
import tomlkit
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcli.whitelist import toml_text
from pushcli.whitelist.toml_statements import statements
from pushcli.whitelist.workstation.toml_edit import (
    AT_TOP,
    CannotEdit,
    entries,
    with_entry,
    without_entry,
)
from tests.support.examples import examples

WITH_TABLE = """\
# The agent of web01
node_name = "web01"   # its name

[whitelist]   # what may run
# "dpkg" = "never"
uptime = "uptime"  # harmless

"chef client" = { command_line = "chef-client", lock = true }
# the end of the list

[other]
a = 1
"""


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ("", '[whitelist]\nx = "y"\n'),
        ("a = 1", 'a = 1\n\n[whitelist]\nx = "y"\n'),
        ("a = 1\r\n", 'a = 1\r\n\r\n[whitelist]\r\nx = "y"\r\n'),
        ("[whitelist]", '[whitelist]\nx = "y"'),
        ("[whitelist] # c\n\n# d\n", '[whitelist] # c\nx = "y"\n\n# d\n'),
        ('whitelist.a = "b"\n[z]\n', 'whitelist.a = "b"\nwhitelist.x = "y"\n[z]\n'),
        ('[whitelist]\na = "b"\n[whitelist.c]\ncommand_line = "d"\n',
         '[whitelist]\na = "b"\nx = "y"\n[whitelist.c]\ncommand_line = "d"\n'),
        ('[whitelist.c]\ncommand_line = "d"\n',
         '[whitelist.c]\ncommand_line = "d"\n\n[whitelist]\nx = "y"\n'),
        ('[whitelist]\nc.command_line = "d"\n', '[whitelist]\nc.command_line = "d"\nx = "y"\n'),
        ('[whitelist]\nx = "old" # why\n', '[whitelist]\nx = "y" # why\n'),
        ('[whitelist]\nx = """\nold # no comment\n"""\n', '[whitelist]\nx = "y"\n'),
        ('[whitelist.x] # t\n# c\ncommand_line = "old"\nlock = true\n[z]\n',
         '[whitelist.x] # t\n# c\ncommand_line = "y"\n[z]\n'),
        ('[whitelist]\nx.command_line = "old"\nx.lock = true\n',
         '[whitelist]\nx.command_line = "y"\n'),
        ('[whitelist]\n  x = [ # a\n  "old", # b\n  ]\n', '[whitelist]\n  x = "y"\n'),
        ('[[whitelist.x]]\na = 1\n', '\n[whitelist]\nx = {command_line = "y"}\n'.lstrip("\n")),
    ],
)  # fmt: skip
def test_an_entry_is_put_where_it_belongs(text: str, edited: str) -> None:
    assert with_entry(text, "x", "y") == edited


def test_a_table_gets_the_keys_that_it_lacks_before_the_tables_within_it() -> None:
    text = '[whitelist.x]\ncommand_line = "c"\n\n# next\n[z]\n'
    edited = with_entry(text, "x", {"command_line": "c", "lock": True, "timeout": 5})
    assert edited == '[whitelist.x]\ncommand_line = "c"\nlock = true\ntimeout = 5\n\n# next\n[z]\n'
    dotted = with_entry('whitelist.x.command_line = "c"', "x", {"command_line": "c", "lock": True})
    assert dotted == 'whitelist.x.command_line = "c"\nwhitelist.x.lock = true'


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ('[whitelist]\nx = "y" # gone\n# stays\n', "[whitelist]\n# stays\n"),
        ('[whitelist]\n# c\nx = "y"', "[whitelist]\n# c"),
        ('[whitelist]\r\nx = "y"', "[whitelist]"),
        ('[whitelist.x]\n# stays\ncommand_line = "y"\n[z]\n', "# stays\n[z]\n"),
        ('whitelist.x = "y"\nwhitelist.z = "y"\n', 'whitelist.z = "y"\n'),
        ('[whitelist]\n"x" = [\n"y",\n]\n', "[whitelist]\n"),
        ("a = 1\n", "a = 1\n"),
    ],
)
def test_an_entry_goes_with_its_own_lines_only(text: str, edited: str) -> None:
    assert without_entry(text, "x") == edited


@pytest.mark.parametrize("text", ['whitelist = {a = "b"}\n', "whitelist = 1\n", "a = \n", "[a\n"])
def test_what_cannot_be_edited_is_refused(text: str) -> None:
    with pytest.raises(CannotEdit):
        with_entry(text, "x", "y")


def test_an_inline_whitelist_is_left_alone_where_nothing_changes() -> None:
    text = 'whitelist = {a = "b"}\n'
    assert with_entry(text, "a", "b") == without_entry(text, "x") == text
    with pytest.raises(CannotEdit, match="inline"):
        without_entry(text, "a")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (r"service \1 restart", r"'service \1 restart'"),
        ('echo "a"', "'echo \"a\"'"),
        (r"it's \1", r'"it' + "'" + r's \\1"'),
        ("a\x7f\n", r'"a\u007f\n"'),
        (["a", "b c"], '["a", "b c"]'),
        ({"command_line": "a", "lock": True, "timeout": 1.5},
         '{command_line = "a", lock = true, timeout = 1.5}'),
    ],
)  # fmt: skip
def test_values_are_written_as_people_write_them(content: object, text: str) -> None:
    assert toml_text.value(content) == text
    assert tomli.loads(f"a = {text}") == {"a": content}


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ("", 'x = "y"\n'),
        ("# all", '# all\nx = "y"\n'),
        ('a = "b" # c\n# d\n', 'a = "b" # c\nx = "y"\n# d\n'),
        ('# f\n\n# of c\n[c]\ncommand_line = "d"\n',
         '# f\n\nx = "y"\n# of c\n[c]\ncommand_line = "d"\n'),
        ('[x]\n# c\ncommand_line = "d"\nlock = true\n', '[x]\n# c\ncommand_line = "y"\n'),
        ('whitelist = "inline"\n', 'whitelist = "inline"\nx = "y"\n'),
    ],
)  # fmt: skip
def test_a_file_of_entries_has_them_at_its_top(text: str, edited: str) -> None:
    assert with_entry(text, "x", "y", AT_TOP) == edited
    if "x" not in entries(text, AT_TOP) and text != "# all":
        assert without_entry(edited, "x", AT_TOP) == text


NAMES = st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12
) | st.sampled_from(
    ["a", "b", "chef-client", r"/service (\w+)/", 'quo"te', "it's", "a.b", "#", "=", "[x]"]
)
COMMANDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = (
    COMMANDS
    | st.lists(COMMANDS, min_size=1, max_size=3)
    | st.fixed_dictionaries(
        {"command_line": COMMANDS},
        optional={"lock": st.booleans(), "timeout": st.integers(1, 99), "description": COMMANDS},
    )
)
ENDS = st.sampled_from(["\n", "\r\n"])
TRIVIA = st.sampled_from(["", "# a comment", "  # [whitelist]", "\t", '# x = "y"', "#"])
SCALARS = st.sampled_from(
    ["1", "1.5", "nan", "true", "1979-05-27T07:32:00Z", '"# no comment"', "'lit\\eral'",
     '"""\nmany\n[lines]\n"""', "'''\n# of\nx = 1'''", "[1, 2, # c\n 3]", "{ a = 1, b = [1] }",
     '"a \\" b"', '""""quoted""""', "[ [ ], [ '[' ] ]"]
)  # fmt: skip


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Random TOML: tables, dotted keys, sub-tables, comments; a whitelist in any form or none."""
    end = draw(ENDS)
    lines: list[str] = []

    def trivia() -> None:
        lines.extend(draw(st.lists(TRIVIA, max_size=2)))

    def pair(name: str, value: str) -> None:
        indent, note = draw(st.sampled_from(["", "  ", "\t"])), draw(st.sampled_from(["", " # c"]))
        equals = draw(st.sampled_from(["=", " = ", "  =\t"]))
        lines.append(f"{indent}{name}{equals}{value}{note}")
        trivia()

    trivia()
    for number in range(draw(st.integers(0, 3))):
        pair(draw(st.sampled_from([f"top{number}", f'"top {number}"', f"t.o.p{number}"])),
             draw(SCALARS))  # fmt: skip
    names = draw(st.lists(NAMES, unique=True, max_size=4))
    form = draw(st.sampled_from(["table", "dotted", "subtables", "none", "mixed"]))
    if form == "dotted":
        for name in names:
            pair(f"whitelist . {toml_text.key(name)}", toml_text.value(draw(VALUES)))
    for table in draw(st.lists(st.sampled_from(["a", '"b c"', "d.e"]), unique=True, max_size=2)):
        lines.append(f"[{table}]")
        pair("k", draw(SCALARS))
    if form in ("table", "mixed"):
        lines.append(draw(st.sampled_from(["[whitelist]", "[ whitelist ] # c", '["whitelist"]'])))
        trivia()
        for name in names[: 2 if form == "mixed" else None]:
            pair(toml_text.key(name), toml_text.value(draw(VALUES)))
    if form in ("subtables", "mixed"):
        for name in names[2 if form == "mixed" else 0 :]:
            lines.append(f"[whitelist.{toml_text.key(name)}]")
            trivia()
            pair("command_line", toml_text.value(draw(COMMANDS)))
            pair("lock", "true")
    for number in range(draw(st.integers(0, 2))):
        lines.append(draw(st.sampled_from([f"[z{number}]", "[[z]]"])))
        pair("k", draw(SCALARS))
    text = "\n".join(lines).replace("\r\n", "\n").replace("\n", end)
    return text + draw(st.sampled_from(["", end, end + end]))


def comment_lines(text: str) -> list[str]:
    """The lines that hold nothing but a comment (not those within a string or an array)."""
    outside, place = "", 0
    for statement in statements(text):
        outside += text[place : statement.start]
        place = statement.end
    return [line for line in (outside + text[place:]).splitlines() if line.strip()]


def valid(text: str) -> bool:
    try:
        tomli.loads(text)
    except ValueError:
        return False
    return True


def test_the_statements_cover_the_values_exactly() -> None:
    found = list(statements(WITH_TABLE))
    assert [s.path for s in found] == [
        ("node_name",), ("whitelist",), ("whitelist", "uptime"), ("whitelist", "chef client"),
        ("other",), ("other", "a"),
    ]  # fmt: skip
    assert [WITH_TABLE[slice(*s.value)] for s in found if s.value != (0, 0)] == [
        '"web01"', '"uptime"', '{ command_line = "chef-client", lock = true }', "1",
    ]  # fmt: skip


@given(documents().filter(valid), NAMES, VALUES)
@settings(max_examples=examples(300))
def test_adding_and_removing_gives_back_every_byte(text: str, name: str, value: Any) -> None:
    had = entries(text)
    if name in had:
        return
    added = with_entry(text, name, value)
    assert entries(added)[name] == value
    removed = without_entry(added, name)
    has_place = any(s.path[:1] == ("whitelist",) and len(s.table) < 2 for s in statements(text))
    if has_place:
        assert removed == text
    else:
        # The table that was made for it stays, empty.
        end = "\r\n" if "\r\n" in text.partition("\n")[0] + "\n" else "\n"
        assert removed.startswith(text)
        assert removed[len(text) :].split() == ["[whitelist]"]
        assert removed.endswith(f"[whitelist]{end}")


@given(documents().filter(valid), st.data())
@settings(max_examples=examples(300))
def test_a_change_keeps_every_comment_line_and_every_other_statement(
    text: str, data: st.DataObject
) -> None:
    had = entries(text)
    if not had:
        return
    name = data.draw(st.sampled_from(sorted(had)))
    value = data.draw(VALUES)
    for edited, wanted in (
        (with_entry(text, name, value), {**had, name: value}),
        (without_entry(text, name), {k: v for k, v in had.items() if k != name}),
    ):
        assert whole(entries(edited)) == whole(wanted)
        assert comment_lines(edited) == comment_lines(text)
        assert others(edited, name) == others(text, name)
        # Another reader sees the same.
        assert tomlkit.parse(edited).unwrap().get("whitelist", {}).keys() == wanted.keys()


def whole(table: dict[str, Any]) -> dict[str, Any]:
    return {k: v if isinstance(v, dict) else {"command_line": v} for k, v in table.items()}


def others(text: str, name: str) -> list[str]:
    """The statements that are not of this entry, with their indentation, comments and breaks."""
    return [
        text[s.start : s.end].rstrip("\r\n")
        for s in statements(text)
        if s.path[:2] != ("whitelist", name)
    ]


def test_not_a_number_is_no_change() -> None:
    text = "a = nan\n[whitelist]\n"
    assert math.isnan(tomli.loads(with_entry(text, "x", "y"))["a"])
