"""One thing by itself: a line for each of its fields."""

from collections.abc import Mapping
from typing import Any

from pushcli.escape import escape_line
from pushcli.terminal.context import App
from pushcli.terminal.formats import to_json_line


def write_fields(app: App, fields: Mapping[str, Any]) -> None:
    """A line for each field that is not empty, their values aligned."""
    lines = [(escape_line(name), value_text(value)) for name, value in fields.items()]
    width = max((len(name) for name, text in lines if text), default=0) + 1
    for name, text in lines:
        if text:
            app.print(f"{name + ':':{width}} {text}")


def value_text(value: Any) -> str:
    """A value in one safe line: lists of words with commas, other structures as JSON."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case str():
            return escape_line(value)
        case list() if all(isinstance(part, str) for part in value):
            return escape_line(", ".join(value))
        case dict() | list():
            return to_json_line(value)
        case _:
            return escape_line(str(value))
