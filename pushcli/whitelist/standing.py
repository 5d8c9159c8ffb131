"""Whose signatures count on a node: its pinned keys, and what statements made of them since."""

from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

import msgspec

from pushcli.whitelist import chain
from pushcli.whitelist.rsa_numbers import PublicNumbers


class Pin(NamedTuple):
    """A key that the node trusts by itself; `first_use`: because a server named it once."""

    name: str
    key: PublicNumbers
    first_use: bool = False


class Pins(NamedTuple):
    """What the node's own files say, by fingerprint.

    Args:
        distrusted: keys that do not count, whoever vouches for them.
    """

    trusted: Mapping[str, Pin] = {}
    distrusted: frozenset[str] = frozenset()


class Vouched(msgspec.Struct, frozen=True):
    """A key that an editor vouched for."""

    name: str
    modulus: str
    exponent: int

    @property
    def key(self) -> PublicNumbers:
        """The key itself."""
        return chain.numbers_of(self.modulus, self.exponent)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What a node knows of its editors, beside the pinned keys; keys stand for fingerprints.

    Args:
        head: the digest of the last link that an editor signed; empty before there is one.
        version: the highest of such links.
        seen: digests of statements that were judged, the newest last.
        vouched: the keys that editors vouch for.
        vouchers: for each key those that ever vouched for it, also for pinned ones.
        taken_back: pinned keys that do not count any more.
        asked: pinned keys of which another pinned key said that they should not count.
        old: for each key the version of the newest statement of the old form that counted.
    """

    head: str = ""
    version: int = 0
    seen: tuple[str, ...] = ()
    vouched: dict[str, Vouched] = {}
    vouchers: dict[str, tuple[str, ...]] = {}
    taken_back: tuple[str, ...] = ()
    asked: dict[str, tuple[str, ...]] = {}
    old: dict[str, int] = {}

    def editor(self, key: str, pins: Pins) -> Pin | None:
        """The editor with this key; None if it is no editor's."""
        return editor(key, pins, self.taken_back, self.vouched)


def editor(
    key: str, pins: Pins, taken_back: Container[str], vouched: Mapping[str, Vouched]
) -> Pin | None:
    """The editor with this key; None if it is no editor's."""
    if key in pins.distrusted:
        return None
    if is_pinned(key, pins, taken_back):
        return pins.trusted[key]
    if (found := vouched.get(key)) is not None:
        return Pin(found.name, found.key)
    return None


def is_pinned(key: str, pins: Pins, taken_back: Container[str]) -> bool:
    """Whether the key counts because it is pinned."""
    return key in pins.trusted and key not in taken_back and key not in pins.distrusted


class Void(NamedTuple):
    """A statement that has no effect on this node; `reason` is one line."""

    digest: str
    reason: str


class Extended(NamedTuple):
    """What came of statements.

    Args:
        error: why the node keeps what it has; None: it went along.
    """

    standing: Standing
    void: Sequence[Void] = ()
    error: str | None = None
