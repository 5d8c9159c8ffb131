"""Which CURVE keys may connect, and which node each one proves (Push Jobs protocol, 4, 5)."""

from dataclasses import dataclass

from pushcli_server.core.identity import NodeKey

KEYS_PER_NODE = 4
"""The current key, the one before it, and a few that were displaced: a second machine under
the same name is told apart by them."""


class KeyOfAnotherNode(Exception):
    """The CURVE key was handed out to another node."""


@dataclass(slots=True)
class Admission:
    """A key that was handed out; `expires_at` in seconds since the epoch."""

    node: NodeKey
    expires_at: float


class Admissions:
    """The keys that are remembered, by key and by node."""

    def __init__(self) -> None:
        self._by_key: dict[str, Admission] = {}
        self._by_node: dict[NodeKey, list[str]] = {}

    def admit(self, key: str, admission: Admission) -> None:
        """Remember a key (Z85) as its node's newest; the oldest beyond the bound go.

        Raises:
            KeyOfAnotherNode: it was handed out to another one.
        """
        self.require_free(key, admission.node)
        keys = self._by_node.setdefault(admission.node, [])
        if key in keys:
            keys.remove(key)
        keys.append(key)
        self._by_key[key] = admission
        while len(keys) > KEYS_PER_NODE:
            del self._by_key[keys.pop(0)]

    def require_free(self, key: str, node: NodeKey) -> None:
        """A key proves one node: whoever knows another's public key could else be taken for it.

        Raises:
            KeyOfAnotherNode: it was handed out to another one.
        """
        if self.owner(key) not in (None, node):
            raise KeyOfAnotherNode

    def of(self, key: str) -> Admission | None:
        """What was admitted under this key, expired or not."""
        return self._by_key.get(key)

    def owner(self, key: str) -> NodeKey | None:
        """Whose key this is, expired or not: an established connection stays good."""
        admission = self._by_key.get(key)
        return None if admission is None else admission.node

    def forget(self, node: NodeKey) -> None:
        """Refuse all keys of this node from now on."""
        for key in self._by_node.pop(node, []):
            del self._by_key[key]
