"""How many connections there may be, so that no port takes another's descriptors.

One connection is one descriptor. Each port has a share of the process's limit, and the rest is
for files, the database and what ZeroMQ needs for itself.
"""

import contextlib
import resource
from typing import NamedTuple

from pushcli_server.channel.crowd import Limits

_FILES, _FILES_SHARE = 64, 50
"""Descriptors for all but connections, at least, and the part of all (one in so many)."""
MAX_REST = 1000
"""Connections of REST; ..."""
REST_SHARE, REST_KEPT = 40, 136
"""... where there are few descriptors one in so many of them, but so many at least."""
_LEAST = 8
_MOST = 100_000
"""Connections of one port: more than a server has agents."""
_OF_ONE_ADDRESS = 0.75
"""Most of them, for whole sites come from behind one."""
_UNPROVEN = 1000


class Shares(NamedTuple):
    """What the ports may take of so many descriptors.

    Args:
        rest: connections of the REST API.
    """

    descriptors: int
    commands: Limits
    heartbeats: Limits
    rest: int

    @property
    def nodes(self) -> int:
        """Nodes that can be connected: each holds a connection to both ports."""
        return min(self.commands.total, self.heartbeats.total)


def current() -> Shares:
    """Of as many descriptors as the system allows this process, which has them from now on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return shares(soft if soft != resource.RLIM_INFINITY else 4 * _MOST)


def shares(limit: int) -> Shares:
    """REST and files have the first 200; of what is left nearly all is for nodes."""
    free = limit - max(_FILES, limit // _FILES_SHARE)
    rest = min(MAX_REST, max(REST_KEPT, limit // REST_SHARE), max(_LEAST, free // 3))
    total = min(_MOST, max(_LEAST, (free - rest) // 2))
    per_address = int(total * _OF_ONE_ADDRESS)
    limits = Limits(total, per_address, min(_UNPROVEN, per_address))
    return Shares(limit, limits, limits, rest)
