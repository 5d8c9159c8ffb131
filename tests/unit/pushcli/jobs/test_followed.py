"""Lines out of pieces of output, whatever comes again or is cut anywhere."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.client.feed import FeedEvent
from pushcli.errors import PushcliError
from pushcli.jobs.followed import MAX_LINE, Line, Lines, Piece, name_and_colour


def piece(offset: int, data: bytes, node: str = "a", channel: str = "stdout") -> Piece:
    return Piece(node, channel, offset, text=data.decode("latin-1"))


def test_a_line_shows_once_it_is_whole_and_the_last_one_at_the_end() -> None:
    lines = Lines()
    assert lines.cut(piece(0, b"one\ntw")) == [Line("a", "stdout", b"one")]
    assert lines.cut(piece(6, b"o\nthr")) == [Line("a", "stdout", b"two")]
    assert lines.rest() == [Line("a", "stdout", b"thr")]
    assert lines.rest() == []


def test_parts_do_not_mix() -> None:
    lines = Lines()
    lines.cut(piece(0, b"x"))
    lines.cut(piece(0, b"y", channel="stderr"))
    lines.cut(piece(0, b"z", node="b"))
    assert lines.cut(piece(1, b"\n")) == [Line("a", "stdout", b"x")]
    assert lines.cut(piece(1, b"\n", channel="stderr")) == [Line("a", "stderr", b"y")]


def test_what_came_before_is_left_out() -> None:
    lines = Lines()
    lines.cut(piece(0, b"one\ntwo"))
    assert lines.cut(piece(0, b"one\n")) == []
    assert lines.cut(piece(0, b"one\ntwo\nthree\n")) == [
        Line("a", "stdout", b"two"),
        Line("a", "stdout", b"three"),
    ]


@given(data=st.binary(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=8))
def test_however_it_is_cut_and_repeated_the_lines_are_the_same(
    data: bytes, cuts: list[int]
) -> None:
    lines, got, at = Lines(), list[Line](), 0
    for end in [*cuts, len(data)]:
        begin = min(at, end)
        encoded = msgspec.json.encode(
            {"node": "a", "channel": "stdout", "offset": begin, "base64": data[begin:end]}
        )
        got += lines.add(FeedEvent("output", "1", encoded))
        at = max(at, min(end, len(data)))
    got += lines.rest()
    whole = data.split(b"\n")
    expected = whole[:-1] + ([whole[-1]] if whole[-1] else [])
    assert [line.data for line in got] == expected


def test_a_line_without_end_is_shown_in_parts() -> None:
    lines = Lines()
    done = lines.cut(piece(0, b"x" * (2 * MAX_LINE + 5)))
    assert [len(line.data) for line in done] == [MAX_LINE, MAX_LINE]
    assert [len(line.data) for line in lines.rest()] == [5]
    done = lines.cut(piece(2 * MAX_LINE + 5, b"y" * (MAX_LINE + 1) + b"\n"))
    assert [len(line.data) for line in done] == [MAX_LINE, 1]


def test_control_characters_are_shown_and_never_sent_to_the_terminal() -> None:
    assert Line("a", "stdout", b"\x1b[2Jhi\r").shown() == "| \\x1b[2Jhi\\r"
    assert Line("a", "stderr", b"\xff").shown() == "! \\xff"


def test_programs_get_text_or_base64() -> None:
    assert Line("a", "stdout", b"hi").as_data("1")["line"] == "hi"
    assert Line("a", "stdout", b"\xff").as_data("1")["line_base64"] == "/w=="


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"[]", b"{}", b'{"node":"a","channel":"stdout","offset":0,"base64":"%"}'],
)
def test_what_is_no_piece_is_an_error(data: bytes) -> None:
    with pytest.raises(PushcliError):
        Lines().add(FeedEvent("output", "1", data))


def test_other_events_are_left_out() -> None:
    assert Lines().add(FeedEvent("end", "1", b"{}")) == []


def test_a_node_keeps_its_colour() -> None:
    assert name_and_colour("web001") == name_and_colour("web001")
    assert len({name_and_colour(f"web{n}")[1] for n in range(40)}) > 5
