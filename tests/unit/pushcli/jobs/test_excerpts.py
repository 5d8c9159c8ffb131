"""What is shown of the output of nodes that failed."""

import pytest

from pushcli.jobs.excerpts import MOST_LINES, excerpt


def numbered(count: int) -> bytes:
    return b"".join(b"%d\n" % number for number in range(count))


def test_a_little_is_shown_as_it_is() -> None:
    assert excerpt({"stdout": b"a\nb\n", "stderr": b"c"}) == {"stdout": b"a\nb", "stderr": b"c"}
    assert excerpt({"stdout": b"", "stderr": b""}) == {"stdout": b"", "stderr": b""}
    assert excerpt({}) == {}


@pytest.mark.parametrize(
    ("stdout", "stderr", "shown"),
    [(100, 0, (10, 0)), (0, 100, (0, 10)), (100, 100, (3, 7)), (2, 100, (2, 8)), (100, 1, (9, 1))],
)
def test_of_much_the_last_lines_are_shown_errors_first(
    stdout: int, stderr: int, shown: tuple[int, int]
) -> None:
    found = excerpt({"stdout": numbered(stdout), "stderr": numbered(stderr)})
    for channel, total, count in (("stdout", stdout, shown[0]), ("stderr", stderr, shown[1])):
        lines = found[channel].decode().split("\n") if found[channel] else []
        if total > count:
            assert lines.pop(0) == f"... {total - count} more lines"
        assert lines == [str(number) for number in range(total - count, total)]
    assert sum(shown) <= MOST_LINES


def test_a_line_without_end_does_not_flood_the_screen() -> None:
    found = excerpt({"stdout": "ä".encode() * 50_000, "stderr": b"\xff" * 50_000})
    assert found["stdout"].decode() == "ä" * 400 + "..."
    assert len(found["stderr"]) < 500


def test_a_line_that_just_fits_is_whole() -> None:
    lines = {"stdout": "ä".encode() * 400, "stderr": b"x" * 400}
    assert excerpt(lines) == lines
