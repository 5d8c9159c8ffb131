"""Entries of a whitelist: what a request stands for, read from TOML or JSON."""

import difflib
import math
import re
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
MAX_VARIABLES = 100
MAX_DIRECTORIES = 100
_MAX_PATH = 4095
_MAX_VARIABLE = 255
_LOCAL_ONLY = "unsafe_substitution"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OF_THE_AGENT = "CHEF_PUSH_"
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@\\-]{0,63}\$?")
"""Names of users, those of Windows domains too; no number of a user has a letter in it."""

BASE_KEYS = frozenset({"command_line", "lock", "description", "operators", "timeout", _LOCAL_ONLY})
"""What agents know that do not report it: those of version 0.1.0."""
KEYS = (
    "command_line", "lock", "description", "operators", "timeout", "env", "dir", "dirs", "user",
    "stdin", "capture", "reboots", _LOCAL_ONLY,
)  # fmt: skip
"""Everything that a table may say; agents report it, and refuse an entry with any other key."""


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
    env: tuple[str, ...] = ()
    """Variables that a job may set, beside those that the node allows for every entry."""
    dir: str | None = None
    """Where it begins unless the job says otherwise; a job may say this."""
    dirs: tuple[str, ...] = ()
    """Directories that a job may choose, beside those that the node allows."""
    user: str | None = None
    """As whom it runs unless the job says otherwise; a job may say this."""
    stdin: bool = False
    """Whether a job may say what it reads from standard input."""
    capture: bool = True
    """Whether what it writes may be kept, also for a job that asks for it."""
    reboots: bool = False
    """Whether it is as it should be if the node restarts while it runs."""
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
        if key not in KEYS:
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
        env=_variables(table.get("env", [])),
        dir=None if table.get("dir") is None else _directory(table["dir"], "dir"),
        dirs=_directories(table.get("dirs", [])),
        user=None if table.get("user") is None else _user(table["user"]),
        stdin=_flag(table.get("stdin", False), "stdin"),
        capture=_flag(table.get("capture", True), "capture"),
        reboots=_flag(table.get("reboots", False), "reboots"),
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
    for key in ("env", "dirs"):
        if listed := getattr(entry, key):
            value[key] = list(listed)
    for key in ("dir", "user"):
        if (chosen := getattr(entry, key)) is not None:
            value[key] = chosen
    if entry.stdin:
        value["stdin"] = True
    if not entry.capture:
        value["capture"] = False
    if entry.reboots:
        value["reboots"] = True
    if entry.unsafe_substitution:
        value[_LOCAL_ONLY] = True
    return command if len(value) == 1 else value


def keys_of(value: object) -> frozenset[str]:
    """The keys that an entry's value uses; an agent that does not know one refuses the entry."""
    table = value if isinstance(value, dict) else {"command_line": value}
    return frozenset(map(str, table))


def _check_name(name: str) -> None:
    if not name:
        raise InvalidEntry("an empty name")
    if len(name) > MAX_NAME:
        raise InvalidEntry(f"a name of more than {MAX_NAME} characters")
    if not pattern.is_plain(name):
        raise InvalidEntry("control characters in its name")


def _unknown(key: object) -> str:
    near = difflib.get_close_matches(str(key), KEYS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(KEYS)}"
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
        raise InvalidEntry("timeout is not a number of seconds, such as 120")
    if not 0 < value <= MAX_TIMEOUT or not math.isfinite(value):
        raise InvalidEntry(f"timeout is not above 0 and at most {MAX_TIMEOUT:.0f} seconds")
    return float(value)


def _variables(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_VARIABLES:
        raise InvalidEntry(f"env is not a list of at most {MAX_VARIABLES} names of variables")
    for name in value:
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name) or len(name) > _MAX_VARIABLE:
            raise InvalidEntry(f"env: invalid name of a variable {str(name)[:64]!r}")
        if name.startswith(_OF_THE_AGENT):
            raise InvalidEntry(f"env: {name[:64]} is for the agent alone to set")
    return tuple(dict.fromkeys(value))


def _directories(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_DIRECTORIES:
        raise InvalidEntry(f"dirs is not a list of at most {MAX_DIRECTORIES} directories")
    return tuple(dict.fromkeys(_directory(path, "dirs") for path in value))


def _directory(value: object, key: str) -> str:
    if (
        not isinstance(value, str)
        or not value.startswith("/")
        or not pattern.is_plain(value)
        or len(value) > _MAX_PATH
    ):
        raise InvalidEntry(f"{key}: not an absolute path: {str(value)[:64]!r}")
    return value


def _user(value: object) -> str:
    if not isinstance(value, str) or not _USER.fullmatch(value) or value.isdigit():
        raise InvalidEntry(f"user: not the name of a user: {str(value)[:64]!r}")
    return value


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
