"""How much is gathered of what commands write, and how much of a job may be kept."""

from dataclasses import dataclass, field

from pushcli.protocol import limits

MAX_OUTPUT = 64 * 1024 * 1024
"""Bytes of a channel that are kept, whatever an agent sends; its own cap is lower."""
MAX_TAIL = 2**20
"""Bytes of a channel's end that are kept where there is no room for all of it."""


@dataclass(slots=True)
class Tail:
    """The end of an output, kept though what comes before it is not.

    Args:
        start: where it begins in what the command wrote, in bytes.
        size: how many bytes of it there are.
        kept: how many of them have come.
    """

    start: int
    size: int
    kept: int = 0


@dataclass(slots=True)
class Gathering:
    """One channel of a node's output while it comes, in bytes.

    Args:
        received: up to where the agent need not send anything again.
        kept: from the beginning on; fewer if there was no room for more.
        head: once the command has ended, how much of what came before is as it was; what
            follows came anew.
        tail: the end, once the command has ended and its end was asked for.
    """

    received: int = 0
    kept: int = 0
    head: int | None = None
    tail: Tail | None = None

    @classmethod
    def of(cls, size: int) -> "Gathering":
        """What is found of an earlier run of the server."""
        return cls(size, size)

    @property
    def is_cut(self) -> bool:
        """Whether there was no room: what follows is not kept, until the end is asked for."""
        return self.tail is None and self.kept < self.received

    @property
    def left_out(self) -> int:
        """Bytes between the beginning and the end."""
        return 0 if self.tail is None else self.tail.start - self.kept

    def settle(self, head: int | None) -> bool:
        """The command ended, and so much of its output is as it was; true: cut the file to `kept`.

        An agent that says it again, or the next run of this server hears it, changes nothing.
        """
        if head is None or head == self.head:
            return False
        self.head, self.tail = head, None
        is_longer = self.kept > head
        self.received, self.kept = min(self.received, head), min(self.kept, head)
        return is_longer

    def begin_tail(self, size: int, room: int) -> bool:
        """Ask for the end of an output of this size, so much of it as there is room for.

        Whatever is missing between beginning and end is known from now on. False: there is no
        room, or nothing that would be missing.
        """
        start = max(size - min(room, MAX_TAIL), self.kept)
        if start >= size:
            return False
        self.received, self.tail = start, Tail(start, size - start)
        return True


@dataclass(slots=True)
class Budget:
    """Bytes that may be kept of a job's output: a share for each node, and what others leave.

    Of its share a node has something in reserve until its command ends, for the end of its output.

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

    @property
    def beginning(self) -> int:
        """Bytes of a channel that may be kept before its command ends."""
        return self.channel - min(self.channel // 2, MAX_TAIL)

    def draw(self, node: str, wanted: int, *, ended: bool = False) -> int:
        """As many bytes of those that are wanted as there is room for.

        Args:
            ended: what is in reserve for the end may be used.
        """
        granted, used = self._granted.get(node, self.share), self._used.get(node, 0)
        usable = granted if ended else granted - min(self.share // 2, MAX_TAIL)
        more = min(max(used + wanted - usable, 0), self.spare)
        self.spare -= more
        given = max(min(wanted, usable + more - used), 0)
        self._granted[node], self._used[node] = granted + more, used + given
        return given

    def room(self, node: str) -> int:
        """Bytes that a node whose command has ended can still draw."""
        return self._granted.get(node, self.share) - self._used.get(node, 0) + self.spare

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
