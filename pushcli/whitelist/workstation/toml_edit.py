"""Changing one entry of a whitelist in TOML text; every other byte stays.

Entries stand in the table `[whitelist]` of an `agent.toml`, and at the top of a file in
`whitelist.d`. Only an entry's own statements change: comment lines and empty lines always
stay, even those among its statements. After each edit the result is read again and must say
what was meant.
"""

from collections.abc import Iterable
from typing import Any

import tomli

from pushcli.errors import ConfigError
from pushcli.whitelist import toml_text
from pushcli.whitelist.toml_statements import Kind, Path, Statement, statements

TABLE = "whitelist"
IN_TABLE: Path = (TABLE,)
AT_TOP: Path = ()


class CannotEdit(ConfigError):
    """The file is no TOML, or its whitelist is written so that it cannot be edited in place."""


def entries(text: str, root: Path = IN_TABLE) -> dict[str, Any]:
    """The whitelist's names and values, unchecked.

    Raises:
        CannotEdit: no TOML, or the whitelist is no table.
    """
    content: Any = load(text)
    for key in root:
        content = content.get(key, {})
        if not isinstance(content, dict):
            raise CannotEdit(f"{key} is not a table", f'write it as [{key}] and name = "command"')
    table: dict[str, Any] = content
    return table


def with_entry(text: str, name: str, value: object, root: Path = IN_TABLE) -> str:
    """The text with this entry: changed where it stands, else put after the last one.

    Raises:
        CannotEdit: see there.
    """
    table = entries(text, root)
    if name in table and _canonical(table[name]) == _canonical(value):
        return text
    _refuse_inline(text, root)
    edit = _change if name in table else _add
    return _checked(edit(text, root, name, value), text, root, {**table, name: value})


def without_entry(text: str, name: str, root: Path = IN_TABLE) -> str:
    """The text without this entry; unchanged if it has none.

    Raises:
        CannotEdit: see there.
    """
    table = entries(text, root)
    if name not in table:
        return text
    _refuse_inline(text, root)
    removed = _cut(text, _of_entry(text, (*root, name)))
    return _checked(removed, text, root, {k: v for k, v in table.items() if k != name})


def load(text: str) -> dict[str, Any]:
    """The document.

    Raises:
        CannotEdit: it is no TOML.
    """
    try:
        return tomli.loads(text)
    except (ValueError, RecursionError) as error:
        raise CannotEdit(f"invalid TOML: {error}", "fix it there") from error


def _add(text: str, root: Path, name: str, value: object) -> str:
    found = list(statements(text))
    line = toml_text.pair(name, value)
    own = [s for s in found if s.kind is not Kind.ARRAY and s.table == root]
    if own:
        # Sub-tables that follow are tables of their own: it goes before them.
        return _insert(text, own[-1], line)
    end = _line_break(text)
    if not root:
        place = _before(text, found[0]) if found else len(text)
        gap = end if text[:place] and not text[:place].endswith("\n") else ""
        return text[:place] + gap + line + end + text[place:]
    if dotted := [s for s in found if not s.table and s.path[:1] == root]:
        # A table made by dotted keys takes no header: TOML forbids to define it twice.
        return _insert(text, dotted[-1], f"{TABLE}.{line}")
    gap = ("" if text.endswith("\n") else end) + end if text else ""
    return f"{text}{gap}[{TABLE}]{end}{line}{end}"


def _before(text: str, header: Statement) -> int:
    """Above a header and the comment that belongs to it."""
    place = header.start
    while place:
        line = text.rfind("\n", 0, place - 1) + 1
        if not text[line:place].strip():
            break
        place = line
    return place


def _change(text: str, root: Path, name: str, value: object) -> str:
    path = (*root, name)
    whole = next((s for s in _of_entry(text, path) if (s.kind, s.path) == (Kind.PAIR, path)), None)
    if whole is not None:
        return _replace(text, whole, value)
    fields = value if isinstance(value, dict) else {"command_line": value}
    previous = entries(text, root)[name]
    if not isinstance(previous, dict):
        return _add(_cut(text, _of_entry(text, path)), root, name, fields)
    return _change_table(text, path, previous, fields)


def _change_table(
    text: str, path: Path, previous: dict[str, object], fields: dict[str, object]
) -> str:
    """An entry that is a table or dotted keys: key by key, so that its comments stay."""
    for key, content in fields.items():
        if key in previous and _canonical(previous[key]) == _canonical(content):
            continue
        own = _of_entry(text, path)
        at = next((s for s in own if s.path == (*path, key)), None)
        if at is not None and at.kind is Kind.PAIR:
            text = _replace(text, at, content)
        elif at is None:
            # The last of the direct ones: a table within it would take the line for its own.
            last = [s for s in own if len(s.table) <= len(path)][-1]
            dotted = "".join(f"{toml_text.key(part)}." for part in path[len(last.table) :])
            text = _insert(text, last, dotted + toml_text.pair(key, content))
    depth = len(path)
    gone = (s for s in _of_entry(text, path) if len(s.path) > depth and s.path[depth] not in fields)
    return _cut(text, gone)


def _of_entry(text: str, path: Path) -> list[Statement]:
    return [s for s in statements(text) if s.path[: len(path)] == path]


def _insert(text: str, after: Statement, line: str) -> str:
    end = _line_break(text)
    head, tail = text[: after.end], text[after.end :]
    # The last line may lack its break; the file then goes on lacking it.
    return head + line + end + tail if head.endswith("\n") else head + end + line


def _replace(text: str, statement: Statement, value: object) -> str:
    start, end = statement.value
    return text[:start] + toml_text.value(value) + text[end:]


def _cut(text: str, gone: Iterable[Statement]) -> str:
    for statement in reversed(list(gone)):
        start, end = statement.start, statement.end
        if not text.endswith("\n", start, end):
            start = len(text[:start].removesuffix("\n").removesuffix("\r"))
        text = text[:start] + text[end:]
    return text


def _refuse_inline(text: str, root: Path) -> None:
    if root and any(s.kind is Kind.PAIR and s.path == root for s in statements(text)):
        raise CannotEdit(
            "its whitelist is written inline, as whitelist = {...}",
            "write it as a table, [whitelist], with a line for each entry",
        )


def _line_break(text: str) -> str:
    first, _, _ = text.partition("\n")
    return "\r\n" if first.endswith("\r") else "\n"


def _checked(edited: str, before: str, root: Path, wanted: dict[str, Any]) -> str:
    """What was edited, if it says what was meant, and nothing else has another value."""
    try:
        found = entries(edited, root)
        same = _canonical(_whole(found)) == _canonical(_whole(wanted))
        others = _canonical(_others(edited, root)) == _canonical(_others(before, root))
    except CannotEdit as error:
        raise _unable() from error
    if not same or not others:
        raise _unable()
    return edited


def _others(text: str, root: Path) -> dict[str, Any]:
    return {key: value for key, value in load(text).items() if root and key != root[0]}


def _whole(table: dict[str, Any]) -> dict[str, Any]:
    """With each plain command as the table that means the same."""
    return {
        name: {"command_line": value} if isinstance(value, str | list) else value
        for name, value in table.items()
    }


def _unable() -> CannotEdit:
    return CannotEdit("its whitelist cannot be changed in place", "change it by hand")


def _canonical(value: object) -> str:
    """For comparison: not-a-number equals itself, true is not 1, the order does not count."""
    match value:
        case dict():
            return repr(sorted((k, _canonical(v)) for k, v in value.items()))
        case list() | tuple():
            return repr([_canonical(v) for v in value])
        case _:
            return repr(value)
