"""Rows and columns: aligned for people on a terminal, tab-separated for programs elsewhere."""

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

from pushcli.escape import escape_line
from pushcli.terminal.colours import colour
from pushcli.terminal.context import App, is_terminal
from pushcli.terminal.layout import GAP, fitted, width, widths, wrapped

_STATES = {"state", "status", "availability"}
"""Titles of the columns that hold states."""
_NARROWEST, _USUAL = 20, 80


def write_table(
    app: App,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    styles: Sequence[str] = (),
    cut: Mapping[str, int] | None = None,
    extra: Collection[str] = (),
    tints: Mapping[str, Sequence[str]] = MappingProxyType({}),
    right: Collection[str] = (),
) -> None:
    """To standard output; without a header where a program reads it, as knife does.

    Programs, and people with `-o wide`, get all columns whole.

    Args:
        styles: colours of whole rows, on a terminal.
        cut: titles of columns that may be cut for a row to fit the terminal, and how much is
            left of each at least; the first gives way first. Identifiers are in none of them.
        extra: titles of columns that only `-o wide` shows on a terminal.
        tints: colours of the cells of columns, by their titles.
        right: titles of columns of numbers.
    """
    if not rows:
        return
    if not is_terminal(app.stdout):
        app.write("".join("\t".join(map(escape_line, row)) + "\n" for row in rows))
        return
    if app.is_wide:
        cut, extra = {}, ()
    places = [place for place, title in enumerate(header) if title not in extra]
    titles = [header[place] for place in places]
    cells = [[escape_line(row[place]) for place in places] for row in rows]
    for place, title in enumerate(titles):
        if title in right:
            longest = max(width(title), *(width(row[place]) for row in cells))
            titles[place] = " " * (longest - width(title)) + title
            for row in cells:
                row[place] = " " * (longest - width(row[place])) + row[place]
    colours = _colours(titles, cells, styles, tints)
    _write_for_people(app, titles, cells, colours, cut or {})


def _colours(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    styles: Sequence[str],
    tints: Mapping[str, Sequence[str]],
) -> list[list[str]]:
    """Of each cell: its row's, else its column's, else that of the state that it is."""

    def of(number: int, title: str, cell: str) -> str:
        if styles and styles[number]:
            return styles[number]
        return tints[title][number] if title in tints else colour(cell) * (title in _STATES)

    return [
        [of(number, title, cell) for title, cell in zip(titles, row, strict=True)]
        for number, row in enumerate(rows)
    ]


def _write_for_people(
    app: App,
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    colours: Sequence[Sequence[str]],
    cut: Mapping[str, int],
) -> None:
    natural = [max(map(width, column)) for column in zip(titles, *rows, strict=True)]
    places = {titles.index(title): least for title, least in cut.items() if title in titles}
    given = widths(natural, places, room(app))
    mark = "…" if (app.stdout.encoding or "").lower().startswith("utf") else "~"
    lines = [app.embolden(_line(map(str.upper, titles), given, mark))]
    for row, painting in zip(rows, colours, strict=True):
        # The last cell is not filled up: a line that is full wraps on some terminals.
        texts = [fitted(cell, room, mark) for cell, room in zip(row, given, strict=True)]
        texts[-1] = texts[-1].rstrip()
        painted = [app.paint(text, one) for text, one in zip(texts, painting, strict=True)]
        lines.append((" " * GAP).join(painted))
    app.write("\n".join(lines) + "\n")


def _line(cells: "map[str]", given: Sequence[int], mark: str) -> str:
    texts = (fitted(cell, room, mark) for cell, room in zip(cells, given, strict=True))
    return (" " * GAP).join(texts).rstrip()


def room(app: App) -> int:
    """How wide the terminal is; `COLUMNS` says so for those that cannot tell."""
    asked = app.env.get("COLUMNS", "")
    if asked.isascii() and asked.isdigit() and int(asked[:6]) > 0:
        return max(_NARROWEST, int(asked[:6]))
    with suppress(OSError):
        if columns := os.get_terminal_size(app.stdout.fileno()).columns:
            return max(_NARROWEST, columns)
    return _USUAL


def hung(app: App, line: str, indent: int) -> list[str]:
    """A line of text as a terminal shows it whole: broken at blanks, what follows indented."""
    if not is_terminal(app.stdout):
        return [" " * indent + line]
    first, *rest = wrapped(line, room(app) - 2 * indent, " ")
    return [" " * indent + first, *(" " * 2 * indent + more for more in rest)]


def print_folded(app: App, line: str, indent: int = 0) -> None:
    """A line, which may hold anything: on a terminal broken at blanks, what follows indented."""
    shown = escape_line(line)
    parts = wrapped(shown, room(app) - indent - GAP, " ") if is_terminal(app.stdout) else [shown]
    for number, part in enumerate(parts):
        app.print(" " * (indent + GAP * bool(number)) + part)
