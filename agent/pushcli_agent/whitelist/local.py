"""The node's own whitelist: `[whitelist]` in agent.toml, and whitelist.d/*.toml beside it."""

import os
from collections.abc import Mapping
from pathlib import Path

from pushcli.whitelist.entry import Entry
from pushcli_agent.whitelist.source import (
    Signature,
    Unusable,
    check_owner,
    is_settled,
    read,
    signature,
)

DIRECTORY = "whitelist.d"
_TABLE = ("whitelist",)


class _File:
    """One file: what was last read of it, and what of it is in force."""

    def __init__(self, path: Path, table: tuple[str, ...]) -> None:
        self.path = path
        self._table = table
        self._signature: Signature | None = None
        self.found: dict[str, Entry] | None = None
        """None: it is not usable as it stands."""
        self.in_force: dict[str, Entry] = {}
        self.error: str | None = None

    def look(self) -> bool:
        """Read it again if it changed, or may have; whether that was so."""
        try:
            status = self.path.stat()
        except OSError as error:
            self._signature = None
            return self._fail(f"cannot read {self.path}: {error.strerror}")
        seen = signature(status)
        if seen == self._signature:
            return False
        self._signature = seen if is_settled(status) else None
        try:
            self.found, self.error = read(self.path, self._table), None
        except Unusable as unusable:
            return self._fail(str(unusable))
        return True

    def _fail(self, reason: str) -> bool:
        self.found, self.error = None, reason
        return True


class LocalWhitelist:
    """The entries that this node's own files hold; what is wrong with a file changes nothing.

    Args:
        file: agent.toml.
    """

    def __init__(self, file: Path) -> None:
        self.entries: Mapping[str, Entry] = {}
        """By name; in the order of agent.toml and then of the other files' names."""
        self.error: str | None = None
        """The first file with a mistake, its line and the reason; one line."""
        self._main = _File(file, _TABLE)
        self._directory = file.parent / DIRECTORY
        self._others: dict[Path, _File] = {}
        self._directory_error: str | None = None
        self.refresh()

    def refresh(self) -> bool:
        """Read what changed; whether that changed `entries` or `error`.

        Files that did not change cost a `stat` each: meant to be called once a second.
        """
        listed = self._list()
        files = [self._main, *self._others.values()]
        looked = [file.look() for file in files]
        if not listed and not any(looked):
            return False
        complaints = self._settle(files)
        entries: dict[str, Entry] = {}
        for file in files:
            entries.update(file.in_force)
        before = (list(self.entries.items()), self.error)
        self.entries, self.error = entries, _summary(complaints)
        return before != (list(entries.items()), self.error)

    def _list(self) -> bool:
        """Which files there are, as before if the directory is not to be trusted.

        Returns whether anything is new.
        """
        before = (list(self._others), self._directory_error)
        try:
            names = _names(self._directory)
        except Unusable as unusable:
            self._directory_error = str(unusable)
        else:
            self._directory_error = None
            paths = [self._directory / name for name in names]
            self._others = {path: self._others.get(path) or _File(path, ()) for path in paths}
        return before != (list(self._others), self._directory_error)

    def _settle(self, files: list[_File]) -> list[str]:
        """Put in force what can be; a name that comes twice is nobody's but who had it.

        Returns what there is to complain of.
        """
        taken: dict[str, Path] = {}
        complaints = {file.path: file.error for file in files}
        # Those that change nothing first: who brings a name that is taken is at fault.
        for file in sorted(files, key=lambda file: file.found not in (None, file.in_force)):
            if file.found is not None:
                twice = next((name for name in file.found if name in taken), None)
                if twice is None:
                    file.in_force = file.found
                else:
                    complaints[file.path] = (
                        f"{file.path}: {twice[:128]!r} is also in {taken[twice]}"
                    )
            left = {name: entry for name, entry in file.in_force.items() if name not in taken}
            if len(left) < len(file.in_force):
                file.in_force = left
            taken.update(dict.fromkeys(file.in_force, file.path))
        found = [self._directory_error, *(complaints[file.path] for file in files)]
        return [complaint for complaint in found if complaint is not None]


def _names(directory: Path) -> list[str]:
    try:
        check_owner(directory, directory.stat())
        return sorted(name for name in os.listdir(directory) if _counts(name))  # noqa: PTH208
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Unusable(f"cannot read {directory}: {error.strerror}") from error


def _counts(name: str) -> bool:
    # As the shell's *.toml: hidden files are those of editors.
    return name.endswith(".toml") and not name.startswith(".")


def _summary(complaints: list[str]) -> str | None:
    if not complaints:
        return None
    more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
    return complaints[0] + more
