"""How wide the columns of a table may be, and text cut to that. Nothing here prints."""

import re
from collections.abc import Mapping, Sequence

GAP = 2
"""Blanks between two columns."""


def widths(natural: Sequence[int], least: Mapping[int, int], room: int) -> list[int]:
    """What each column gets: as much as it needs, or, of those that may be cut, less.

    Args:
        natural: columns of the screen that each column's widest cell takes.
        least: by the place of the columns that may be cut, how much is always left of them;
            the first one gives way before the next is touched.
        room: how much the screen has. What must not be cut may be wider.
    """
    given = list(natural)
    excess = sum(given) + GAP * (len(given) - 1) - room
    for place, minimum in least.items():
        taken = max(0, min(excess, given[place] - minimum))
        given[place] -= taken
        excess -= taken
    return given


def wrapped(text: str, room: int, after: str) -> list[str]:
    """The text in lines of so many columns, broken after a character, `,` or a blank.

    What has none of them for longer stays whole.
    """
    lines, line = [], ""
    for part in re.findall(f"[^{after}]*{after}?", text):
        if line and width(line) + width(part.rstrip()) > room:
            lines.append(line.rstrip())
            line = ""
        line += part
    return [*lines, line] if line or not lines else lines


def width(text: str) -> int:
    """Columns of the screen that it takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - 40 ms that only wide characters cost

    return cell_len(text)


def fitted(text: str, room: int, mark: str) -> str:
    """The text in exactly so many columns: filled up, or cut with a mark at its end."""
    taken = width(text)
    if taken <= room:
        return text + " " * (room - taken)
    if text.isascii():
        return text[: max(0, room - len(mark))] + mark
    from rich.cells import set_cell_size  # noqa: PLC0415

    return set_cell_size(text, max(0, room - width(mark))) + mark
