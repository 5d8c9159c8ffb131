"""Entries in words: for tables, and for one entry by itself."""

import json
import shlex
from collections.abc import Sequence
from typing import Any

from pushcli import durations


def command(value: Any) -> str:
    """What it runs: a shell's command line as it is, a list of arguments as JSON."""
    line = value.get("command_line") if isinstance(value, dict) else value
    return line if isinstance(line, str) else json.dumps(line, ensure_ascii=False)


def options(value: Any) -> str:
    """What else is set: `lock, timeout 5 s, operators ann bob`."""
    if not isinstance(value, dict):
        return ""
    return ", ".join(
        _option(name, content) for name, content in value.items() if name != "command_line"
    )


def _option(name: str, content: Any) -> str:
    match name, content:
        case _, True:
            return name.replace("_", " ")
        case "timeout", int() | float():
            return f"timeout {content:g} s"
        case _, list():
            return f"{name} {' '.join(map(str, content)) or 'nobody'}"
        case _:
            return f"{name} {content}"


def runs(what: str | Sequence[str]) -> str:
    """A command as a person would type it."""
    return what if isinstance(what, str) else shlex.join(what)


def version(number: int | None) -> str:
    """A version with its date; empty if there is none."""
    if number is None:
        return ""
    when = durations.local(number / 1_000_000)
    return f"{number} ({when})" if "T" in when else str(number)
