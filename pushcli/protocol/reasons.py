"""Why somebody did something, in his words: they are shown to others, on one line."""

from pushcli.escape import escape_line

MAX_REASON = 200
"""Characters."""


def is_reason(text: str) -> bool:
    """Whether this is one printable line with something on it, of at most `MAX_REASON`."""
    return 0 < len(text.strip()) <= len(text) <= MAX_REASON and escape_line(text) == text
