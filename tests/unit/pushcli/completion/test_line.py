import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.completion.line import for_bash, is_plain, split

BREAKS = " \t\n\"'@><=;|&(:"


def words(typed: str) -> list[str]:
    return [word.text for word in split(typed)]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("", [""]),
        ("pushcli ", ["pushcli", ""]),
        ("a  b", ["a", "b"]),
        (r"a\ b c", ["a b", "c"]),
        ("'a b' \"c d", ["a b", "c d"]),
        (r'"a\"b\c"', [r'a"b\c']),
        (r"'a\b", [r"a\b"]),
        ("x'y'z", ["xyz"]),
    ],
)
def test_a_line_is_split_as_a_shell_splits_it(typed: str, expected: list[str]) -> None:
    assert words(typed) == expected


@pytest.mark.parametrize(
    ("typed", "value", "reply"),
    [
        ("we", "web01", "web01"),
        ("a:b", "a:bc", "bc"),
        ("@la", "@last", "@last"),
        ("--profile=st", "--profile=staging", "staging"),
        ("web01,we", "web01,web02", "web01,web02"),
        ("web01!w", "web01!web02", r"web01\!web02"),
        ("'a b", "a b;c'd", r"a b;c'\''d"),
        ('"a', "a$b", r"a\$b"),
        ('"a', "a!b", None),
        ("x'y", "xyz", "yz"),
        ("x", "other", "other"),
        ("a:b", "c", None),
    ],
)
def test_bash_is_given_what_it_replaces(typed: str, value: str, reply: str | None) -> None:
    assert for_bash(value, split(typed)[-1], BREAKS) == reply


PRINTABLE = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "))


@given(PRINTABLE)
def test_what_is_inserted_is_read_back_as_one_word(value: str) -> None:
    for quote in ("", "'", '"'):
        reply = for_bash(value, split(quote)[-1], BREAKS)
        if reply is None:
            assert "!" in value
        elif value or quote:
            assert words(f"{quote}{reply}{quote}") == [value]


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash here")
def test_bash_reads_every_character_as_itself() -> None:
    value = "".join(map(chr, range(32, 127))) + "ä€"
    for quote in ("", "'"):
        reply = for_bash(value, split(quote)[-1], BREAKS)
        script = f"printf %s {quote}{reply}{quote}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, check=True)
        assert done.stdout.decode() == value


def test_plain_is_what_no_shell_looks_at() -> None:
    assert is_plain("web-01.example:x,y@1")
    assert not any(map(is_plain, "$`'\"\\;&|<>()[]{}*?!~# \t\n^"))
