"""Rows and columns: aligned for people on a terminal, tab-separated for programs elsewhere."""

from collections.abc import Sequence

from pushcli.escape import escape_line
from pushcli.terminal.colours import colour
from pushcli.terminal.context import App, is_terminal

_STATES = {"state", "status", "availability"}
"""Titles of the columns that hold states."""


def write_table(
    app: App,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    styles: Sequence[str] = (),
) -> None:
    """To standard output; without a header where a program reads it, as knife does.

    Args:
        styles: of whole rows, on a terminal.
    """
    if not rows:
        return
    if is_terminal(app.stdout):
        _write_for_people(app, header, rows, styles or [""] * len(rows))
    else:
        app.write("".join("\t".join(map(escape_line, row)) + "\n" for row in rows))


def _write_for_people(
    app: App, header: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str]
) -> None:
    # Rich takes 80 ms to load: only here.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for title in header:
        table.add_column(title.upper(), overflow="fold")
    for row, style in zip(rows, styles, strict=True):
        cells = zip(header, row, strict=True)
        table.add_row(
            *(Text(escape_line(cell), style=_style(title, cell)) for title, cell in cells),
            style=style,
        )
    console = Console(
        file=app.stdout, highlight=False, markup=False, emoji=False,
        no_color=not app.has_colour,
    )  # fmt: skip
    console.print(table)


def _style(title: str, cell: str) -> str:
    return colour(cell) if title in _STATES else ""
