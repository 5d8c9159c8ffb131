"""Messages that tell of a node and concern no job: who takes which."""

from typing import assert_never

from pushcli.protocol import messages
from pushcli_server.checks import Checks
from pushcli_server.core.identity import NodeKey
from pushcli_server.facts import Facts
from pushcli_server.whitelist_push import WhitelistPush


class Notes:
    """Hands each note to where it belongs."""

    def __init__(self, whitelists: WhitelistPush, checks: Checks, facts: Facts) -> None:
        self._whitelists = whitelists
        self._checks = checks
        self._facts = facts

    def record(self, node: NodeKey, message: messages.Note) -> None:
        """A note of this node."""
        match message:
            case messages.WhitelistReport():
                self._whitelists.record(node, message)
            case messages.Checked():
                self._checks.answer(node, message)
            case messages.Facts():
                self._facts.record(node, message)
            case _:
                assert_never(message)

    def forget(self, node: NodeKey) -> None:
        """Nothing is known of this node any more: its name may be another's next."""
        self._whitelists.forget(node)
        self._facts.gone(node)

    def compare_whitelist(self, node: NodeKey, digest: str | None) -> None:
        """A heartbeat says which whitelist of the server the agent has."""
        self._whitelists.compare(node, digest)
