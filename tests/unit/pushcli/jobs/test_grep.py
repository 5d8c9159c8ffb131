import pytest

from pushcli.errors import UsageError
from pushcli.jobs.grep import Grep


def test_lines_match_by_themselves_and_keep_their_ends() -> None:
    grep = Grep("^b|c$")
    assert grep.lines(b"abc\nb\xff\n\nab\nbb") == b"abc\nb\xff\nbb"
    assert grep.lines(b"") == b""
    assert grep.only({"stdout": b"b\n", "stderr": b"a\n"}) == {"stdout": b"b\n"}


def test_an_end_is_the_end_of_a_line_though_another_comes() -> None:
    assert Grep("a$").lines(b"a\nab\n") == b"a\n"
    assert Grep("a\nb").lines(b"a\nb\n") == b""


def test_letters_of_every_script_match_without_their_case() -> None:
    assert Grep("größe", ignore_case=True).lines("GRÖßE 1\nx\n".encode()) == "GRÖßE 1\n".encode()
    assert Grep("größe").lines("GRÖßE 1\n".encode()) == b""


def test_no_expression_takes_long() -> None:
    # Others would still be trying when the universe ends.
    assert Grep("^(a+)+$").lines(b"a" * 5_000 + b"!\n") == b""


def test_lines_that_are_alike_are_looked_at_once() -> None:
    class Counted(Grep):
        looked = 0

        def matches(self, line: bytes) -> bool:
            self.looked += 1
            return super().matches(line)

    grep = Counted("^$|b")
    assert grep.lines(b"\n\na\nb\n\na\nb") == b"\n\nb\n\nb"
    # And once the last, which has no end.
    assert grep.looked == 4


@pytest.mark.parametrize("expression", ["(", "(?<=a)b", r"(a)\1"])
def test_what_is_not_an_expression_is_told(expression: str) -> None:
    with pytest.raises(UsageError, match="not a regular expression"):
        Grep(expression)
