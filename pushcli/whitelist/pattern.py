r"""Patterns: entries for requests that match an expression, with groups put into the command.

The expressions are google-re2's: none of them can take more than linear time. The module
is loaded with the first pattern only: it costs an agent's memory.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pushcli.whitelist import shell
from pushcli.whitelist.shell import Piece
from pushcli.whitelist.shell_words import Unquotable, check_arguments

if TYPE_CHECKING:
    Command = str | tuple[str, ...]

MAX_EXPRESSION = 1000
"""Characters."""
_MEMORY = 1 << 20
"""Bytes for one compiled expression; google-re2 goes on more slowly when they are used up."""
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
    """Whether a pattern and its command fit together.

    Args:
        unsafe: of a string, groups are pasted into it as they are.

    Raises:
        InvalidPattern: they do not.
    """
    expression = name[1:-1]
    if len(expression) > MAX_EXPRESSION:
        raise InvalidPattern(f"an expression of more than {MAX_EXPRESSION} characters")
    groups = _compiled(expression).groups
    for pieces in _pieces(command, unsafe=unsafe):
        for piece in pieces:
            if isinstance(piece, int) and piece > groups:
                raise InvalidPattern(
                    rf"\{piece} refers to a group that the expression does not have"
                )


def apply(name: str, command: "Command", request: str, *, unsafe: bool) -> "Command | None":
    """The command for a request, or None if the pattern does not match the whole of it."""
    if not is_plain(request):
        return None
    found = _compiled(name[1:-1]).fullmatch(request)
    if found is None:
        return None
    groups = [found.group(0), *(group or "" for group in found.groups())]
    if isinstance(command, str):
        (pieces,) = _pieces(command, unsafe=unsafe)
        return shell.render(pieces, groups, quoted=not unsafe)
    return tuple(
        shell.render(pieces, groups, quoted=False) for pieces in _pieces(command, unsafe=unsafe)
    )


def _pieces(command: "Command", *, unsafe: bool) -> Sequence[tuple[Piece, ...]]:
    try:
        if not isinstance(command, str):
            found = [shell.argument_pieces(argument) for argument in command]
            if not unsafe:
                referring = [any(isinstance(one, int) for one in pieces) for pieces in found]
                if any(referring):
                    check_arguments(list(zip(command, referring, strict=True)))
            return found
        return [shell.raw_pieces(command) if unsafe else shell.pieces(command)]
    except Unquotable as error:
        raise InvalidPattern(str(error)) from error


def _compiled(expression: str) -> Any:
    """google-re2's own cache keeps the last 128."""
    import re2  # type: ignore[import-untyped]  # noqa: PLC0415

    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        raise InvalidPattern(_bad(error)) from error


def _bad(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    hint = ""
    if "(?" in text or "invalid escape" in text:
        hint = " (there are no back-references and no look-around)"
    printable = "".join(c if c.isprintable() else "?" for c in text)
    return f"not a regular expression: {printable}{hint}"
