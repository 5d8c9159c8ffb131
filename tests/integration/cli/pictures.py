"""Screens as they are kept: what differs from run to run masked, and as pictures (SVG)."""

import html
import io
import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import MONOKAI
from rich.text import Text

SHOWN_IDS = (
    "8f593bb9ad3e4c1f8a60d2b7c9e4f015", "77aa01c2c0e84b55a2a1f0de63b1c9d4",
    "5c00fe11d7b3441e9f6a2b80c4e1a7f3", "3b9d2e70a85f4c6d8e1f7a92b6c0d5e8",
    "1e6f84aa5d2b47c39a0e8d71f3b5c264", "0a7c93d1e4f648b2b5d60c18f29e7a3b",
)  # fmt: skip
"""What stands for the jobs of a story, in the order of their start."""

_MASKS = (
    (re.compile(r"\d{4}-\d\d-\d\d"), "YYYY-MM-DD"),
    (re.compile(r"(?:\b|(?<=T))\d\d:\d\d(:\d\d)?(Z| ?[+-]\d\d:\d\d)?"), "HH:MM"),
    (re.compile(r" {3}\d+/s\b"), ""),
    (re.compile(r"\b\d+(\.\d+)?(( - |-)\d+(\.\d+)?)? (s|min|h)\b( \d+ (s|min)\b)?"), "N s"),
    (re.compile(r"(?<=slowest  ).*"), "..."),
    # Cut to what the ages leave.
    (re.compile(r"\boper[a-z]*…"), "oper…"),
)

_COLOURS = {"default": None, "brown": "yellow", "brightblack": "bright_black"}
"""pyte's names as Rich's."""
_CHARACTER, _LINE = 12.2, 24.4
"""Rich's measures of them."""
_MARGIN = 16
_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" viewBox="0 0 {width:.0f} {height:.0f}">
<style>
text {{ font: 20px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }}
{styles}
</style>
<rect width="100%" height="100%" rx="10" fill="#292929"/>
<g transform="translate({margin}, {margin})">
{matrix}
</g>
</svg>
"""


def named(text: str, ids: Sequence[str]) -> str:
    """With the ids that stand for those of this run, also where they are shortened."""
    for given, shown in zip(ids, SHOWN_IDS, strict=False):
        text = text.replace(given, shown).replace(given[:8], shown[:8])
    return text


def masked(lines: Sequence[str]) -> list[str]:
    """Without what differs from run to run, such as the width of a column of ages."""
    return [_masked(line) for line in lines]


def _masked(line: str) -> str:
    for pattern, mask in _MASKS:
        line = pattern.sub(mask, line)
    return re.sub(r"(?<=\S) {2,}", "  ", line).rstrip()


def shown(screen: pyte.Screen) -> list[str]:
    """The lines of a screen down to the last that has something."""
    lines = [line.rstrip() for line in screen.display]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def picture(screen: pyte.Screen, command: str, ids: Sequence[str]) -> str:
    """The screen as an SVG, below the command that it answers."""
    lines = [Text.assemble(("$ ", "dim"), (command, "bold"))]
    for row in range(len(shown(screen))):
        cells = [screen.buffer[row][column] for column in range(screen.columns)]
        text = Text()
        for style, run in groupby(cells, key=_style):
            text.append(named("".join(cell.data for cell in run), ids), style)
        text.rstrip()
        lines.append(text)
    console = Console(
        record=True, width=max(line.cell_len for line in lines) + 1, color_system="truecolor",
        file=io.StringIO(), force_terminal=True, legacy_windows=False,
    )  # fmt: skip
    for line in lines:
        console.print(line, no_wrap=True, crop=False)
    parts = console.export_svg(
        theme=MONOKAI, unique_id="p", code_format="{styles}\0{matrix}\0{terminal_width}"
    )
    styles, matrix, width = parts.split("\0")
    # What Rich cuts lines with stands in the frame that it would draw.
    matrix = re.sub(r' clip-path="[^"]*"', "", matrix)
    matrix = re.sub(r"<text [^>]*>\n</text>", "", matrix)
    return _SVG.format(
        width=float(width) + 2 * _MARGIN, height=_LINE * len(lines) + 2 * _MARGIN, margin=_MARGIN,
        styles=styles.strip(), matrix="\n".join(filter(None, matrix.splitlines())),
    )  # fmt: skip


def words_of(file: Path) -> list[str]:
    """The lines of a picture, as they were printed, without the command."""
    found: dict[float, str] = {}
    place = re.compile(r'<text [^>]*?x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>')
    for x, y, text in place.findall(file.read_text()):
        before = found.get(float(y), "").ljust(round(float(x) / _CHARACTER))
        found[float(y)] = before + html.unescape(text).replace("\xa0", " ")
    return [found[y].rstrip() for y in sorted(found)][1:]


def _style(cell: pyte.screens.Char) -> Style:
    return Style(
        color=_COLOURS.get(cell.fg, cell.fg), bold=cell.bold or None, reverse=cell.reverse or None
    )
