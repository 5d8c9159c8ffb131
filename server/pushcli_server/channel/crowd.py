"""How many connections there may be, in all and of one address, and which of them are too many.

Pure: connections are numbers, which a later connection may have again. Addresses are opaque.
"""

import contextlib
import ipaddress
from collections import Counter
from collections.abc import Callable, Hashable
from typing import NamedTuple

PER_OWNER = 8
"""Connections of one who has proven who he is; more than one are those that broke unnoticed."""

PACED = 4096
"""Addresses whose pace is remembered."""


class Limits(NamedTuple):
    """Connections at most."""

    total: int
    per_address: int
    """Of one address, behind which there may be many."""
    unproven: int
    """Of one address, while they have not proven who they are."""


class Crowd:
    """The connections that there are.

    Args:
        is_free: whether others, with whom room is shared, leave any.
    """

    def __init__(self, limits: Limits, is_free: Callable[[], bool] = lambda: True) -> None:
        self._limits, self._is_free = limits, is_free
        self._address: dict[int, str] = {}
        self._unproven: set[int] = set()
        self._of: Counter[str] = Counter()
        self._unproven_of: Counter[str] = Counter()
        self._owner: dict[int, Hashable] = {}
        self._owned: dict[Hashable, dict[int, None]] = {}

    @property
    def has_room(self) -> bool:
        """Whether there is room for another one, of whatever address."""
        return len(self) < self._limits.total and self._is_free()

    @property
    def has_unproven(self) -> bool:
        """Whether there is one that has not proven who it is."""
        return bool(self._unproven)

    def __len__(self) -> int:
        return len(self._address)

    def admit(self, connection: int, address: str) -> bool:
        """A connection came; false: it is one too many, and is not counted."""
        self.forget(connection)
        limits = self._limits
        if (
            not self.has_room
            or self._of[address] >= limits.per_address
            or self._unproven_of[address] >= limits.unproven
        ):
            return False
        self._address[connection] = address
        self._of[address] += 1
        self._unproven.add(connection)
        self._unproven_of[address] += 1
        return True

    def prove(self, connection: int, owner: Hashable = None) -> int | None:
        """It is known whose it is, if it is anybody's.

        Returns:
            The oldest connection of this owner, if he has too many.
        """
        if connection not in self._unproven:
            return None
        self._unproven.discard(connection)
        _decrement(self._unproven_of, self._address[connection])
        if owner is None:
            return None
        self._owner[connection] = owner
        owned = self._owned.setdefault(owner, {})
        owned[connection] = None
        return next(iter(owned)) if len(owned) > PER_OWNER else None

    def owned(self, owner: Hashable) -> list[int]:
        """The connections of this owner, the oldest first."""
        return list(self._owned.get(owner, ()))

    def address(self, connection: int) -> str | None:
        """Where it comes from, if it is there."""
        return self._address.get(connection)

    def forget(self, connection: int) -> Hashable:
        """It is gone, if it was there.

        Returns:
            Its owner, if he has no other.
        """
        self.prove(connection)
        if (address := self._address.pop(connection, None)) is not None:
            _decrement(self._of, address)
        if (owner := self._owner.pop(connection, None)) is not None:
            owned = self._owned[owner]
            del owned[connection]
            if not owned:
                del self._owned[owner]
                return owner
        return None


class Pace:
    """How fast connections of one address may come.

    Args:
        burst: so many at once, ...
        rate: ... and so many in each second that goes by.
    """

    def __init__(self, burst: int, rate: float) -> None:
        self._burst, self._rate = burst, rate
        self._left: dict[str, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._left)

    def allows(self, address: str, now: float) -> bool:
        """One came, at these seconds of a clock that only goes forward: may it stay?"""
        left, at = self._left.pop(address, (float(self._burst), now))
        left = min(self._burst, left + (now - at) * self._rate)
        is_allowed = left >= 1
        # Those that came last are the last ones, so that the first is the least to be missed.
        self._left[address] = left - is_allowed, now
        if len(self._left) > PACED:
            del self._left[next(iter(self._left))]
        return is_allowed


def network(host: str) -> str:
    """Whom an address stands for: itself, or the /64 of an IPv6 address."""
    if ":" not in host:
        return host
    with contextlib.suppress(ValueError):
        return str(ipaddress.IPv6Network((host.partition("%")[0], 64), strict=False))
    return host


def _decrement(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
