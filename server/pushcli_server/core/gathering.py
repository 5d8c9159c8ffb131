"""How much is gathered of what commands write, and how much of a job may be kept."""

from dataclasses import dataclass, field

from pushcli.protocol import limits

MAX_OUTPUT = 64 * 1024 * 1024
"""Bytes of a channel that are kept, whatever an agent sends; its own cap is lower."""


@dataclass(slots=True)
class Gathering:
    """One channel of a node's output while it comes, in bytes.

    Args:
        received: from the beginning, which the agent need not send again.
        kept: of them; fewer if there was no room for more.
        head: once the command has ended, how much of what came before is as it was; what
            follows came anew.
    """

    received: int = 0
    kept: int = 0
    head: int | None = None

    @classmethod
    def of(cls, size: int) -> "Gathering":
        """What is found of an earlier run of the server."""
        return cls(size, size)

    @property
    def is_cut(self) -> bool:
        """Whether there was no room: what follows is not kept either."""
        return self.kept < self.received

    def settle(self, head: int | None) -> bool:
        """The command ended, and so much of its output is as it was; true: cut the file to `kept`.

        An agent that says it again, or the next run of this server hears it, changes nothing.
        """
        if head is None or head == self.head:
            return False
        self.head = head
        is_longer = self.kept > head
        self.received, self.kept = min(self.received, head), min(self.kept, head)
        return is_longer


@dataclass(slots=True)
class Budget:
    """Bytes that may be kept of a job's output: a share for each node, and what others leave.

    Args:
        share: of a node that has not got more of what others left.
        spare: what nobody has a share of.
        channel: of one channel of a node, whatever room there is.
    """

    share: int
    spare: int = 0
    channel: int = MAX_OUTPUT
    _granted: dict[str, int] = field(default_factory=dict)
    _used: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, limit: int, nodes: int, channel: int = MAX_OUTPUT) -> "Budget":
        """Shares of this limit for so many nodes."""
        share = limit // max(nodes, 1)
        return cls(share, limit - share * nodes, channel)

    def draw(self, node: str, wanted: int) -> int:
        """As many bytes of those that are wanted as there is room for."""
        granted, used = self._granted.get(node, self.share), self._used.get(node, 0)
        more = min(max(used + wanted - granted, 0), self.spare)
        self.spare -= more
        given = max(min(wanted, granted + more - used), 0)
        self._granted[node], self._used[node] = granted + more, used + given
        return given

    def begin_again(self, node: str) -> None:
        """What was kept of this node is to be replaced."""
        self._used.pop(node, None)

    def close(self, node: str) -> None:
        """The node's part is over: what it left is for the others."""
        used = self._used.get(node, 0)
        self.spare += self._granted.get(node, self.share) - used
        self._granted[node] = used


def channel_limit(*, is_whole: bool) -> int:
    """Bytes that are kept of one channel of a node.

    Args:
        is_whole: somebody asked for the output.
    """
    return MAX_OUTPUT if is_whole else limits.MAX_DEFAULT_OUTPUT
