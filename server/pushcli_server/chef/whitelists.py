"""Whitelists in our own node objects, beside those in a Chef Infra Server's; what of ours is put
there, as the command line would write it: entries with the signatures that they have. Pure.

What a node object has besides stays as it is, to the byte.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from pushcli.protocol.chef_answers import ChefAway, ChefRefuses, require_success
from pushcli_server.chef import node_answers
from pushcli_server.chef.node_answers import PUSH_JOBS, Attributes
from pushcli_server.core import whitelist as core

_WHITELIST, _SIGNATURES = "whitelist", "whitelist_signatures"
_Object = dict[str, msgspec.Raw]
_object = msgspec.json.Decoder(_Object)
_NULL = msgspec.Raw(b"null")


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What of a node's whitelist here is not in its node object there; names, sorted.

    Args:
        there: whether it has one.
        missing: entries that it has not, or not signed; they can be put there.
        differs: entries that are others there, signed by others, or removed; they stay so.
        removals: signed removals of which nothing is known there; they can be put there.
    """

    there: bool = True
    missing: list[str] = []
    differs: list[str] = []
    removals: list[str] = []

    @property
    def lost(self) -> list[str]:
        """Entries that are not in force any more as they are here."""
        return sorted([*self.missing, *self.differs])

    @property
    def stays(self) -> "Difference":
        """What is left of it when all that can be put there was."""
        return msgspec.structs.replace(self, missing=[], removals=[])

    @property
    def is_none(self) -> bool:
        """Whether all is there."""
        return not (self.missing or self.differs or self.removals)


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A node, held against the answer to `GET nodes/NAME`.

    Args:
        body: the node object with what can be put there; None: there is nothing to put.
    """

    difference: Difference
    body: bytes | None = None


def own_attributes(default: str, normal: str, override: str) -> Attributes | None:
    """What of a node's attributes (JSON texts) its whitelist is made of; None: it has none."""
    found = Attributes(*map(_push_jobs, (default, normal, override)))
    whitelist = core.of_attributes(*found)
    return found if whitelist.entries or whitelist.removed else None


def _push_jobs(level: str) -> str:
    try:
        return node_answers.push_jobs(msgspec.Raw(level.encode()))
    except node_answers.UNREADABLE:
        return "{}"


def nowhere(own: Attributes) -> Difference:
    """Of a node that is not there."""
    whitelist = core.of_attributes(*own)
    return Difference(
        there=False, missing=[entry.name for entry in whitelist.entries],
        removals=sorted(whitelist.removed),
    )  # fmt: skip


def compare(own: Attributes, status: int, content: bytes, name: str) -> Compared:
    """Hold ours against the answer for a node.

    Raises:
        ChefAway, ChefRefuses: it is no answer to that, or nothing can be put into this node.
    """
    there = node_answers.attributes(status, content, name)
    if there is None:
        return Compared(difference=nowhere(own))
    wanted = _different(own, there)
    if not wanted:
        return Compared(difference=Difference())
    # What does not become as it is here is not touched: something that stays is in its way.
    left = _different(own, _put_into(content, own, wanted, name)[1])
    put = wanted - left
    entries = {entry.name for entry in core.of_attributes(*own).entries}
    difference = Difference(
        missing=sorted(put & entries), differs=sorted(left), removals=sorted(put - entries)
    )
    if not put:
        return Compared(difference=difference)
    body, after = _put_into(content, own, put, name)
    _, size = core.edited(after.normal, {}, ())
    if size > core.MAX_BYTES:
        raise ChefRefuses(f"its whitelist would take more than {core.MAX_BYTES:,} bytes there")
    return Compared(difference=difference, body=body)


def require_put(status: int, content: bytes, name: str, own: Attributes, put: Difference) -> None:
    """That the answer to `PUT nodes/NAME` shows what was put there.

    Raises:
        ChefAway, ChefRefuses: it does not.
    """
    match status:
        case 404:
            raise ChefRefuses("it was deleted there meanwhile")
        case 409:
            raise ChefRefuses("it is being changed there (409)")
        case 413:
            raise ChefRefuses("its node object is too large there (413)")
        case _:
            require_success(status, content, f"nodes/{name}")
    stored = node_answers.attributes(status, content, name)
    if stored is None or _different(own, stored) - {*put.differs}:
        raise ChefAway("it does not say that it has them")


def _different(own: Attributes, there: Attributes) -> set[str]:
    """Names of entries and removals that are not there as they are here."""
    ours, theirs = core.of_attributes(*own), core.of_attributes(*there)
    entries = {entry.name: entry for entry in theirs.entries}
    different = {
        entry.name for entry in ours.entries if not _is_same(entry, entries.get(entry.name))
    }
    for name, record in ours.removed.items():
        # What knife took out has no signed removal: nothing keeps it from coming back.
        if _is_removal(record) and name not in theirs.removed:
            different.add(name)
    return different


def _is_same(ours: core.AttributeEntry, theirs: core.AttributeEntry | None) -> bool:
    if theirs is None or _text(ours.value) != _text(theirs.value):
        return False
    if ours.record is None:
        return not _is_removal(theirs.record)
    return _text(ours.record) == _text(theirs.record)


def _is_removal(record: Any) -> bool:
    return isinstance(record, dict) and bool(record.get("removed"))


def _text(value: Any) -> bytes:
    """Other than Python's, it tells 1 from true."""
    return msgspec.json.encode(value, order="sorted")


def _put_into(
    content: bytes, own: Attributes, names: Collection[str], name: str
) -> tuple[bytes, Attributes]:
    """The node object with ours of these names where it has none, and its attributes then."""
    try:
        return _merged(content, own, names, name)
    except node_answers.UNREADABLE as error:
        raise ChefRefuses(f"its attributes cannot be read: {error}") from error


def _merged(
    content: bytes, own: Attributes, names: Collection[str], name: str
) -> tuple[bytes, Attributes]:
    node = _object.decode(content)
    for level, text in zip(core.LEVELS, own, strict=True):
        ours = _parts(_object.decode(text.encode()).get(PUSH_JOBS, _NULL), names)
        if not ours:
            continue
        attributes = _part(node, (level,))
        push_jobs = _part(attributes, (level, PUSH_JOBS))
        for kind, values in ours.items():
            present = _part(push_jobs, (level, PUSH_JOBS, kind))
            push_jobs[kind] = _raw({**values, **present})
        attributes[PUSH_JOBS] = _raw(push_jobs)
        node[level] = _raw(attributes)
    body = msgspec.json.encode(node)
    after = node_answers.attributes(200, body, name)
    assert after is not None  # noqa: S101 - only a 404 says so
    return body, after


def _parts(push_jobs: msgspec.Raw, names: Collection[str]) -> dict[str, _Object]:
    """Of ours the entries and signatures of these names, as far as there are any."""
    found = {}
    for kind in (_WHITELIST, _SIGNATURES):
        values = _decoded(_decoded(push_jobs).get(kind, _NULL))
        if some := {name: value for name, value in values.items() if name in names}:
            found[kind] = some
    return found


def _decoded(raw: msgspec.Raw) -> _Object:
    """What is no object counts as empty, as everywhere."""
    try:
        return _object.decode(raw)
    except msgspec.ValidationError:
        return {}


def _part(of: Mapping[str, msgspec.Raw], place: tuple[str, ...]) -> _Object:
    """What stands there, to be written to."""
    raw = of.get(place[-1])
    try:
        return {} if raw is None else _object.decode(raw)
    except msgspec.ValidationError:
        raise ChefRefuses(
            f"its {'.'.join(place)} is not an object: see `knife node edit`"
        ) from None


def _raw(some: _Object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(some))
