"""Keys and values as TOML text, as a person would write them: on one line, easy to read."""

import re
from collections.abc import Mapping, Sequence

import msgspec

_BARE = re.compile(r"[A-Za-z0-9_-]+")
# Literal strings take everything but their quote and control characters (tab is allowed).
_LITERAL = re.compile(r"[^'\x00-\x08\x0a-\x1f\x7f]*")


def key(name: str) -> str:
    """A key: bare where that is allowed."""
    return name if _BARE.fullmatch(name) else string(name)


def string(text: str) -> str:
    """A string: literal where a basic one would need backslashes."""
    if ("\\" in text or '"' in text) and _LITERAL.fullmatch(text):
        return f"'{text}'"
    # A JSON string is a TOML basic string, but for the one control character it lets stand.
    return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")


def value(content: object) -> str:
    """A value on one line.

    Raises:
        TypeError: TOML has no such value.
    """
    match content:
        case str():
            return string(content)
        case bool():
            return "true" if content else "false"
        case int() | float():
            return repr(content)
        case Mapping():
            return "{" + ", ".join(f"{key(k)} = {value(v)}" for k, v in content.items()) + "}"
        case Sequence():
            return "[" + ", ".join(map(value, content)) + "]"
        case _:
            raise TypeError(f"{type(content).__name__} has no form in TOML")


def pair(name: str, content: object) -> str:
    """`name = value`, without a line break."""
    return f"{key(name)} = {value(content)}"
