"""Entries of a whitelist: what a request stands for, read from TOML or JSON."""

import difflib
import math
from typing import Any

import msgspec

from pushcli.protocol import names
from pushcli.whitelist import pattern

MAX_NAME = 1000
"""Characters."""
MAX_COMMAND = 16 * 1024
"""Bytes, of all arguments together."""
MAX_DESCRIPTION = 1000
"""Characters."""
MAX_OPERATORS = 100
MAX_TIMEOUT = 1e9
"""Seconds."""
MAX_SIZE = 20_000
"""Bytes of an entry's name and value as JSON."""
_MAX_PATH = 4095
_LOCAL_ONLY = "unsafe_substitution"


class InvalidEntry(ValueError):
    """A name or value that makes no entry; `reason` is one line."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A request, or a pattern of requests, and what the node runs for it."""

    name: str
    """A pattern begins and ends with `/`."""
    command: str | tuple[str, ...]
    """For `/bin/sh -c`, or a program and its arguments, for no shell."""
    lock: bool | str = False
    """Run only while holding a lock: the entry's own, or that of the file with this path."""
    description: str | None = None
    operators: tuple[str, ...] | None = None
    """Who may start it; None: everybody who may start jobs."""
    timeout: float | None = None
    """Seconds."""
    unsafe_substitution: bool = False
    """Of a pattern: groups are pasted into the shell's text as they are."""

    @property
    def is_pattern(self) -> bool:
        """Whether the name is an expression that requests must match."""
        return pattern.is_pattern(self.name)


def parse(name: str, value: object, *, local: bool) -> Entry:
    """The entry of this name and value (a string, a list of strings, or a table).

    Args:
        local: it comes from the node itself, and so may name lock files and paste raw text.

    Raises:
        InvalidEntry: it is none.
    """
    _check_name(name)
    table = value if isinstance(value, dict) else {"command_line": value}
    for key in table:
        if key not in _FIELDS:
            raise InvalidEntry(_unknown(key))
    if "command_line" not in table:
        raise InvalidEntry("no command_line")
    entry = Entry(
        name=name,
        command=_command(table["command_line"]),
        lock=_lock(table.get("lock", False), local=local),
        description=_description(table.get("description")),
        operators=_operators(table.get("operators")),
        timeout=_timeout(table.get("timeout")),
        unsafe_substitution=_flag(table.get(_LOCAL_ONLY, False), _LOCAL_ONLY),
    )
    _check_pattern(entry, local=local)
    if len(msgspec.json.encode([name, to_value(entry)])) > MAX_SIZE:
        raise InvalidEntry(f"more than {MAX_SIZE} bytes in all")
    return entry


def to_value(entry: Entry) -> Any:
    """The shortest value, as JSON has it, that `parse` makes this entry from."""
    command = entry.command if isinstance(entry.command, str) else list(entry.command)
    value: dict[str, Any] = {"command_line": command}
    if entry.lock is not False:
        value["lock"] = entry.lock
    if entry.description is not None:
        value["description"] = entry.description
    if entry.operators is not None:
        value["operators"] = list(entry.operators)
    if entry.timeout is not None:
        whole = entry.timeout.is_integer()
        value["timeout"] = int(entry.timeout) if whole else entry.timeout
    if entry.unsafe_substitution:
        value[_LOCAL_ONLY] = True
    return command if len(value) == 1 else value


_FIELDS = ("command_line", "lock", "description", "operators", "timeout", _LOCAL_ONLY)


def _check_name(name: str) -> None:
    if not name:
        raise InvalidEntry("an empty name")
    if len(name) > MAX_NAME:
        raise InvalidEntry(f"a name of more than {MAX_NAME} characters")
    if not pattern.is_plain(name):
        raise InvalidEntry("control characters in its name")


def _unknown(key: object) -> str:
    near = difflib.get_close_matches(str(key), _FIELDS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(_FIELDS)}"
    return f"unknown key {str(key)[:64]!r}: {hint}"


def _command(value: object) -> str | tuple[str, ...]:
    if not isinstance(value, str | list):
        raise InvalidEntry("the command is neither a string nor a list of strings")
    arguments: list[str] = []
    for argument in [value] if isinstance(value, str) else value:
        if not isinstance(argument, str):
            raise InvalidEntry("the command is neither a string nor a list of strings")
        arguments.append(argument)
    if not arguments or not arguments[0].strip():
        raise InvalidEntry("an empty command")
    if any("\0" in argument for argument in arguments):
        raise InvalidEntry("a NUL character in its command")
    try:
        size = sum(len(argument.encode()) for argument in arguments)
    except UnicodeEncodeError as error:
        raise InvalidEntry("a command that is not text") from error
    if size > MAX_COMMAND:
        raise InvalidEntry(f"a command of more than {MAX_COMMAND} bytes")
    return value if isinstance(value, str) else tuple(arguments)


def _lock(value: object, *, local: bool) -> bool | str:
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise InvalidEntry("lock is neither true nor a path")
    if not local:
        raise InvalidEntry("a path of a lock is for the node's own files: use lock = true")
    if not value.startswith("/") or not pattern.is_plain(value) or len(value) > _MAX_PATH:
        raise InvalidEntry("lock is not an absolute path")
    return value


def _description(value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not pattern.is_plain(value):
        raise InvalidEntry("description is not one line of text")
    if len(value) > MAX_DESCRIPTION:
        raise InvalidEntry(f"a description of more than {MAX_DESCRIPTION} characters")
    return value


def _operators(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MAX_OPERATORS:
        raise InvalidEntry(f"operators is not a list of at most {MAX_OPERATORS} names")
    for name in value:
        if not isinstance(name, str) or not names.is_node_name(name):
            raise InvalidEntry(f"operators: invalid name {str(name)[:64]!r}")
    return tuple(value)


def _timeout(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidEntry("timeout is not a number of seconds")
    if not 0 < value <= MAX_TIMEOUT or not math.isfinite(value):
        raise InvalidEntry(f"timeout is not above 0 and at most {MAX_TIMEOUT:.0f} seconds")
    return float(value)


def _flag(value: object, key: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidEntry(f"{key} is neither true nor false")
    return value


def _check_pattern(entry: Entry, *, local: bool) -> None:
    if entry.unsafe_substitution and not local:
        raise InvalidEntry(f"{_LOCAL_ONLY} is for the node's own files")
    if not entry.is_pattern:
        if entry.unsafe_substitution:
            raise InvalidEntry(f"{_LOCAL_ONLY} is for patterns")
        return
    try:
        pattern.check(entry.name, entry.command, unsafe=entry.unsafe_substitution)
    except pattern.InvalidPattern as error:
        raise InvalidEntry(str(error)) from error
