"""What nodes and servers send is shown, never interpreted.

A control character in a command's output could clear the operator's screen, retitle the
window or answer a query into his shell; a bidirectional override could reverse what he
reads. They are shown as a programmer would write them: `\\x1b`, `\\r`, `\\u202e`.
"""

import re

# C0 but for newline and tab, DEL, C1, bidirectional controls, line and paragraph
# separators, lone surrogates (from bytes or JSON that are no text), language tags.
_UNSAFE = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    r"\ud800-\udfff\U000e0000-\U000e007f"
)
_UNSAFE_IN_TEXT = re.compile(f"[{_UNSAFE}]")
_UNSAFE_IN_LINE = re.compile(rf"[\t\n{_UNSAFE}]")
_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def escape_text(text: str) -> str:
    """Many lines, safe on a terminal; newline and tab stay what they are."""
    return _UNSAFE_IN_TEXT.sub(_written_out, text)


def escape_line(text: str) -> str:
    """One line, safe on a terminal and within a table: newline and tab are escaped too."""
    return _UNSAFE_IN_LINE.sub(_written_out, text)


def decode(output: bytes) -> str:
    """A command's output as text, safe on a terminal; bytes that are no UTF-8 as `\\xff`."""
    return escape_text(output.decode("utf-8", errors="backslashreplace"))


def _written_out(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if character in _SHORT:
        return _SHORT[character]
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
