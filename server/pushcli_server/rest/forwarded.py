"""Who stands behind a proxy: what `X-Forwarded-*` says, and whether it is believed.

Each proxy adds the address that it was asked from at the right end of `X-Forwarded-For`; whoever
asks may have put anything before it. So the list is read from the right, for as long as who wrote
an entry is trusted. Nothing here does I/O; moments are seconds of any clock.
"""

import ipaddress
import math
import re
from collections.abc import Iterable, Iterator, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_HOPS = 32
"""Entries that are looked at: more proxies than that do not stand in a row."""
INTERVAL = 60.0
"""Seconds between two lines of the log about a proxy that is not trusted."""
_PREFIX = "x-forwarded-"
_LONGEST = 64
"""Characters of an address with its port."""
_HOST = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[0-9.]+))(?::[0-9]{1,5})?"
    # A link-local address may have the name of an interface, which means something there alone.
    r"|(?P<bare>[0-9A-Fa-f:.]+)(?:%[A-Za-z0-9_.-]+)?"
)


class Proxies:
    """The proxies that are believed.

    Args:
        trusted: addresses and networks.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        self._networks = [ipaddress.ip_network(each) for each in trusted]

    def trusts(self, address: str) -> bool:
        """Whether what comes from there is believed."""
        found = parse(address)
        return found is not None and self._has(found)

    def client(self, peer: str, forwarded_for: Sequence[str]) -> str:
        """The address of whoever asked: the last one that no trusted proxy has.

        Args:
            peer: the address at the other end of the connection.
            forwarded_for: each `X-Forwarded-For` of the request, in their order.
        """
        found = parse(peer)
        if found is None:
            return peer
        for entry in _from_the_right(forwarded_for):
            # What is no address leaves us with the proxy that wrote it.
            if not self._has(found) or (before := parse(entry)) is None:
                break
            found = before
        return str(found)

    def scheme(self, peer: str, own: str, forwarded_proto: Sequence[str]) -> str:
        """`http` or `https`, as the client used it.

        Args:
            own: the scheme of the connection to us.
            forwarded_proto: each `X-Forwarded-Proto`, of which the last is the proxy's own.
        """
        said = next(_from_the_right(forwarded_proto), "").lower()
        return said if said in {"http", "https"} and self.trusts(peer) else own

    def _has(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


class Overlooked:
    """Says what is to be logged about proxies that are not trusted: a line in a while."""

    def __init__(self) -> None:
        self._count = 0
        self._told_at = -math.inf

    def note(self, peer: str, names: Iterable[str], now: float) -> str | None:
        """The line that is due because of a request, if one is.

        Args:
            peer: its address, which is not trusted.
            names: of its headers, in lower case.
        """
        name = next((name for name in names if name.startswith(_PREFIX)), None)
        if name is None:
            return None
        self._count += 1
        if now - self._told_at < INTERVAL:
            return None
        count, self._count, self._told_at = self._count, 0, now
        return (
            f"{name[:_LONGEST].title()} from {peer} is not believed ({count} such requests since"
            " the last such line): if that is your proxy, name it in trusted_proxies, or the"
            " addresses of jobs lead past it and the audit trail has its address"
        )


def parse(text: str) -> Address | None:
    """An address as proxies write it, with a port or without; None: it is none."""
    text = text.strip(" \t")
    match = _HOST.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None:
        return None
    try:
        address = ipaddress.ip_address(match["six"] or match["four"] or match["bare"])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address if match["six"] is None else None
    return address.ipv4_mapped or address


def _from_the_right(lines: Sequence[str]) -> Iterator[str]:
    entries = (part.strip() for line in reversed(lines) for part in _parts(line))
    return (entry for _, entry in zip(range(MAX_HOPS), entries, strict=False))


def _parts(line: str) -> Iterator[str]:
    return reversed(line.rsplit(",", MAX_HOPS)[-MAX_HOPS:])
