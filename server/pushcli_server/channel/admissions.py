"""Which CURVE keys may connect, and which node each one proves (Push Jobs protocol, 4, 5)."""

from dataclasses import dataclass

KEYS_PER_NODE = 4
"""The current key, the one before it, and a few that were displaced: a second machine under
the same name is told apart by them."""


@dataclass(slots=True)
class Admission:
    """A key that was handed out. Times in seconds since the epoch."""

    org: str
    node: str
    expires_at: float


class Admissions:
    """The keys that are remembered, by key and by node."""

    def __init__(self) -> None:
        self._by_key: dict[str, Admission] = {}
        self._by_node: dict[tuple[str, str], list[str]] = {}

    def admit(self, key: str, admission: Admission) -> None:
        """Remember a key (Z85) as its node's newest; the oldest beyond the bound go."""
        keys = self._by_node.setdefault((admission.org, admission.node), [])
        if key in keys:
            keys.remove(key)
        keys.append(key)
        self._by_key[key] = admission
        while len(keys) > KEYS_PER_NODE:
            del self._by_key[keys.pop(0)]

    def owner(self, key: str) -> Admission | None:
        """Whose key this is, expired or not: an established connection stays good."""
        return self._by_key.get(key)

    def current(self, org: str, node: str) -> str | None:
        """The key that the node's newest configuration went out with."""
        keys = self._by_node.get((org, node))
        return keys[-1] if keys else None

    def forget(self, org: str, node: str) -> None:
        """Refuse all keys of this node from now on."""
        for key in self._by_node.pop((org, node), []):
            del self._by_key[key]
