"""Outputs beside that of the majority."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pushcli.jobs.difference import MOST_COMPARED, MOST_LINES, MOST_SHOWN, MOST_TEXT, difference

texts = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"\n"]), max_size=30).map(b"".join)
ended = st.builds(lambda text, end: text + end, texts, st.sampled_from([b"", b"last"]))


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50
)
@example(before=b"b\na\na\nb\nb\nb\nb\nb\n", after=b"b\na\nb\nb\nb\nb\n")
@given(before=ended, after=ended)
def test_patch_makes_the_one_of_the_other(before: bytes, after: bytes, tmp_path: Path) -> None:
    if shutil.which("patch") is None:
        pytest.skip("there is no patch(1)")
    if before == after:
        return
    [other] = difference([("a", before), ("b", before), ("c", after)]).others
    assert other.lines is not None
    place = tmp_path / "text"
    place.write_bytes(before)
    text = "".join(f"{line}\n" for line in ["--- text", "+++ text", *other.lines])
    subprocess.run(["patch", "-s", "-F0", str(place)], input=text.encode(), check=True)
    # An empty file it may remove.
    assert (place.read_bytes() if place.exists() else b"") == after


def test_of_equals_the_first_is_the_majority_and_rare_ones_come_last() -> None:
    written = [("n1", b"x"), ("n2", b"z"), ("n3", b"y"), ("n4", b"y"), ("n5", b"x")]
    found = difference(written)
    assert (found.majority.nodes, found.total) == (["n1", "n5"], 5)
    assert [one.wrote.nodes for one in found.others] == [["n3", "n4"], ["n2"]]


def test_huge_outputs_are_bounded_and_it_is_said() -> None:
    long = b"".join(b"%d\n" % n for n in range(50_000))
    few = long.replace(b"\n40000\n", b"\nx\n")
    [other] = difference([("a", long), ("b", long), ("c", few)]).others
    assert other.lines is not None
    assert other.lines[0] == "@@ -39998,7 +39998,7 @@"
    shifted = b"".join(b"-%d\n" % n for n in range(1, MOST_LINES + 2))
    [other] = difference([("a", b"0\n"), ("b", b"0\n"), ("c", b"0\n" + shifted)]).others
    assert (other.lines, other.why) == (
        None, f"too much to compare: {MOST_LINES + 1:,} lines from line 2 on",
    )  # fmt: skip
    half = b"".join(shifted.splitlines(keepends=True)[:1000])
    [other] = difference([("a", b"0\n"), ("b", b"0\n"), ("c", b"0\n" + half)]).others
    assert other.lines is not None
    assert (len(other.lines), other.left_out) == (MOST_SHOWN, 1002 - MOST_SHOWN)


def test_huge_lines_are_bounded_and_it_is_said() -> None:
    most, other = (b"same\n" + letter * (MOST_TEXT // 2) for letter in (b"a", b"b"))
    # With its mark each is a character too long, and the end of the text is named twice.
    [one] = difference([("a", most), ("b", most), ("c", other)]).others
    assert one.lines is None
    assert one.why.startswith("too much to show: 262,")
    assert one.why.endswith(" characters from line 2 on")
    [one] = difference([("a", b"x"), ("b", b"x"), ("c", b"y" * (MOST_TEXT - 200))]).others
    assert one.lines is not None


def test_only_so_many_outputs_are_compared() -> None:
    each = [(f"n{n}", b"%d" % n) for n in range(MOST_COMPARED + 5)]
    others = difference([("m", b"most"), ("m2", b"most"), *each]).others
    assert [one.why for one in others] == [""] * MOST_COMPARED + ["not compared"] * 5


@pytest.mark.parametrize("binary", [b"\xff", b"a\0b"])
def test_what_is_not_text_is_not_compared(binary: bytes) -> None:
    for written in ([("a", b"x"), ("b", binary)], [("a", binary), ("b", b"x")]):
        [other] = difference(written).others
        assert (other.lines, other.why) == (None, "binary")
