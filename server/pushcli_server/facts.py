"""What agents tell of their nodes: the `automatic` attributes, written when they change."""

import hashlib

import msgspec

from pushcli.protocol import messages
from pushcli_server.core.node import Node
from pushcli_server.engine import NodeKey
from pushcli_server.store import Store, operations

MAX_BYTES = 40_000
"""Of a node's facts as JSON; an agent of ours sends fewer."""


class Facts:
    """Takes facts in."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._told: dict[NodeKey, bytes] = {}

    def take(self, node: Node, message: messages.Facts) -> None:
        """Store them, unless they are what this node said before."""
        text = msgspec.json.encode(message.automatic, order="sorted")
        digest = hashlib.sha256(text).digest()
        key = (node.org, node.name)
        if len(text) <= MAX_BYTES and self._told.get(key) != digest:
            self._told[key] = digest
            self._store.submit(
                operations.SetAutomatic(org=node.org, name=node.name, automatic=text.decode())
            )

    def forget(self, org: str, name: str) -> None:
        """The node object was changed or deleted: what is told next is written again."""
        self._told.pop((org, name), None)
