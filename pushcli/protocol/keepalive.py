"""How TCP notices that the other end of a connection has vanished without a word."""

from typing import NamedTuple

_LONGEST = 3600
_PROBES = 3


class Keepalive(NamedTuple):
    """Seconds of silence before the first probe, between two, and probes without an answer."""

    idle: int
    interval: int
    probes: int


def keepalive(silence: float) -> Keepalive:
    """Probes that end a dead connection about when so many seconds of silence would."""
    idle = max(1, min(_LONGEST, int(silence / 2)))
    return Keepalive(idle, max(1, idle // _PROBES), _PROBES)
