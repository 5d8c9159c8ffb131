"""Regular expressions of google-re2: none of them can take more than linear time.

It is loaded with the first expression only: it costs an agent's memory.
"""

from typing import Any

_MEMORY = 1 << 20
"""Bytes for one compiled expression; google-re2 goes on more slowly when they are used up."""


class InvalidExpression(ValueError):
    """It cannot be read; one line."""


def compiled(expression: str | bytes, *, ignore_case: bool = False) -> Any:
    """The expression, for texts of its own type; google-re2's own cache keeps the last 128.

    Raises:
        InvalidExpression: it is not one.
    """
    import re2  # type: ignore[import-untyped]  # noqa: PLC0415

    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    options.case_sensitive = not ignore_case
    try:
        return re2.compile(expression, options)
    except re2.error as error:
        raise InvalidExpression(_bad(error)) from error


def _bad(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    hint = ""
    if "(?" in text or "invalid escape" in text:
        hint = " (there are no back-references and no look-around)"
    printable = "".join(c if c.isprintable() else "?" for c in text)
    return f"not a regular expression: {printable}{hint}"
