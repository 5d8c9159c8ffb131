"""Ruby's expressions in our terms, and which groups are the same as text and as arguments."""

import pytest

from pushcli.migration.ruby_patterns import (
    Untranslatable,
    command,
    references,
    translate,
    widened,
)
from pushcli.migration.ruby_values import Regexp


@pytest.mark.parametrize(
    ("source", "flags", "expression"),
    [
        (r"^chef-client$", "", r"^chef-client$"),
        (r"\Aa\/b\Z", "i", r"(?i)^a/b$"),
        (r"\h+", "m", r"(?s)[0-9A-Fa-f]+"),
        (r"[\h\/]", "", r"[0-9A-Fa-f/]"),
        (r"(?<name>a{,3})", "", r"(a{0,3})"),
        (r"a(?#comment)b", "", r"ab"),
    ],
)
def test_expressions(source: str, flags: str, expression: str) -> None:
    assert translate(Regexp(source, flags)).expression == expression


@pytest.mark.parametrize(
    "source",
    [r"(?=a)", r"(?!a)", r"(?>a)", r"(?<!a)", r"(a)\1", r"a++", r"a**", r"[a&&b]", r"[a[b]]",
     r"[[:alpha:]]", r"\p{Alpha}", r"\R", r"\Qa\E", r"(?m)a", r"(?<n>a)(b)", r"(", r")a(", r"a)",
     r"\u0041", r"a{2}{3}", r"\k<n>", r"(?'n'a)"],
)  # fmt: skip
def test_what_we_have_no_counterpart_for_is_refused(source: str) -> None:
    with pytest.raises(Untranslatable):
        translate(Regexp(source, ""))


def test_an_extended_expression_is_refused() -> None:
    with pytest.raises(Untranslatable, match="flag x"):
        translate(Regexp("a b", "x"))


def test_long_expressions_are_refused_at_once() -> None:
    with pytest.raises(Untranslatable, match="more than 1000 characters"):
        translate(Regexp("(a)" * 100_000, ""))


@pytest.mark.parametrize(
    ("source", "is_whole"),
    [
        ("^a$", True), (r"\Aa\z", True), ("^a.*", True), ("^a(.*)", True), (".*a$", True),
        ("(.*)a(.+)", True), ("a", False), ("^a", False), ("a$", False), ("^a|b$", False),
        ("^(a|b)$", True), ("^a.*?", False), ("(.*)?a$", False), (r"^a\$", False),
        ("(^a$)", False), ("^a.?", False), (r"^a\.*", False), ("^a[.*]", False), ("(?i)^a$", True),
    ],
)  # fmt: skip
def test_whole_requests(source: str, is_whole: bool) -> None:
    assert translate(Regexp(source, "")).is_whole is is_whole


@pytest.mark.parametrize(
    ("source", "is_harmless"),
    [
        (r"^a (\w+)$", True), (r"^a ([a-z0-9_.-]+)$", True), (r"^a (b|c)$", True),
        (r"^a (\d{1,3})$", True), (r"^a (web[0-9]+\.example)$", True), (r"^a ([\w.\-]+)$", True),
        # Something else than a shell's text, but perhaps nothing at all.
        (r"^a (\w*)$", False), (r"^a (b|)$", False), (r"^a (b)?$", False), (r"^a((b))?$", False),
        (r"^(a)|b$", False), (r"^a (\d{0,3})$", False), (r"^a (b?)$", False),
        # Text that a shell reads.
        (r"^a (.*)$", False), (r"^a (\S+)$", False), (r"^a ([^;]+)$", False), (r"^a ( b)$", False),
        (r"^a ([0-=]+)$", False), (r"^a ([9-A]+)$", False), (r"^a ([A-z]+)$", False),
        (r"^a ([ -~]+)$", False), (r"^a ([\W]+)$", False), (r"^a (;)$", False),
        (r"^a ([a-z*]+)$", False), (r"^a (~)$", False), (r"^a ([+-9]+)$", False),
        (r"^a (\x3b)$", False), (r"^a ([[:space:]]+)$", False),
    ],
)  # fmt: skip
def test_groups_without_anything_that_a_shell_reads(source: str, is_harmless: bool) -> None:
    assert (1 in translate(Regexp(source, "")).harmless) is is_harmless


def test_commands_and_what_they_refer_to() -> None:
    named = translate(Regexp("^(?<a>x)(?<b>y)$", ""))
    text = r"run \k<b> \1 \& \\ \d"
    assert command(text, named, wide=False) == r"run \2 \1 \0 \ \d"
    assert references(text, named) == {0, 1, 2}
    one = translate(Regexp("x(y)", ""))
    assert widened(one) == "^(.*?)(x(y))(.*)$"
    assert command(r"run \0 \1", one, wide=True) == r"\1run \2 \3\4"
    for wrong in (r"\2", r"\k<no>", r"\`", r"\'", r"\\1"):
        with pytest.raises(Untranslatable):
            command(wrong, one, wide=False)
    many = translate(Regexp("(a)" * 7, ""))
    assert command("x", many, wide=False) == "x"
    with pytest.raises(Untranslatable, match="group 10"):
        command("x", many, wide=True)
