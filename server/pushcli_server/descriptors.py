"""How many connections there may be, so that no port takes another's descriptors.

One connection is one descriptor. Each port has a share of the process's limit, and the rest is
for files, the database and what ZeroMQ needs for itself.
"""

import contextlib
import resource
from typing import NamedTuple

from pushcli_server.channel.crowd import Limits

_KEPT = 64
"""Descriptors for all but connections, at least; ..."""
_KEPT_SHARE = 0.1
_LEAST = 8
_MOST = 100_000
"""Connections of one port: more than a server has agents."""
_OF_ONE_ADDRESS = 0.75
"""Most of them, for whole sites come from behind one."""
_UNPROVEN = 1000


class Shares(NamedTuple):
    """Connections of the two ZeroMQ ports; as many are left to REST."""

    commands: Limits
    heartbeats: Limits


def raise_limit() -> int:
    """Take as many descriptors as the system allows; returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return _number(hard)
    return _number(soft)


def shares(limit: int) -> Shares:
    """A third for each port of what is left of so many descriptors."""
    free = limit - max(_KEPT, int(limit * _KEPT_SHARE))
    total = min(_MOST, max(_LEAST, free // 3))
    per_address = int(total * _OF_ONE_ADDRESS)
    limits = Limits(total, per_address, min(_UNPROVEN, per_address))
    return Shares(limits, limits)


def _number(limit: int) -> int:
    return limit if limit != resource.RLIM_INFINITY else 4 * _MOST
