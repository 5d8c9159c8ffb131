"""A node's whitelist as its attributes have it: `push_jobs.whitelist`, default < normal <
override, and beside the normal level the signatures of who set it (docs/whitelist.md).
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from pushcli.protocol import wire
from pushcli_server.core.editor_chain import Travelling, newest

LEVELS = ("default", "normal", "override")
MAX_BYTES = 200_000
"""Of a node's entries with their signatures, as JSON: they travel in one message."""
_ENVELOPE = 4096
"""For all that is neither an entry nor a statement."""
MAX_DEPTH = 20
"""Objects and lists within each other in an entry or a signature, which need three."""


class UnreadableAttributes(ValueError):
    """What is stored of a node cannot be read, and so not be changed in part."""


class AttributeEntry(NamedTuple):
    """An entry, the highest level that says something of it, and its signature if it is the
    one that was signed.
    """

    name: str
    value: Any
    level: str
    record: Any


class AttributeWhitelist(NamedTuple):
    """All that the attributes say; `removed` has the signatures of names that are gone."""

    entries: list[AttributeEntry]
    removed: dict[str, Any]


class _PushJobs(msgspec.Struct):
    whitelist: Any = None
    whitelist_signatures: Any = None


class _Attributes(msgspec.Struct):
    push_jobs: msgspec.Raw = msgspec.Raw(b"{}")


_attributes = msgspec.json.Decoder(_Attributes)
_push_jobs = msgspec.json.Decoder(_PushJobs)


def of_attributes(default: str, normal: str, override: str) -> AttributeWhitelist:
    """The whitelist of a node.

    Args:
        default, normal, override: JSON texts; what is no whitelist in them counts as none.
    """
    parts = [_part(text) for text in (default, normal, override)]
    merged: dict[str, AttributeEntry] = {}
    for level, part in zip(LEVELS, parts, strict=True):
        for name, value in part.whitelist.items():
            below = merged.get(name)
            merged[name] = AttributeEntry(
                name, _merge(None if below is None else below.value, value), level, None
            )
    signed, signatures = parts[1].whitelist, parts[1].whitelist_signatures
    entries = []
    for name in sorted(merged):
        entry = merged[name]
        if name in signed and entry.value == signed[name]:
            entry = entry._replace(record=signatures.get(name))
        entries.append(entry)
    gone = {name: record for name, record in signatures.items() if name not in merged}
    return AttributeWhitelist(entries, gone)


def message_fields(
    whitelist: AttributeWhitelist, editors: Travelling, *, chained: bool
) -> dict[str, Any]:
    """The fields of the `whitelist` message to the node; `digest` is of the others.

    Args:
        chained: whether its agent knows the chain of statements about editors.
    """
    room = MAX_BYTES
    entries: list[msgspec.Raw] = []
    for entry in whitelist.entries:
        said = {"name": entry.name, "value": entry.value}
        if entry.record is not None:
            said["record"] = entry.record
        text = msgspec.json.encode(said)
        room -= len(text) + 1
        if room < 0:
            break
        entries.append(msgspec.Raw(text))
    removed = []
    for name, record in whitelist.removed.items():
        text = msgspec.json.encode({"name": name, "record": record})
        room -= len(text) + 1
        if room < 0:
            break
        removed.append(msgspec.Raw(text))
    fields: dict[str, Any] = {
        "entries": entries,
        "removed": removed,
        "editors": _raw(editors.base),
        "left_out": len(whitelist.entries) - len(entries),
    }
    if chained:
        fields["chain"] = _raw(editors.links)
    else:
        # What does not fit costs such an agent its connection.
        left = wire.MAX_BODY_TO_EARLIER - _ENVELOPE - (MAX_BYTES - max(room, 0))
        fields["editors"] = _raw(newest(editors.old, left, len(editors.old)))
    digest = hashlib.sha256(msgspec.json.encode(fields)).hexdigest()
    return {"digest": digest[:32], **fields}


def _raw(texts: Iterable[bytes]) -> list[msgspec.Raw]:
    return [msgspec.Raw(text) for text in texts]


def edited(
    normal: str, changes: Mapping[str, tuple[Any, Any]], removed: Iterable[str]
) -> tuple[str, int]:
    """The normal attributes with entries set or removed, and the size of the whitelist.

    Args:
        normal: JSON text.
        changes: by name the value (None: removed) and the signature's record.
        removed: those of the names that go.

    Returns:
        JSON text, and the bytes that entries and signatures take in it.

    Raises:
        UnreadableAttributes: the text is not JSON.
    """
    try:
        attributes = _object(msgspec.json.decode(normal))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise UnreadableAttributes(str(error)) from error
    push_jobs = _object(attributes.get("push_jobs"))
    whitelist = _object(push_jobs.get("whitelist"))
    signatures = _object(push_jobs.get("whitelist_signatures"))
    for name in removed:
        whitelist.pop(name, None)
    for name, (value, record) in changes.items():
        if value is not None:
            whitelist[name] = value
        signatures[name] = record
    push_jobs |= {"whitelist": whitelist, "whitelist_signatures": signatures}
    size = len(msgspec.json.encode([whitelist, signatures]))
    return msgspec.json.encode({**attributes, "push_jobs": push_jobs}).decode(), size


def _part(text: str) -> _PushJobs:
    try:
        part = _push_jobs.decode(_attributes.decode(text).push_jobs)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        part = _PushJobs()
    part.whitelist = _shallow(_object(part.whitelist))
    part.whitelist_signatures = _shallow(_object(part.whitelist_signatures))
    return part


def _shallow(values: dict[str, Any]) -> dict[str, Any]:
    """Without those that are nested so deep that they mean nothing, and only do harm."""
    return {name: value for name, value in values.items() if not _is_deep(value)}


def _is_deep(value: Any) -> bool:
    if not isinstance(value, dict | list):
        return False
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for each in level
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _merge(below: Any, above: Any) -> Any:
    """Objects are merged key by key, anything else is replaced, as Chef does it."""
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: _merge(below.get(key), value) for key, value in above.items()}
    return above
