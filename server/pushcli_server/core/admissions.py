"""Which CURVE keys may connect, and which node each one proves (Push Jobs protocol, 4, 5)."""

from dataclasses import dataclass

import msgspec

from pushcli_server.core.identity import NodeKey

KEYS_PER_NODE = 4
"""The current key, the one before it, and a few that were displaced: a second machine under
the same name is told apart by them."""
KEYS_BESIDE = 4
"""Of repeated requests; the oldest of a node go."""
BESIDE_FOR = 60.0
"""Seconds in which a connection may be opened with such a key."""


class KeyOfAnotherNode(Exception):
    """The CURVE key was handed out to another node."""


class Unproven(msgspec.Struct, frozen=True, gc=False):
    """What a repeated request said. Whoever read the first may have sent it: it counts once a
    message signed with the node's session key comes under its CURVE key.
    """

    offered: frozenset[str] = frozenset()
    adopts: frozenset[str] = frozenset()


@dataclass(slots=True)
class Admission:
    """A key that was handed out; `expires_at` in seconds since the epoch."""

    node: NodeKey
    expires_at: float
    client_key: str = ""
    """Fingerprint of the client's key that signed the request for it; empty: not known."""
    unproven: Unproven | None = None
    """Set if the key stands beside the node's own."""


class Admissions:
    """The keys that are remembered, by key and by node."""

    def __init__(self) -> None:
        self._by_key: dict[str, Admission] = {}
        self._by_node: dict[NodeKey, list[str]] = {}
        self._beside: dict[NodeKey, list[str]] = {}

    def admit(self, key: str, admission: Admission) -> None:
        """Remember a key (Z85) as its node's newest; the oldest beyond the bound go.

        Raises:
            KeyOfAnotherNode: it was handed out to another one.
        """
        self.require_free(key, admission.node)
        self._drop_beside(key)
        self._add(self._by_node, KEYS_PER_NODE, key, admission)

    def admit_beside(self, key: str, admission: Admission) -> None:
        """Remember a key that displaces none of its node's own; one that is known stays as it is.

        Raises:
            KeyOfAnotherNode: it was handed out to another one.
        """
        self.require_free(key, admission.node)
        if self.owner(key) == admission.node:
            return
        self._drop_beside(key)
        self._add(self._beside, KEYS_BESIDE, key, admission)

    def require_free(self, key: str, node: NodeKey) -> None:
        """A key proves one node: whoever knows another's public key could else be taken for it.

        What stands beside a node's own keys is nobody's yet.

        Raises:
            KeyOfAnotherNode: it was handed out to another one.
        """
        known = self._by_key.get(key)
        if known is not None and known.node != node and known.unproven is None:
            raise KeyOfAnotherNode

    def of(self, key: str) -> Admission | None:
        """What was admitted under this key, expired or not."""
        return self._by_key.get(key)

    def owner(self, key: str) -> NodeKey | None:
        """Whose key this is, expired or not: an established connection stays good."""
        admission = self._by_key.get(key)
        return None if admission is None else admission.node

    def client_keys(self, node: NodeKey) -> frozenset[str]:
        """Fingerprints of the client's keys that this node's were admitted by; empty: not known."""
        return frozenset(self._by_key[key].client_key for key in self._of(node))

    def revoke(self, node: NodeKey, client_keys: frozenset[str]) -> list[str]:
        """Refuse what was admitted by these keys of the node's client.

        Returns:
            Which CURVE keys (Z85) that were.
        """
        revoked = [key for key in self._of(node) if self._by_key[key].client_key in client_keys]
        for key in revoked:
            for place in (self._by_node, self._beside):
                if key in place.get(node, ()):
                    place[node].remove(key)
            del self._by_key[key]
        return revoked

    def _of(self, node: NodeKey) -> list[str]:
        return [*self._by_node.get(node, ()), *self._beside.get(node, ())]

    def forget(self, node: NodeKey) -> None:
        """Refuse all keys of this node from now on."""
        for keys in (self._by_node.pop(node, []), self._beside.pop(node, [])):
            for key in keys:
                del self._by_key[key]

    def _add(
        self, place: dict[NodeKey, list[str]], bound: int, key: str, admission: Admission
    ) -> None:
        keys = place.setdefault(admission.node, [])
        if key in keys:
            keys.remove(key)
        keys.append(key)
        self._by_key[key] = admission
        while len(keys) > bound:
            del self._by_key[keys.pop(0)]

    def _drop_beside(self, key: str) -> None:
        known = self._by_key.get(key)
        if known is not None and known.unproven is not None:
            self._beside[known.node].remove(key)
            del self._by_key[key]
