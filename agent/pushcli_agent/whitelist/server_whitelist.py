"""The server's part of the whitelist: entries that editors signed, and proof that they did.

The server hands entries on; it cannot invent one, change one, or bring an older version
back. What was accepted is kept in a file, so that it holds while the server is away, and so
that the highest version of each name is never forgotten.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from pushcli.errors import ConfigError
from pushcli.protocol import messages
from pushcli.protocol.messages import EntryRefused, ServerEntry
from pushcli.whitelist import statements
from pushcli.whitelist.entry import Entry, InvalidEntry, parse
from pushcli.whitelist.statements import EditorStatement, Record
from pushcli_agent.whitelist import editors
from pushcli_agent.whitelist.editors import Editors

FILE = "server_whitelist.json"
MAX_NAMES = 20_000
"""Names whose versions are remembered; editors alone can add to them."""

MAX_DEPTH = 8
"""Of an entry as the server sends it, in lists and tables; more than any good one has."""


class Refused(Exception):
    """An entry that this node does not go by; `reason` is one line."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """An entry in force; `since` in seconds since the epoch, no `signer` if unsigned."""

    entry: Entry
    value: Any
    since: float
    signer: str | None = None
    version: int | None = None


class _Known(msgspec.Struct, kw_only=True):
    """What is kept over restarts."""

    digest: str | None = None
    entries: list[ServerEntry] = []
    editors: list[EditorStatement] = []
    versions: dict[str, int] = {}
    since: dict[str, float] = {}


class ServerWhitelist:
    """What the server sends of the whitelist, and how much of it counts.

    Args:
        directory: the agent's.
        accept_unsigned: whether entries that other tools set count too.

    Raises:
        ConfigError: `editors.json` cannot be read, or is not valid.
    """

    def __init__(
        self,
        directory: Path,
        *,
        org: str,
        node: str,
        accept_unsigned: bool,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.accepted: dict[str, Accepted] = {}
        self.refused: list[EntryRefused] = []
        self.left_out = 0
        self.error: str | None = None
        """Why the last one could not be applied."""
        self._file = directory / FILE
        self._org, self._node = org, node
        self._accept_unsigned = accept_unsigned
        self._now = now
        self._pinned = editors.load(directory / editors.FILE)
        self._known = _read(self._file)
        self._editors = Editors(org, self._pinned, self._known.editors)
        self.accepted, self.refused = self._judged(self._known.entries, self._known.versions)

    @property
    def digest(self) -> str | None:
        """Of the last one that was applied."""
        return self._known.digest

    def apply(self, message: messages.Whitelist) -> None:
        """Check everything and go by what holds; kept on disk before it counts."""
        entries = [_without_depths(said) for said in message.entries]
        candidates = Editors(self._org, self._pinned, self._known.editors)
        candidates.consider(message.editors)
        versions = dict(self._known.versions)
        previous, self._editors = self._editors, candidates
        self._note_removed(message.removed, versions)
        judged = self._judged(entries, versions)
        known = _Known(
            digest=message.digest,
            entries=entries,
            editors=candidates.accepted,
            versions=versions,
            since={name: accepted.since for name, accepted in judged[0].items()},
        )
        try:
            _write(self._file, known)
        except OSError as error:
            self._editors = previous
            self.error = f"cannot save the server's whitelist in {self._file}: {error.strerror}"
            return
        self._known, self.error, self.left_out = known, None, message.left_out
        self.accepted, self.refused = judged

    def _judged(
        self, entries: list[ServerEntry], versions: dict[str, int]
    ) -> tuple[dict[str, Accepted], list[EntryRefused]]:
        accepted: dict[str, Accepted] = {}
        refused = []
        for said in entries:
            name = _line(said.name)
            if said.name in accepted:
                refused.append(EntryRefused(name=name, reason="it appears twice"))
                continue
            try:
                accepted[said.name] = self._accept(said, versions)
            except Refused as refusal:
                refused.append(EntryRefused(name=name, reason=refusal.reason))
        return accepted, refused

    def _accept(self, said: ServerEntry, versions: dict[str, int]) -> Accepted:
        """The entry, if it counts; a higher version is noted.

        Raises:
            Refused: it does not.
        """
        try:
            entry = parse(said.name, said.value, local=False)
        except InvalidEntry as error:
            raise Refused(error.reason) from error
        if said.record is None:
            if not self._accept_unsigned:
                raise Refused("unsigned: set it with `pushcli whitelist add`")
            return self._in_force(entry, said.value, None)
        record = self._proven(said.name, said.value, said.record)
        self._note_version(said.name, record, versions)
        return self._in_force(entry, said.value, record)

    def _in_force(self, entry: Entry, value: Any, record: Record | None) -> Accepted:
        version = None if record is None else record.version
        previous = self.accepted.get(entry.name)
        if previous is not None and (previous.value, previous.version) == (value, version):
            since = previous.since
        elif previous is None and not self.accepted and entry.name in self._known.since:
            # Read again after a restart.
            since = self._known.since[entry.name]
        else:
            since = self._now()
        return Accepted(
            entry=entry,
            value=value,
            since=since,
            signer=None if record is None else record.signer,
            version=version,
        )

    def _note_removed(self, removed: list[ServerEntry], versions: dict[str, int]) -> None:
        for said in removed:
            try:
                self._note_version(said.name, self._proven(said.name, None, said.record), versions)
            except Refused:
                # A removal that nobody signed counts for nothing.
                continue

    def _proven(self, name: str, value: Any, raw: Any) -> Record:
        """The record, if an editor's signature holds for the value.

        Raises:
            Refused: it does not.
        """
        try:
            record = msgspec.convert(raw, Record)
        except (msgspec.ValidationError, RecursionError) as error:
            raise Refused("its signature cannot be read") from error
        key = self._editors.key(record.key)
        if key is None:
            raise Refused(
                f"signed by {_line(record.signer)} with {_line(record.key)}, "
                "which is not an editor's key on this node"
            )
        if not statements.holds(
            record, key, org=self._org, node=self._node, name=name, value=value
        ):
            raise Refused(f"the signature of {_line(record.signer)} does not match it")
        return record

    def _note_version(self, name: str, record: Record, versions: dict[str, int]) -> None:
        highest = versions.get(name, 0)
        if record.version < highest:
            raise Refused(f"version {record.version} is older than {highest}: replayed")
        if name not in versions and len(versions) >= MAX_NAMES:
            raise Refused(f"more than {MAX_NAMES} names were signed for this node")
        versions[name] = record.version


def _read(file: Path) -> _Known:
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Known)
    except FileNotFoundError:
        return _Known()
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}", "check its owner") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        # Forgetting the versions would let the server bring old ones back.
        raise ConfigError(
            f"{file} is damaged ({error})".replace("`", ""),
            "remove it if you trust the server to send the current entries",
        ) from error


def _without_depths(said: ServerEntry) -> ServerEntry:
    """Without a value or record that is nested too deep for any entry.

    What is kept must be readable at the next start, whatever depth the reader begins at.
    """
    value, record = (
        part if _is_shallow(part, MAX_DEPTH) else None for part in (said.value, said.record)
    )
    return ServerEntry(name=said.name, value=value, record=record)


def _is_shallow(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        return depth > 0 and all(_is_shallow(inner, depth - 1) for inner in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_is_shallow(inner, depth - 1) for inner in value)
    return True


def _write(file: Path, known: _Known) -> None:
    new = file.with_name(f".{file.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as content:
        content.write(msgspec.json.encode(known))
        content.flush()
        os.fsync(content.fileno())
    new.replace(file)


def _line(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:200])
