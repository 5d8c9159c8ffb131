r"""Patterns: entries for requests that match an expression, with groups put into the command.

The expressions are google-re2's: none of them can take more than linear time.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pushcli.expressions import InvalidExpression, compiled
from pushcli.whitelist import shell
from pushcli.whitelist.shell_commands import REFERENCE, Misplaced, check_arguments

if TYPE_CHECKING:
    Command = str | tuple[str, ...]

MAX_EXPRESSION = 1000
"""Characters."""
_ARGUMENT = re.compile(r"\\(?:(?P<number>[0-9])|(?P<text>\\))")
_RAW = re.compile(r"\\(?P<number>[0-9])|(?P<text>\\.)", re.DOTALL)
# Control characters, the two line separators of Unicode, and what is no text at all.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class InvalidPattern(ValueError):
    """An expression, or a command for it, that cannot be used; one line."""


def is_pattern(name: str) -> bool:
    """Whether an entry of this name is a pattern: `/expression/`."""
    return len(name) >= 3 and name[0] == name[-1] == "/"


def is_plain(text: str) -> bool:
    """Whether it is text of one line without control characters."""
    return _FORBIDDEN.search(text) is None


def check(name: str, command: "Command", *, unsafe: bool) -> None:
    """Require that a pattern and its command fit together.

    Args:
        unsafe: of a string, groups are pasted into it as they are.

    Raises:
        InvalidPattern: they do not.
    """
    expression = name[1:-1]
    if len(expression) > MAX_EXPRESSION:
        raise InvalidPattern(f"an expression of more than {MAX_EXPRESSION} characters")
    groups = [REFERENCE] * (1 + _compiled(expression).groups)
    try:
        filled = _fill(command, groups, unsafe=unsafe)
        if not isinstance(command, str) and not unsafe:
            check_arguments(filled)
    except Misplaced as error:
        raise InvalidPattern(str(error)) from error


def apply(name: str, command: "Command", request: str, *, unsafe: bool) -> "Command | None":
    """The command for a request, or None if the pattern does not match the whole of it."""
    if not is_plain(request):
        return None
    found = _compiled(name[1:-1]).fullmatch(request)
    if found is None:
        return None
    return _fill(
        command, [found.group(0), *(group or "" for group in found.groups())], unsafe=unsafe
    )


def _fill(command: "Command", groups: Sequence[str], *, unsafe: bool) -> "Command":
    r"""The command with these groups, of which the first is `\0`.

    Raises:
        Misplaced: there is no such group, or a reference cannot stand where it does.
    """
    if not isinstance(command, str):
        return tuple(_paste(_ARGUMENT, argument, groups) for argument in command)
    if unsafe:
        return _paste(_RAW, command, groups)
    return shell.invocation(command, groups) if shell.has_references(command) else command


def _paste(expression: re.Pattern[str], text: str, groups: Sequence[str]) -> str:
    def replaced(found: re.Match[str]) -> str:
        if found["number"] is None:
            return found["text"]
        number = int(found["number"])
        if number >= len(groups):
            raise shell.no_group(number)
        return groups[number]

    return expression.sub(replaced, text)


def _compiled(expression: str) -> Any:
    try:
        return compiled(expression)
    except InvalidExpression as error:
        raise InvalidPattern(str(error)) from error
