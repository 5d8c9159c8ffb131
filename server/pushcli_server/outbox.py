"""Sending to nodes by their names, for what concerns no job."""

from typing import Any, TypeVar

from pushcli.protocol import messages
from pushcli_server.channel.command_channel import CommandChannel
from pushcli_server.core.fleet_state import Fleet
from pushcli_server.core.identity import NodeKey

_M = TypeVar("_M", bound=messages.Message)


class Outbox:
    """Sends to each node's current connection."""

    def __init__(self, fleet: Fleet, channel: CommandChannel) -> None:
        self._fleet = fleet
        self._channel = channel

    def send(self, key: NodeKey, kind: type[_M], **fields: Any) -> bool:
        """Send, if there is a connection that takes it; a lost message is ordinary."""
        node = self._fleet.nodes.get(key)
        if node is None or node.peer is None:
            return False
        return self._channel.send(node.peer, key, kind, **fields)
