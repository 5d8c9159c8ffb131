import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcli.terminal.layout import GAP, fitted, width, widths


@pytest.mark.parametrize(
    ("natural", "least", "room", "given_widths"),
    [
        ([4, 32, 20], {2: 8}, 80, [4, 32, 20]),
        ([4, 32, 20], {2: 8}, 50, [4, 32, 10]),
        ([4, 32, 20], {2: 8}, 20, [4, 32, 8]),
        ([10, 10, 30], {2: 8, 0: 4}, 30, [8, 10, 8]),
        ([10, 3], {1: 8}, 5, [10, 3]),
    ],
)
def test_the_first_that_may_be_cut_gives_way_first(
    natural: list[int], least: dict[int, int], room: int, given_widths: list[int]
) -> None:
    assert widths(natural, least, room) == given_widths


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(20, 100))
def test_what_may_be_cut_makes_a_row_fit(natural: list[int], room: int) -> None:
    given_widths = widths(natural, dict.fromkeys(range(len(natural)), 1), room)
    assert sum(given_widths) + GAP * (len(natural) - 1) <= room
    assert all(0 < given <= wanted for given, wanted in zip(given_widths, natural, strict=True))


@given(
    st.text(st.characters(min_codepoint=0x20, exclude_categories=["C", "M"])), st.integers(1, 30)
)
def test_a_cell_has_exactly_its_width(text: str, room: int) -> None:
    cell = fitted(text, room, "~")
    assert width(cell) == room
    assert cell.endswith("~") or cell.rstrip(" ") == text.rstrip(" ")
