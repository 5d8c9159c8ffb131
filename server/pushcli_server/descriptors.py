"""How many connections there may be, so that no port takes another's descriptors.

One connection is one descriptor. Each port has a share of the process's limit, and the rest is
for files, the database and what ZeroMQ needs for itself. Agents like ours have a connection to the
command port alone, old ones to the heartbeat port too: these two share what there is.
"""

import contextlib
import resource
from typing import NamedTuple

from pushcli_server.channel.crowd import Limits

_FILES, _FILES_SHARE = 64, 50
"""Descriptors for all but connections, at least, and the part of all (one in so many)."""
MAX_REST = 1000
"""Connections of REST that stay; ..."""
REST_SHARE, REST_KEPT = 40, 136
"""... where there are few descriptors one in so many of them, but so many at least."""
_PER_LEAVING = 9
"""To so many that stay comes one that is told that it cannot (`rest/connections.py`)."""
_LEAST = 8
_MOST = 100_000
"""Connections of one port: more than a server has agents."""
_OF_ONE_ADDRESS = 0.75
"""Most of them, for whole sites come from behind one."""
_UNPROVEN = 1000


class Shares(NamedTuple):
    """What the ports may take of so many descriptors.

    Args:
        agents: connections to both ports that agents have, together.
        rest: connections of the REST API, those that are being turned away included.
    """

    descriptors: int
    agents: int
    commands: Limits
    heartbeats: Limits
    rest: int

    @property
    def old_agents(self) -> int:
        """How many can be connected to both ports, as agents are that are not quiet."""
        return min(self.agents // 2, self.heartbeats.total)


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
    stay = min(MAX_REST, max(REST_KEPT, limit // REST_SHARE), max(_LEAST, free // 3))
    rest = stay + stay // _PER_LEAVING
    agents = min(2 * _MOST, max(2 * _LEAST, free - rest))
    # Strangers may fill the heartbeat port: half is left for commands, whatever comes there.
    return Shares(limit, agents, _limits(min(_MOST, agents)), _limits(agents // 2), rest)


def _limits(total: int) -> Limits:
    per_address = int(total * _OF_ONE_ADDRESS)
    return Limits(total, per_address, min(_UNPROVEN, per_address))
