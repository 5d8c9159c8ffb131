"""What agents tell of their nodes: the `automatic` attributes, written when they change."""

import hashlib

import msgspec

from pushcli.protocol import messages
from pushcli_server.core.identity import NodeKey
from pushcli_server.latest import Latest
from pushcli_server.store import Store, operations

MAX_BYTES = 40_000
"""Of a node's facts as JSON; an agent of ours sends fewer."""


class Facts:
    """The facts that were stored last, by node."""

    def __init__(self, store: Store) -> None:
        self._writes = Latest(store)
        self._stored: dict[NodeKey, bytes] = {}

    def record(self, node: NodeKey, message: messages.Facts) -> None:
        """Store them, unless they are what this node said before."""
        text = msgspec.json.encode(message.automatic, order="sorted")
        digest = hashlib.sha256(text).digest()
        if len(text) <= MAX_BYTES and self._stored.get(node) != digest:
            self._stored[node] = digest
            self._writes.submit(
                node,
                operations.SetAutomatic(org=node.org, name=node.name, automatic=text.decode()),
            )

    def gone(self, node: NodeKey) -> None:
        """The node is gone, and what it told last with it."""
        self._writes.forget(node)
        self.forget(node)

    def forget(self, node: NodeKey) -> None:
        """The node object was changed or deleted: what comes next is written again."""
        self._stored.pop(node, None)
