"""Ruby files of settings: what is read, what is named instead, and what is refused."""

import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcli.migration.ruby_literals import NotRuby, parse
from pushcli.migration.ruby_values import (
    Assignment,
    Hash,
    Regexp,
    Remainder,
    Statement,
    Symbol,
    Unread,
    Value,
)
from tests.support.examples import examples

FILE = "/etc/chef/client.rb"


def read(text: str, **env: str) -> list[Statement]:
    return parse(text, file=FILE, env={"HOME": "/home/ann", **env})


def value(text: str, **env: str) -> Value:
    """What `x` becomes."""
    statement = read(f"x = {text}", **env)[-1]
    assert isinstance(statement, Assignment), statement
    return statement.value


def refusal(text: str) -> str:
    with pytest.raises(NotRuby) as refused:
        read(text)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("'a'", "a"),
        (r"'it\'s \\ \n'", r"it's \ \n"),
        (r'"a\tb\"\\\u00e9\#{x}"', 'a\tb"\\\u00e9#{x}'),
        ('""', ""),
        (":info", Symbol("info")),
        (':"a b"', Symbol("a b")),
        ("12_000", 12000),
        ("-3", -3),
        ("0.6", 0.6),
        ("true", True),
        ("false", False),
        ("nil", None),
        ("STDOUT", Symbol("STDOUT")),
        ("OpenSSL::SSL::VERIFY_NONE", Symbol("verify_none")),
        ("[1, 'a', [true],]", [1, "a", [True]]),
        ("%w(A B)", ["A", "B"]),
        ("%i[a b]", [Symbol("a"), Symbol("b")]),
        ("{}", Hash(())),
        ("{'a' => 1, b: 2, :c => 3, 'd': 4}",
         Hash((("a", 1), (Symbol("b"), 2), (Symbol("c"), 3), (Symbol("d"), 4)))),
        (r"{/^a\/(b)$/i => 'x'}", Hash(((Regexp(r"^a\/(b)$", "i"), "x"),))),
        ("%r{^/a{2}/}x", Regexp("^/a{2}/", "x")),
        ("File.join('/a/', '/b', 'c')", "/a/b/c"),
        ("File.dirname(__FILE__)", "/etc/chef"),
        ("__dir__", "/etc/chef"),
        ("File.expand_path('../x.pem', __dir__)", "/etc/x.pem"),
        ("File.expand_path('~/x')", "/home/ann/x"),
        ("ENV['USER']", "bob"),
        ("ENV['NO']", None),
        ("ENV['NO'] || 'other'", "other"),
        ("ENV.fetch('NO', 'other')", "other"),
        ('"#{ENV["USER"]}-#{ENV[\'NO\']}"', "bob-"),
        ("'a' # comment", "a"),
        ("[ # comment ]\n 1, # two\n 2\n]", [1, 2]),
    ],
)  # fmt: skip
def test_literals(literal: str, expected: Value) -> None:
    found = value(literal, USER="bob")
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "name", "keys"),
    [
        ("name 'x'", "name", ()),
        ("name('x')", "name", ()),
        ("name( \n'x'\n)", "name", ()),
        ("name = 'x'", "name", ()),
        ("name='x'", "name", ()),
        ("name['a'] = 'x'", "name", ("a",)),
        ("name['a']['b'] = 'x'", "name", ("a", "b")),
        ("name[:a]='x';", "name", (Symbol("a"),)),
        ("Chef::Config[:name] = 'x'", "name", ()),
        ("Chef::Config.name = 'x'", "name", ()),
        ("Mixlib::Log::Formatter.show_time = 'x'", "Mixlib::Log::Formatter.show_time", ()),
        ("\ufeff".strip("\ufeff") + "  name\t'x'\r", "name", ()),
    ],
)
def test_forms_of_assignments(text: str, name: str, keys: tuple[Value, ...]) -> None:
    assert read(f"\n{text}\n") == [Assignment(2, name, keys, "x")]


def test_names_stand_for_what_was_assigned_before_and_never_for_what_code_made() -> None:
    text = """
current_dir = File.dirname(__FILE__)
client_key "#{current_dir}/a.pem"
current_dir = chosen()
client_key "#{current_dir}/b.pem"
other unknown
"""
    assert read(text) == [
        Assignment(2, "current_dir", (), "/etc/chef"),
        Assignment(3, "client_key", (), "/etc/chef/a.pem"),
        Remainder(4, "current_dir = chosen()", frozenset({"current_dir"})),
        Remainder(5, 'client_key "#{current_dir}/b.pem"', frozenset({"client_key"})),
        Remainder(6, "other unknown", frozenset({"other"})),
    ]
    given_name = parse('x "#{here}/a"', file=FILE, env={}, names={"here": "/h"})
    assert given_name == [Assignment(1, "x", (), "/h/a")]


def test_which_variables_a_value_was_made_of_is_told() -> None:
    (statement,) = read("x \"#{ENV['A']}\" || ENV['B']", A="1")
    assert isinstance(statement, Assignment)
    assert statement.variables == ("A", "B")


@pytest.mark.parametrize(
    "code",
    [
        "if windows?\n  node_name 'no'\nend",
        "if a then node_name 'no' end",
        "node_name 'no' if windows?",
        "node_name 'no' unless File.exist?('/x')",
        "node_name 'no'.upcase",
        "node_name 'no'\n  .upcase",
        "node_name 'no' + 'x'",
        "node_name 'no', 'x'",
        "node_name `hostname`",
        'node_name "#{`hostname`}"',
        "node_name x ? 'no' : 'n'",
        "node_name ||= 'no'",
        "node_name << 'no'",
        "node_name %x(hostname)",
        "node_name <<~EOF\n  node_name 'no'\n  EOF",
        "begin\n  node_name 'no'\nrescue\n  node_name 'n'\nend",
        "case x\nwhen 1\n  node_name 'no'\nend",
        "[1].each do |x|\n  node_name 'no'\nend",
        "[1].each { |x|\n  node_name 'no'\n}",
        "while true do\n node_name 'no'\nend",
        "def f\n  if x\n    node_name 'no'\n  end\nend",
        "y = if x\n  node_name 'no'\nend",
        "Chef::Config[:node_name] = no()",
        "self.node_name = 'no'",
        "foo('a',\n  node_name('no'))",
        "foo 'a',\n  'node_name', bar",
    ],
)
def test_code_is_named_with_its_line_and_not_read(code: str) -> None:
    before, *found, after = read(f"a 1\n{code}\nb 2\n")
    assert before == Assignment(1, "a", (), 1)
    assert after == Assignment(3 + code.count("\n"), "b", (), 2)
    assert found
    first = found[0]
    assert isinstance(first, Remainder)
    assert first.line == 2
    assert not [one for one in found if isinstance(one, Assignment)]


def test_what_code_may_have_changed_is_told() -> None:
    (block,) = read("if x\n  node_name 'a'\n  Chef::Config[:file_dir] = 'b'\nend")
    assert isinstance(block, Remainder)
    assert {"node_name", "file_dir"} <= block.names


def test_an_element_that_is_no_literal_costs_that_element_alone() -> None:
    (statement,) = read("w({\n 'a' => 'b',\n 'c' => f(1, [2]),\n g => 'h', 'd' => 'e'})")
    assert isinstance(statement, Assignment)
    assert statement.value == Hash(
        (("a", "b"), ("c", Unread(3, "f(1, [2])")), (Unread(4, "g => 'h'"), None), ("d", "e"))
    )
    (statement,) = read("w['a'] = b()")
    assert statement == Assignment(1, "w", ("a",), Unread(1, "w['a'] = b()"))


def test_comments_and_what_stands_behind_the_end_are_passed_over() -> None:
    text = "# a 1\n=begin\na 2\n=end\na 3 # a 4\n__END__\na 5\n"
    assert read(text) == [Assignment(5, "a", (), 3)]


@pytest.mark.parametrize(
    ("half", "words"),
    [
        ("a 1\nb 'x", "line 2: ' without an end"),
        ('a "x', 'line 1: " without an end'),
        ("w({'a' => 'b',", "line 1: { without an end"),
        ("w({'a' => 'b'}", "line 1: ) is missing"),
        ("w [1, 2", "line 1: [ without an end"),
        ("if a\n b 1\n", "line 1: if without an end"),
        ("a <<EOF\nx", "line 1: <<EOF without an end"),
        ("a = " + "[" * 50 + "]" * 50, "more than 20 times"),
        ('a = "' + '#{"' * 50, "more than 20 times"),
        ("a = [" + "1," * 30_000 + "]", "more than 20,000 values"),
        ("a 1\n" * 10_001, "more than 10,000 statements"),
        ("a = '0123456789'\n" + 'a = "#{a}#{a}"\n' * 40, "characters of strings"),
        ("a '" + "x" * 1024 * 1024 + "'", "larger than 1,048,576 characters"),
        ("a '\0'", "not a text file"),
    ],
)
def test_half_files_and_huge_ones_are_refused_in_a_line(half: str, words: str) -> None:
    assert words in refusal(half)


@pytest.mark.parametrize(
    "hostile",
    [
        "# # # #" * 20_000 + "\nx 'a'", "x 'a'" + "\n#" * 100_000, "(" * 500_000, "/" * 500_000,
        "\\\n" * 200_000, "if a\n" * 100_000, "do " * 200_000, "'" * 500_001, "x" * 500_000,
        "a [" + "f()," * 15_000 + "]", "a {" * 50_000, '"#{' * 100_000, "a ||" * 100_000,
        "<<A " * 50_000, "a.b" * 100_000, "a\n." * 100_000, "a = b ?\n" * 50_000,
        "a(b)" + "\n" * 200_000 + ".c", "a(b)" + "\n#" * 100_000 + "\n.c",
    ],
)  # fmt: skip
def test_no_text_takes_long(hostile: str) -> None:
    began = time.process_time()
    with contextlib.suppress(NotRuby):
        read(hostile)
    assert time.process_time() - began < 8


@settings(max_examples=examples(300), deadline=None)
@given(
    st.lists(
        st.sampled_from([*"ab'\"{}[]()#\n\\=>:,./|%$; ", "if ", "do ", "end", "<<A"]),
        max_size=60,
    ).map("".join)
)
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(NotRuby):
        assert all(0 < one.line <= text.count("\n") + 1 for one in read(text))
