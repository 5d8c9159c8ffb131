"""The whitelist in a file of this machine: what the commands do with `--local`.

An `agent.toml` has it in the table `[whitelist]`; in a file of `whitelist.d` entries stand at
the top.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pushcli.errors import ConfigError, NotFound
from pushcli.whitelist.entry import Entry, InvalidEntry, parse
from pushcli.whitelist.workstation import toml_edit
from pushcli.whitelist.workstation.local_file import edit, read
from pushcli.whitelist.workstation.rows import Row

DIRECTORY = "whitelist.d"
"""Whose files have nothing but entries."""


def entries(path: Path) -> dict[str, Any]:
    """Names and values, unchecked.

    Raises:
        ConfigError: the file cannot be read, or is no TOML.
    """
    return _entries(path, read(path))


def rows(path: Path) -> list[Row]:
    """For the table; what makes the agent refuse the file is marked."""
    found = sorted(entries(path).items())
    return [Row(name, value, _state(name, value), [str(path)], False) for name, value in found]


def checked(path: Path, text: str) -> dict[str, Entry]:
    """The entries in the text of such a file.

    Raises:
        ConfigError: the agent would not take it; names the entry.
    """
    found = {}
    for name, value in _entries(path, text).items():
        try:
            found[name] = parse(name, value, local=True)
        except InvalidEntry as error:
            raise ConfigError(f"{path}: entry {name!r}: {error.reason}", "fix it there") from error
    return found


def put(path: Path, values: Mapping[str, Any]) -> bool:
    """Add entries to the file, or change them; whether anything changed."""

    def change(text: str) -> str:
        for name, value in values.items():
            text = toml_edit.with_entry(text, name, value, _root(path))
        return text

    return _edit(path, change)


def remove(path: Path, name: str) -> None:
    """Take an entry out of the file.

    Raises:
        NotFound: it has none of this name.
    """
    if not _edit(path, lambda text: toml_edit.without_entry(text, name, _root(path))):
        raise NotFound(f"{path} has no entry {name!r}", "see `whitelist list --local`")


def _root(path: Path) -> tuple[str, ...]:
    is_list = path.absolute().parent.name == DIRECTORY
    return toml_edit.AT_TOP if is_list else toml_edit.IN_TABLE


def _edit(path: Path, change: Any) -> bool:
    try:
        before, after = edit(path, change)
    except toml_edit.CannotEdit as error:
        raise _of(path, error) from error
    return before != after


def _entries(path: Path, text: str) -> dict[str, Any]:
    try:
        return toml_edit.entries(text, _root(path))
    except toml_edit.CannotEdit as error:
        raise _of(path, error) from error


def _of(path: Path, error: ConfigError) -> ConfigError:
    return ConfigError(f"{path}: {error.message}", error.remedy)


def _state(name: str, value: Any) -> str:
    try:
        parse(name, value, local=True)
    except InvalidEntry as error:
        return f"invalid: {error.reason}"
    return "local"
