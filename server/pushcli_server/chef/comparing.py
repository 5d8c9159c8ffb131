"""Who there is in our own store, beside who there is on a Chef Infra Server. Pure."""

from collections.abc import Iterable, Mapping

import msgspec

from pushcli import keys
from pushcli.errors import KeyFileError
from pushcli_server import usable_keys

UNUSABLE = "a key that cannot be used"


class Who(msgspec.Struct, frozen=True, order=True):
    """A user or a client of an organization."""

    kind: str
    name: str


class Membership(msgspec.Struct, frozen=True, order=True):
    """That somebody is in a group, however deep."""

    group: str
    who: Who


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """An organization, as one of the two has it.

    Args:
        keys: of everybody in it, the valid ones (PEM).
    """

    keys: Mapping[Who, tuple[str, ...]]
    memberships: frozenset[Membership]


class OtherKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who has not the same keys there.

    Args:
        here, there: fingerprints of those that only one of the two has.
    """

    who: Who
    here: list[str]
    there: list[str]


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What of an organization is not there as it is here.

    Args:
        exists: there; else all are missing.
        missing: who does not belong to it there.
        outside: groups that somebody who does is in here alone.
        kept, lost: who may start jobs or administrate here, and there still or no longer.
    """

    organization: str
    exists: bool
    missing: list[Who]
    other_keys: list[OtherKeys]
    outside: list[Membership]
    kept: list[Who]
    lost: list[Who]

    @property
    def is_same(self) -> bool:
        """Whether nothing changes for anybody."""
        return self.exists and not (self.missing or self.other_keys or self.outside)

    @property
    def locks_out(self) -> bool:
        """Whether somebody may do something here, and none of them there."""
        return bool(self.lost) and not self.kept


def compare(
    organization: str, here: Side, there: Side | None, powerful: Iterable[str]
) -> Comparison:
    """Hold the two against each other.

    Args:
        there: None: there is no such organization.
        powerful: groups whose members may start jobs or administrate.
    """
    known = {} if there is None else there.keys
    memberships = frozenset[Membership]() if there is None else there.memberships
    kept: set[Who] = set()
    lost: set[Who] = set()
    groups = set(powerful)
    able = {one.who for one in memberships if one.group in groups and _usable(known.get(one.who))}
    for one in here.memberships:
        if one.group in groups:
            (kept if one.who in able else lost).add(one.who)
    return Comparison(
        organization=organization,
        exists=there is not None,
        missing=sorted(who for who in here.keys if who not in known),
        other_keys=[
            differing
            for who in sorted(here.keys)
            if who in known and (differing := _other_keys(who, here.keys[who], known[who]))
        ],
        outside=sorted(one for one in here.memberships - memberships if one.who in known),
        kept=sorted(kept),
        lost=sorted(lost),
    )


def _other_keys(who: Who, here: tuple[str, ...], there: tuple[str, ...]) -> OtherKeys | None:
    ours, theirs = ({_fingerprint(key) for key in some} for some in (here, there))
    if ours == theirs:
        return None
    return OtherKeys(who=who, here=sorted(ours - theirs), there=sorted(theirs - ours))


def _usable(some: tuple[str, ...] | None) -> bool:
    return any(_fingerprint(key) != UNUSABLE for key in some or ())


def _fingerprint(pem: str) -> str:
    try:
        return keys.fingerprint(usable_keys.load(pem))
    except KeyFileError:
        return UNUSABLE
