"""The server's part of the whitelist: entries that editors signed, and proof that they did.

The server hands entries on; it cannot invent one, change one, or bring an older version
back. What was accepted is kept in a file, so that it holds while the server is away, and so
that the highest version of each name is never forgotten.
"""

import hashlib
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from pushcli.errors import ConfigError
from pushcli.protocol import limits, messages
from pushcli.protocol.messages import EntryRefused, PinnedKey, ServerEntry
from pushcli.whitelist import following, statements
from pushcli.whitelist.chain import Unreadable
from pushcli.whitelist.entry import Entry, InvalidEntry, parse
from pushcli.whitelist.rsa_numbers import PublicNumbers
from pushcli.whitelist.standing import Extended, Standing, Void, is_pinned
from pushcli.whitelist.statements import EditorStatement, Record
from pushcli_agent.whitelist import editors
from pushcli_agent.whitelist.editors import PinnedEditors

FILE = "server_whitelist.json"
MAX_NAMES = 20_000
"""Names whose versions are remembered; editors alone can add to them."""

_MAX_VERIFIED = 1_000
"""Signatures that are remembered to be good."""
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


class _InForce(NamedTuple):
    """What counted until now; `since` in seconds since the epoch."""

    value: Any
    version: int | None
    since: float


class _Known(msgspec.Struct, kw_only=True):
    """What is kept over restarts.

    Args:
        editors: what version 0.1.0 accepted of editors' statements.
        standing: what became of statements about editors; None: version 0.1.0 wrote this.
        pinned: the keys that were pinned then.
        editors_error: why the server's last statements were not gone along with.
        versions: the highest of each name; without `standing` any number, else one that was
            not ahead of the clock.
    """

    digest: str | None = None
    entries: list[ServerEntry] = []
    editors: list[EditorStatement] = []
    standing: Standing | None = None
    pinned: list[str] = []
    editors_error: str | None = None
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
        self._error: str | None = None
        self._file = directory / FILE
        self._org, self._node = org, node
        self._accept_unsigned = accept_unsigned
        self._now = now
        self._pinned = PinnedEditors(directory / editors.FILE)
        self._known = _read(self._file)
        self._verified: dict[bytes, None] = {}
        self._due = math.inf
        self._standing = self._present_standing()
        self._in_force = _counting(self._known)
        self.accepted, self.refused = self._judged(
            self._known.entries, self._present_versions(), self._known.editors_error
        )

    @property
    def digest(self) -> str | None:
        """Of the last one that was applied; None: it has to come again."""
        return self._known.digest if self._knows_its_pins() else None

    @property
    def error(self) -> str | None:
        """Why something is not as it should be; one line."""
        found = [self._error, self._pinned.error, self._known.editors_error]
        return "; ".join(error for error in found if error) or None

    def pinned(self) -> list[PinnedKey]:
        """The pinned keys that count, for the report."""
        pins = self._pinned.pins
        counting = [key for key in pins.trusted if self._is_pinned(key)]
        return [
            PinnedKey(
                editor=_line(pins.trusted[key].name), key=key, first_use=pins.trusted[key].first_use
            )
            for key in counting[: messages.MAX_PINNED]
        ]

    def apply(self, message: messages.Whitelist) -> Sequence[Void]:
        """Check everything and go by what holds; kept on disk before it counts.

        Returns what was said of editors, and is without effect here.
        """
        entries = [_without_depths(said) for said in message.entries]
        extended = self._extended(message)
        versions = self._present_versions()
        previous, self._standing = self._standing, extended.standing
        self._note_removed(message.removed, versions)
        judged = self._judged(entries, versions, extended.error)
        known = _Known(
            digest=message.digest,
            entries=entries,
            editors=self._known.editors,
            standing=extended.standing,
            pinned=sorted(self._pinned.pins.trusted),
            editors_error=extended.error,
            versions=versions,
            since={name: accepted.since for name, accepted in judged[0].items()},
        )
        if not self._keep(known):
            self._standing = previous
            return ()
        self.left_out = message.left_out
        self.accepted, self.refused = judged
        self._in_force = _counting(known)
        return extended.void

    def refresh(self) -> bool:
        """Look at the pinned keys and the clock; whether anything counts differently now."""
        changed = self._pinned.refresh()
        if not changed and self._now() < self._due:
            return False
        self._standing = self._present_standing()
        versions = self._present_versions()
        self.accepted, self.refused = self._judged(
            self._known.entries, versions, self._known.editors_error
        )
        if self._known.standing is not None and versions != self._known.versions:
            self._keep(msgspec.structs.replace(self._known, versions=versions))
        return True

    def _keep(self, known: _Known) -> bool:
        try:
            _write(self._file, known)
        except OSError as error:
            self._error = f"cannot save the server's whitelist in {self._file}: {error.strerror}"
            return False
        self._known, self._error = known, None
        return True

    def _latest(self) -> int:
        return int((self._now() + limits.MAX_AHEAD) * 1_000_000)

    def _knows_its_pins(self) -> bool:
        """Whether all that is pinned now was when editors' statements were judged."""
        known = self._known
        return known.standing is None or self._pinned.pins.trusted.keys() <= set(known.pinned)

    def _present_standing(self) -> Standing:
        known = self._known
        if known.standing is None:
            return following.inherit(known.editors, self._pinned.pins, latest=self._latest())
        if self._knows_its_pins():
            return known.standing
        # What a key said that is pinned only now has to be judged again, and all that rests on it.
        return following.anew(known.standing)

    def _present_versions(self) -> dict[str, int]:
        known = self._known
        if known.standing is not None:
            return dict(known.versions)
        latest = self._latest()
        return {name: version for name, version in known.versions.items() if version <= latest}

    def _extended(self, message: messages.Whitelist) -> Extended:
        standing = self._present_standing()
        try:
            if message.chain or standing.head:
                offered = following.read(message.editors, message.chain or [])
            else:
                offered = following.read_old(message.editors)
        except Unreadable as error:
            return Extended(standing, error=f"the server's statements about editors: {error}")
        return following.extend(
            standing, self._pinned.pins, offered, org=self._org, latest=self._latest()
        )

    def _judged(
        self, entries: list[ServerEntry], versions: dict[str, int], editors_error: str | None
    ) -> tuple[dict[str, Accepted], list[EntryRefused]]:
        """Which entries count.

        Args:
            editors_error: why it is not known who of those that were vouched for still counts.
        """
        accepted: dict[str, Accepted] = {}
        refused = []
        self._due = math.inf
        for said in entries:
            name = _line(said.name)
            if said.name in accepted:
                refused.append(EntryRefused(name=name, reason="it appears twice"))
                continue
            try:
                accepted[said.name] = self._accept(said, versions, editors_error)
            except Refused as refusal:
                refused.append(EntryRefused(name=name, reason=refusal.reason))
        return accepted, refused

    def _accept(
        self, said: ServerEntry, versions: dict[str, int], editors_error: str | None
    ) -> Accepted:
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
            since = self._since(said, None)
            return Accepted(entry=entry, value=said.value, since=since or self._now())
        record = self._proven(said.name, said.value, said.record)
        since = self._since(said, record.version)
        if since is None and editors_error and not self._is_pinned(record.key):
            raise Refused(
                f"signed by {record.signer}, who may have been taken back since: "
                "this node cannot follow the statements about editors"
            )
        self._note_version(said.name, record, versions)
        return Accepted(
            entry=entry,
            value=said.value,
            since=since or self._now(),
            signer=record.signer,
            version=record.version,
        )

    def _is_pinned(self, key: str) -> bool:
        return is_pinned(key, self._pinned.pins, self._standing.taken_back)

    def _since(self, said: ServerEntry, version: int | None) -> float | None:
        """Since when this very entry is in force, if it is."""
        previous = self._in_force.get(said.name)
        if previous is None or (previous.value, previous.version) != (said.value, version):
            return None
        return previous.since

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
        editor = self._standing.editor(record.key, self._pinned.pins)
        if editor is None:
            raise Refused(
                f"signed by {_line(record.signer)} with {_line(record.key)}, "
                "which is not an editor's key on this node"
            )
        message = statements.signed_message(
            record, org=self._org, node=self._node, name=name, value=value
        )
        if message is None or not self._is_signed(message, record, editor.key):
            raise Refused(f"the signature of {_line(record.signer)} does not match it")
        # The name is the one by which the key is known here; the record's is not signed.
        return msgspec.structs.replace(record, signer=editor.name)

    def _is_signed(self, message: bytes, record: Record, key: PublicNumbers) -> bool:
        """Whether it is the key's signature; one over many entries is verified once."""
        signed = hashlib.sha256(f"{record.key} {record.signature} ".encode() + message).digest()
        if signed not in self._verified and not key.signed(message, record.signature):
            return False
        self._verified[signed] = None
        while len(self._verified) > _MAX_VERIFIED:
            del self._verified[next(iter(self._verified))]
        return True

    def _note_version(self, name: str, record: Record, versions: dict[str, int]) -> None:
        highest = versions.get(name, 0)
        if record.version < highest:
            raise Refused(f"version {record.version} is older than {highest}: replayed")
        ahead = record.version - self._latest()
        if ahead > 0 and record.version != highest:
            # Nobody could edit it any more, if it were the newest.
            self._due = min(self._due, record.version / 1_000_000 - limits.MAX_AHEAD)
            seconds = ahead // 1_000_000 + limits.MAX_AHEAD
            raise Refused(f"dated {seconds} s ahead of this node's clock")
        if name not in versions and len(versions) >= MAX_NAMES:
            raise Refused(f"more than {MAX_NAMES} names were signed for this node")
        versions[name] = record.version


def standing(directory: Path) -> Standing:
    """What the agent of this directory last knew of its editors, beside the pinned ones.

    Raises:
        ConfigError: it cannot be read.
    """
    known = _read(directory / FILE)
    if known.standing is not None:
        return known.standing
    latest = int((time.time() + limits.MAX_AHEAD) * 1_000_000)
    return following.inherit(known.editors, editors.load(directory / editors.FILE), latest=latest)


def _counting(known: _Known) -> dict[str, _InForce]:
    return {
        said.name: _InForce(
            said.value,
            said.record.get("version") if isinstance(said.record, dict) else None,
            known.since[said.name],
        )
        for said in known.entries
        if said.name in known.since
    }


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
