"""Where each statement of a TOML document stands.

A TOML library gives values, or writes a document anew with line breaks of its own: neither
lets a line be taken out or put in with every other byte as it was. This finds the places;
what the document means is left to `tomli`, which must have read it before.
"""

import re
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

import tomli

Path = tuple[str, ...]

_STRING = (
    r'"""(?:\\.|(?!""").)*"{3,5}'
    r"|'''(?:(?!''').)*'{3,5}"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'"
)
_KEY = re.compile(rf"(?:{_STRING}|[^\"'=])*", re.DOTALL)
_HEADER = re.compile(rf"\[\[?((?:{_STRING}|[^\"'\]])*)\]", re.DOTALL)
_VALUE = re.compile(rf"{_STRING}|#[^\n]*|[\[{{]|[\]}}]|\n|[^\"'#\[\]{{}}\n]+", re.DOTALL)
_LINE = re.compile(r"[^\n]*(?:\n|\Z)")
_BLANKS = re.compile(r"[ \t]*")


class Kind(Enum):
    """What a statement is."""

    TABLE = "[a]"
    ARRAY = "[[a]]"
    PAIR = "a = 1"


class Statement(NamedTuple):
    """One header, or one key with its value; comment lines and empty lines are none.

    Args:
        start, end: of its lines, with indentation, comment at the end, and line break.
        table: the header that it stands under; a header's own path.
        path: what it defines: of a pair the table's path and the key's.
        value: where a pair's value starts and ends.
    """

    kind: Kind
    start: int
    end: int
    table: Path
    path: Path
    value: tuple[int, int] = (0, 0)


def statements(text: str) -> Iterator[Statement]:
    """The statements of a document that is valid TOML, in their order."""
    table: Path = ()
    start = 0
    while start < len(text):
        place = _match(_BLANKS, text, start).end()
        match text[place : place + 1]:
            case "" | "#" | "\r" | "\n":
                start = _line_end(text, place)
                continue
            case "[":
                found = _header(text, start, place)
                table = found.table
            case _:
                found = _pair(text, start, place, table)
        yield found
        start = found.end


def _header(text: str, start: int, place: int) -> Statement:
    header = _match(_HEADER, text, place)
    kind = Kind.ARRAY if text.startswith("[[", place) else Kind.TABLE
    path = _path(header[1])
    return Statement(kind, start, _line_end(text, header.end()), path, path)


def _pair(text: str, start: int, place: int, table: Path) -> Statement:
    key = _match(_KEY, text, place)
    first = _match(_BLANKS, text, key.end() + 1).end()
    last = _value_end(text, first)
    value = (first, first + len(text[first:last].rstrip(" \t\r")))
    path = table + _path(key[0])
    return Statement(Kind.PAIR, start, _line_end(text, last), table, path, value)


def _value_end(text: str, place: int) -> int:
    depth = 0
    while place < len(text):
        token = _match(_VALUE, text, place)
        if depth == 0 and token[0][0] in "#\n":
            break
        depth += (token[0] in "[{") - (token[0] in "]}")
        place = token.end()
    return place


def _line_end(text: str, place: int) -> int:
    return _match(_LINE, text, place).end()


def _path(keys: str) -> Path:
    """The names in `a."b.c".d`."""
    value: object = tomli.loads(f"{keys.strip()} = 0")
    path = []
    while isinstance(value, dict):
        ((name, value),) = value.items()
        path.append(name)
    return tuple(path)


def _match(expression: re.Pattern[str], text: str, place: int) -> re.Match[str]:
    found = expression.match(text, place)
    if found is None:
        raise ValueError(f"invalid TOML at character {place}")
    return found
