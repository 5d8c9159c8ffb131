"""Ruby files of settings, read without being run: assignments of literals, in their order.

Whatever else stands there becomes a `Remainder` with its line, up to the `end` of its block:
nothing is guessed, and what a condition guards is not read.
"""

import re
from collections.abc import Iterator, Mapping

from pushcli.migration.ruby_code import IncompleteRuby, end_of_statement, names_in
from pushcli.migration.ruby_expressions import Expressions, NotLiteral
from pushcli.migration.ruby_values import (
    Assignment,
    Remainder,
    Statement,
    Unread,
    Value,
    plain,
)

MAX_SIZE = 1024 * 1024
"""Characters of a file."""
MAX_STATEMENTS = 10_000
_SHOWN = 60
"""Characters of what was not read."""
_GAP = re.compile(r"(?:[\s;]|\\\r?\n|#[^\n]*+)*+")
_EQUALS = re.compile(r"[ \t]*=(?![=~>])")
_COMMENT = re.compile(r"^=begin\b.*?(?:^=end\b[^\n]*|\Z)", re.DOTALL | re.MULTILINE)
_END = re.compile(r"^__END__\r?$", re.MULTILINE)
_NAME = re.compile(r"(?:[A-Z]\w*::)*[A-Za-z_]\w*(?:\.[a-z_]\w*)?")
_KEYWORD = re.compile(
    r"(?:if|unless|case|while|until|for|begin|def|class|module|BEGIN|END|end|else|elsif|when|return"
    r"|next|break|raise|require|require_relative|load|puts|print|p|and|or|not|yield|self|super"
    r"|alias|undef|eval|instance_eval|nil|true|false)\b"
)


class NotRuby(ValueError):
    """A file that cannot be read; one line, which names the file's line where there is one."""


def parse(
    text: str, *, file: str, env: Mapping[str, str], names: Mapping[str, str] | None = None
) -> list[Statement]:
    """The statements of a file.

    Args:
        file: the whole path, which `__FILE__` stands for.
        env: what `ENV` holds.
        names: what else is known by name, such as `current_dir`.

    Raises:
        NotRuby: too large, too deep, or without an end.
    """
    if len(text) > MAX_SIZE:
        raise NotRuby(f"larger than {MAX_SIZE:,} characters")
    if "\0" in text:
        raise NotRuby("not a text file: it holds NUL characters")
    text = _COMMENT.sub(lambda found: "\n" * found[0].count("\n"), text)
    if found := _END.search(text):
        text = text[: found.start()]
    found_statements: list[Statement] = []
    try:
        for statement in _statements(text, Expressions(text, file, env, dict(names or {}))):
            if len(found_statements) == MAX_STATEMENTS:
                raise NotRuby(f"more than {MAX_STATEMENTS:,} statements")
            found_statements.append(statement)
    except IncompleteRuby as error:
        line = text.count("\n", 0, error.place) + 1
        raise NotRuby(f"line {line}: {error.reason}") from error
    return found_statements


def _statements(text: str, expressions: Expressions) -> Iterator[Statement]:
    place, line = 0, 1
    while (start := _next(text, place)) < len(text):
        line += text.count("\n", place, start)
        try:
            statement, place = _assignment(text, start, line, expressions)
        except NotLiteral:
            place = end_of_statement(text, start)
            skipped = text[start:place]
            changed = names_in(skipped)
            for name in changed:
                expressions.names.pop(name, None)
            yield Remainder(line, _shown(skipped), changed)
        else:
            if not statement.keys and isinstance(statement.value, str):
                expressions.names[statement.name] = statement.value
            else:
                expressions.names.pop(statement.name, None)
            yield statement
        line += text.count("\n", start, place)


def _next(text: str, place: int) -> int:
    """Where the next statement begins."""
    found = _GAP.match(text, place)
    return found.end() if found else place


def _assignment(
    text: str, start: int, line: int, expressions: Expressions
) -> tuple[Assignment, int]:
    """The assignment that begins there, and where it ends.

    Raises:
        NotLiteral: it is something else.
        IncompleteRuby: it has no end.
    """
    found = _NAME.match(text, start)
    if found is None or _KEYWORD.match(text, start):
        raise NotLiteral
    name = found[0]
    expressions.begin(found.end())
    keys: list[Value] = []
    while text.startswith("[", expressions.place):
        keys.append(expressions.key())
    try:
        value = _value(text, expressions, is_element=bool(keys))
    except NotLiteral:
        if not keys:
            raise
        # What stands under the other keys is known all the same.
        expressions.place = end_of_statement(text, start)
        value = Unread(line, _shown(text[start : expressions.place]))
    name, keys = _config(name, keys)
    if isinstance(value, Unread) and not keys:
        raise NotLiteral
    return (
        Assignment(line, name, tuple(keys), value, tuple(expressions.variables)),
        expressions.place,
    )


def _value(text: str, expressions: Expressions, *, is_element: bool) -> Value:
    """What is assigned, up to the end of the statement."""
    if is_element or _EQUALS.match(text, expressions.place):
        expressions.expect("=")
        value = expressions.value()
    elif text.startswith("(", expressions.place):
        value = expressions.in_parentheses()
    elif text[expressions.place : expressions.place + 1] in {" ", "\t"}:
        value = expressions.value()
    else:
        raise NotLiteral
    expressions.require_end()
    return value


def _config(name: str, keys: list[Value]) -> tuple[str, list[Value]]:
    """`Chef::Config[:x]`, `Chef::Config.x` and `x` are one setting."""
    if name == "Chef::Config" and keys and plain(keys[0]):
        return plain(keys[0]) or "", keys[1:]
    return name.removeprefix("Chef::Config."), keys


def _shown(text: str) -> str:
    line = " ".join(text.split("\n", 1)[0].split())
    if "PRIVATE KEY" in line:
        return "(a key)"
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."
